"""P4, P5, T8, R10: a run and tonight as pages, wave by wave."""

from datetime import time, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from builds.maturity import Maturity
from builds.models import Channel
from instances.choices import Kind
from instances.models import SiteWindow
from instances.pins import PinEnd
from instances.services import open_hold
from releasemgr.lib.actors import COMMAND
from tests.factories import NOW, make_build, make_instance, make_run, make_upgrade
from tests.upgrades.halted import end, make_run_of
from upgrades.choices import EndCode, Outcome, UpgradeState
from upgrades.models import Policy, Upgrade, Wave
from upgrades.services.halts import halt_run, resume_run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]
FAILED: dict[str, Any] = {
    "outcome": Outcome.ROLLED_BACK, "end_code": EndCode.STEP_FAILED, "end_values": {"step": "Migrate", "from": "1.0"},
    "first_error": "IntegrityError: null",
}  # fmt: skip


@pytest.fixture
def reader(client: Client, viewer: User) -> Client:
    client.force_login(viewer)
    return client


def headings(client: Client, path: str, table: str = "table") -> list[tuple[str, str]]:
    return [(group.title, group.note) for group in client.get(path).context[table].groups]


def test_p5_a_halted_run_says_when_where_why_and_what_was_not_begun(reader: Client) -> None:
    run = make_run_of(6, tests=1, canary_share=20)
    end("test-0")
    canary = Upgrade.objects.filter(wave__kind="canary").order_by("pk")[0].instance.slug
    end(canary, Outcome.ROLLED_BACK)

    answer = reader.get(f"/runs/{run.pk}/")

    note = answer.context["note"]
    assert note.strong == "Halted at 12:10 in wave 2."
    assert note.more == [
        "1 of 2 canaries failed in wave 2, and the limit is 0.",
        "5 upgrades have not begun: their sites are on their old version.",
        "It can be resumed until 00:00.",
        "2.0 is offered to no site until somebody offers it again or withdraws it.",
    ]
    assert headings(reader, f"/runs/{run.pk}/") == [
        ("Wave 1, test sites", "12:00 to 12:10, 0 of 1 failed, limit 1"),
        ("Wave 2, canaries of the live sites", "from 12:00, 1 of 2 failed, limit 0, halted here"),
        ("Wave 3, live sites", "from 12:00, not started"),
    ]
    assert "Waiting, the run is halted" in answer.content.decode()


def test_p5_halts_before_the_last_one_stay_readable(reader: Client) -> None:
    run = make_run_of(2)
    halt_run(run, actor=COMMAND, now=NOW, reason="First.")
    resume_run(run, actor=COMMAND, now=NOW + timedelta(minutes=5), reason="Mended.")

    context = reader.get(f"/runs/{run.pk}/").context
    assert context["note"].strong == "0 of 2 upgrades have ended."
    assert context["earlier_halts"] == [
        "Halted at 12:00 by the command line: “First.”. Resumed at 12:05 by the command line: “Mended.”."
    ]


def test_actions_on_a_run_are_named_with_the_role_that_may(reader: Client) -> None:
    run = make_run_of(2)

    page = reader.get(f"/runs/{run.pk}/").content.decode()

    assert "Halt…" in page
    assert "Needs Release manager" in page
    assert f"/runs/{run.pk}/halt/" not in page


def test_p11_equal_failures_stand_together_with_where_else_and_since_when(reader: Client) -> None:
    build = make_build("2.0")
    earlier = make_run(starts_at=NOW - timedelta(days=11), ended_at=NOW - timedelta(days=11))
    make_upgrade(run=earlier, build=build, fingerprint="a", **FAILED | {"ended_at": NOW - timedelta(days=11)})
    run = make_run(ended_at=NOW)
    for fingerprint in ("a", "b", "a"):
        make_upgrade(run=run, build=build, fingerprint=fingerprint, **FAILED)

    context = reader.get(f"/runs/{run.pk}/").context

    assert [(len(group.failures), group.again) for group in context["failures"]] == [
        (2, "The same failure on 3 sites, first on 12 Nov."), (1, ""),
    ]  # fmt: skip
    assert (context["failed"], context["blamed"].build) == (3, build)


def test_a_failed_site_shows_what_has_become_of_it(client: Client, release_manager: User) -> None:
    run, sites = make_run(ended_at=NOW), [make_instance(slug) for slug in ("alone", "running", "well")]
    for site in sites:
        make_upgrade(run=run, instance=site, **FAILED)
    make_upgrade(instance=sites[1], state=UpgradeState.RUNNING)
    make_upgrade(instance=sites[2], outcome=Outcome.SUCCEEDED)
    client.force_login(release_manager)

    groups = client.get(f"/runs/{run.pk}/").context["failures"]

    labels = {
        str(one.upgrade.instance): [link.label for link in one.links] for group in groups for one in group.failures
    }
    assert labels == {
        "alone": ["Retry…", "Let the nights try…", "Log"],
        "running": ["Retry running", "Log"],
        "well": ["Later: Succeeded", "Log"],
    }


def test_t8_legs_of_a_way_stand_in_order(reader: Client) -> None:
    run = make_run(ended_at=NOW)
    wave = Wave.objects.create(run=run, number=1, stage=0, kind="test", opens_at=NOW, planned=2)
    site = make_instance("acme", kind=Kind.TEST)
    for leg, version in ((1, "2.0"), (2, "3.0")):
        make_upgrade(run=run, wave=wave, instance=site, leg=leg, build=make_build(version), outcome=Outcome.SUCCEEDED)

    (group,) = reader.get(f"/runs/{run.pk}/").context["table"].groups

    assert [(row.new, row.way) for row in group.rows] == [("2.0", "leg 1 of 2"), ("3.0", "leg 2 of 2")]


def test_a_night_that_was_switched_off_says_so(reader: Client) -> None:
    run = make_run(date=NOW.date(), switched_off=True, ended_at=NOW)

    assert "Nothing was planned: the nights were switched off." in reader.get(f"/runs/{run.pk}/").content.decode()
    assert "Nights were switched off" in reader.get("/runs/").content.decode()


def test_the_number_of_queries_of_a_run_does_not_grow_with_waves_and_failures(
    client: Client, release_manager: User
) -> None:
    client.force_login(release_manager)
    counts = []
    for many in (2, 9):
        run = make_run(ended_at=None)
        for number in range(1, many + 1):
            wave = Wave.objects.create(run=run, number=number, stage=number, kind="rest", opens_at=NOW, planned=1)
            make_upgrade(run=run, wave=wave, fingerprint=f"{many}-{number}", **FAILED)
        with CaptureQueriesContext(connection) as asked:
            client.get(f"/runs/{run.pk}/")
        counts.append(len(asked))

    assert counts[0] == counts[1]


# Tonight.


def test_p4_tonight_stands_in_waves_with_their_turn_and_their_limit(reader: Client) -> None:
    make_build("2.0", maturity=Maturity.STABLE)
    Policy.objects.update(canary_share=10, wave_sizes="", wave_pause_min=30)
    for number in range(25):
        make_instance(f"live-{number:02}")
    make_instance("test", kind=Kind.TEST)

    assert headings(reader, "/runs/tonight/", "going") == [
        ("Wave 1, test sites", "from 01:00, too small to halt by its failures"),
        ("Wave 2, canaries of the live sites", "from 01:00, 30 min after wave 1, halts at the first failure"),
        ("Wave 3, live sites", "from 01:00, 30 min after wave 2, halts above 2 failures"),
    ]


def test_p6_windows_stand_on_the_sites_own_clock(reader: Client) -> None:
    make_build("2.0", maturity=Maturity.STABLE)
    site = make_instance("kiel")
    SiteWindow.objects.create(instance=site, weekdays=127, start=time(3), end=time(5), zone="Europe/Berlin")

    (group,) = reader.get("/runs/tonight/").context["going"].groups

    assert group.note.startswith("from 02:00")
    assert group.rows[0].cells[0] == "03:00 to 05:00 Berlin"


def test_p8_what_is_skipped_is_grouped_by_reason_with_its_next_chance(
    client: Client, support: User, release_manager: User
) -> None:
    make_build("2.0", maturity=Maturity.STABLE)
    held, parked = make_instance("held"), make_instance("parked")
    hold = open_hold(held, ends_at=NOW + timedelta(days=4), reason="Stocktaking", actor=COMMAND, now=NOW)
    upgrade = make_upgrade(instance=parked, build=make_build("3.0", maturity=Maturity.STABLE), **FAILED)
    client.force_login(support)

    groups = client.get("/runs/tonight/").context["skipped"].groups

    rows = [
        (group.title, row.slug, row.cells, [link.url for link in row.links]) for group in groups for row in group.rows
    ]
    assert rows == [
        ("On hold", "held", ("28 Nov 01:00 UTC",), [f"/sites/held/holds/{hold.pk}/end/"]),
        ("Waits for a decision", "parked", ("When someone retries",), []),
    ]
    client.force_login(release_manager)
    links = [link.url for row in client.get("/runs/tonight/").context["skipped"].groups[1].rows for link in row.links]
    assert links == [f"/runs/{upgrade.run_id}/retry/?site=parked"]


def test_t8_tonight_shows_the_way_over_stepping_stones(reader: Client) -> None:
    make_build("2.0", maturity=Maturity.STABLE, stepping_stone=True)
    make_build("3.0", maturity=Maturity.STABLE)
    make_instance("acme")

    (group,) = reader.get("/runs/tonight/").context["going"].groups

    assert (group.rows[0].new, group.rows[0].way) == ("3.0", "over 2.0")


def test_r10_t2_what_happens_by_itself_first_is_named_on_top(reader: Client) -> None:
    make_build("2.0", maturity=Maturity.RELEASE)
    make_build("3.0", maturity=Maturity.BETA)
    Channel.objects.filter(name="release").update(automatic=True)
    make_instance(
        "pinned", target_build=make_build("1.5", maturity=Maturity.STABLE), pin_ends=PinEnd.ON_DATE.value,
        pin_until=NOW + timedelta(hours=3), pin_then_id="release",
    )  # fmt: skip

    answer = reader.get("/runs/tonight/")

    assert [(move.build.version, move.to) for move in answer.context["moves"]] == [("3.0", Maturity.RELEASE)]
    assert [(pin.slug, pin.channel) for pin in answer.context["pins"]] == [("pinned", "release")]
    page = answer.content.decode()
    assert "is promoted to" in page
    assert "ends by then" in page
    assert [row.new for group in answer.context["going"].groups for row in group.rows] == ["3.0"]


def test_who_may_hold_skips_a_site_and_others_do_not(client: Client, support: User, viewer: User) -> None:
    make_build("2.0", maturity=Maturity.STABLE)
    make_instance("acme")
    for user, links in ((support, ["/sites/acme/skip/"]), (viewer, [])):
        client.force_login(user)
        (group,) = client.get("/runs/tonight/").context["going"].groups
        assert [link.url for link in group.rows[0].links] == links


def test_the_page_and_the_shell_around_it_plan_once(reader: Client) -> None:
    make_build("2.0", maturity=Maturity.STABLE)
    make_instance("acme")

    with CaptureQueriesContext(connection) as asked:
        reader.get("/runs/tonight/")

    medians = [query for query in asked.captured_queries if "PERCENTILE_CONT" in query["sql"]]
    assert len(medians) == 1
