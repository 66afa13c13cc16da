"""Overview: what needs a decision comes and goes with its cause."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from builds.maturity import Maturity
from builds.models import Build
from instances.choices import Kind
from instances.models import Host
from tests.factories import NOW, make_build, make_host, make_instance, make_run, make_upgrade
from upgrades.choices import EndCode, Outcome, UpgradeState
from upgrades.models import Decision, Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

DAY = timedelta(days=1)


@pytest.fixture
def reader(client: Client, viewer: User) -> Client:
    client.force_login(viewer)
    return client


def titles(client: Client) -> list[str]:
    return [entry.title for entry in client.get("/").context["entries"]]


def last_night(**values: Any) -> Run:
    return make_run(date=NOW.date(), starts_at=NOW - 11 * timedelta(hours=1), ended_at=NOW - DAY / 3, **values)


def failed(run: Run, outcome: Outcome, slug: str, build: Build, **values: Any) -> Any:
    values = {"end_code": EndCode.STEP_FAILED, "end_values": {"step": "Migrate", "from": "4.1", "to": "4.2"}} | values
    return make_upgrade(run=run, outcome=outcome, build=build, instance=make_instance(slug, runs="4.1"), **values)


def test_nothing_waits_where_all_is_well(reader: Client) -> None:
    make_build("4.2", maturity=Maturity.RELEASE)
    make_instance(runs="4.2")
    last_night()

    answer = reader.get("/")

    assert answer.context["entries"] == []
    assert "Nothing waits for a decision" in answer.content.decode()


def test_an_upgrade_that_needs_a_person_waits_until_one_decided(reader: Client) -> None:
    """U2."""
    upgrade = failed(
        make_run(), Outcome.NEEDS_A_PERSON, "acme-live", make_build("4.2"), end_code=EndCode.WAY_BACK_FAILED
    )
    assert titles(reader) == ["Upgrade to 4.2 needs a person"]

    upgrade.decided_at = NOW
    upgrade.save()

    assert titles(reader) == []


def test_last_nights_rollbacks_of_one_build_are_one_entry(reader: Client) -> None:
    run, build = last_night(), make_build("4.2")
    for slug in ("a", "b", "c", "d"):
        failed(run, Outcome.ROLLED_BACK, slug, build)
    failed(run, Outcome.FAILED_CLEAN, "e", build)

    answer = reader.get("/")

    entries = answer.context["entries"]
    assert [entry.title for entry in entries] == ["4.2 failed on 1 site", "4.2 rolled back on 4 sites"]
    assert [site.slug for site in entries[1].sites] == ["a", "b", "c"]
    assert "and 1 more." in answer.content.decode()


@pytest.mark.parametrize("after", [{"outcome": Outcome.SUCCEEDED}, {"state": UpgradeState.RUNNING, "started_at": NOW}])
def test_a_rollback_is_settled_by_a_newer_upgrade_that_runs_or_went_well(reader: Client, after: dict[str, Any]) -> None:
    build = make_build("4.2")
    rolled_back = failed(last_night(), Outcome.ROLLED_BACK, "a", build)

    make_upgrade(instance=rolled_back.instance, build=build, **after)

    assert titles(reader) == []


def test_a_rollback_that_failed_again_still_waits(reader: Client) -> None:
    build = make_build("4.2")
    rolled_back = failed(last_night(), Outcome.ROLLED_BACK, "a", build)
    make_upgrade(instance=rolled_back.instance, build=build, outcome=Outcome.ROLLED_BACK)

    assert titles(reader) == ["4.2 rolled back on 1 site"]


def test_a_host_that_does_not_answer_explains_what_it_blocked(reader: Client) -> None:
    host = make_host("web1", failing_since=NOW - DAY, failure="No route.")
    site = make_instance("a", runs="4.1", host=host)
    make_upgrade(
        run=last_night(), instance=site, build=make_build("4.2"), outcome=Outcome.BLOCKED, end_code=EndCode.UNREACHABLE,
        end_values={"host": "web1", "text": "No route."},
    )  # fmt: skip
    assert titles(reader) == ["web1 has not answered since 22 Nov 12:00"]

    Host.objects.update(failing_since=None)

    assert titles(reader) == ["4.2 was blocked on 1 site"]


def test_a_new_key_and_a_changed_key_ask_for_a_person(reader: Client) -> None:
    """U6."""
    make_host("new", host_key="", offered_key="ssh-ed25519 AAAA", offered_at=NOW)
    make_host("other", offered_key="ssh-ed25519 AAAA", offered_at=NOW)

    assert titles(reader) == [
        "new waits for its key to be approved",
        "other offers another key than the approved one",
    ]


def test_a_build_whose_soak_is_complete_waits_until_it_is_promoted(reader: Client) -> None:
    """R6: 14 days are inclusive."""
    make_build("4.1", maturity=Maturity.STABLE)
    build = make_build("4.2", maturity=Maturity.RELEASE, channel_since=NOW - 14 * DAY)
    make_instance(runs="4.1", target_channel_id="stable")

    (entry,) = reader.get("/").context["entries"]

    assert entry.title == "4.2 finished its 14 days in release"
    assert entry.text == "Promoting it to stable upgrades 1 site tonight."
    assert entry.url == "/builds/4.2/promote/stable/"
    Build.objects.filter(pk=build.pk).update(channel_since=NOW - 14 * DAY + timedelta(seconds=1))
    assert titles(reader) == []


def test_a_complete_soak_that_would_change_nothing_is_no_decision(reader: Client) -> None:
    make_build("4.2", maturity=Maturity.RELEASE, channel_since=NOW - 30 * DAY)
    make_instance(runs="4.2")

    assert titles(reader) == []


def test_a_site_with_an_unknown_version_and_a_missed_night_are_named(reader: Client) -> None:
    """P3, P7."""
    make_instance("quiet", runs=None)
    make_run(date=NOW.date(), starts_at=NOW - DAY / 2, missed=True, ended_at=NOW)

    assert titles(reader) == ["The night of 23 Nov was missed", "The version of 1 site is not known"]


def test_last_night_shows_the_first_error_line_with_a_link_to_it(reader: Client) -> None:
    run, build = last_night(), make_build("4.2")
    error = "IntegrityError: <b>null</b> values"
    upgrade = failed(run, Outcome.ROLLED_BACK, "a", build, first_error=error, first_error_line=171)
    make_upgrade(run=run, outcome=Outcome.SUCCEEDED)
    Decision.objects.create(run=run, instance=make_instance(), code="up_to_date", checks=[])

    html = reader.get("/").content.decode()

    assert "IntegrityError: &lt;b&gt;null&lt;/b&gt; values" in html
    assert f"/upgrades/{upgrade.pk}/?line=171#L171" in html
    assert "Of 2 planned upgrades: 1 succeeded, 1 rolled back" in html
    assert "1 other had nothing to do" in html


def test_each_of_the_last_thirty_nights_is_a_column(reader: Client) -> None:
    for days in range(31):
        run = make_run(date=(NOW - days * DAY).date(), starts_at=NOW - days * DAY, ended_at=NOW, missed=days == 1)
        make_upgrade(run=run, outcome=Outcome.ROLLED_BACK if days == 2 else Outcome.SUCCEEDED)

    nights = reader.get("/").context["nights"]

    assert [night.colour for night in nights] == ["ok"] * 27 + ["warn", "bad", "ok"]
    assert nights[-2].label == "22 Nov: missed"


def test_tonight_shows_test_sites_first_and_what_is_skipped(reader: Client) -> None:
    make_build("4.2", maturity=Maturity.STABLE)
    make_instance("a-live", runs="4.1")
    make_instance("b-test", runs="4.1", kind=Kind.TEST)
    make_instance("c-live", runs="4.1", host=make_host(enabled=False))
    make_instance("d-live", runs="4.2")

    context = reader.get("/").context

    assert [[d.site.slug for d in group["shown"]] for group in context["groups"]] == [["b-test"], ["a-live"]]
    assert [skipped.decision.site.slug for skipped in context["skipped"]] == ["c-live"]
    assert context["idle"] == 1


def test_a_channel_shows_its_build_and_how_many_of_its_sites_run_it(reader: Client) -> None:
    make_build("4.2", maturity=Maturity.RELEASE, channel_since=NOW - 8.5 * DAY)
    make_instance(runs="4.2")
    make_instance(runs="4.1")

    lanes = {lane.name: lane for lane in reader.get("/").context["lanes"]}

    release = lanes["release"]
    assert (release.build and release.build.version, release.on_it, release.following) == ("4.2", 1, 2)
    assert release.next_step.label == "Day 9 of 14, ends 29 Nov 00:00"
    assert lanes["beta"].next_step.label == "Its build is release already"
    assert lanes["stable"].next_step.label == "No build"


def test_the_versions_in_use_are_counted_by_kind(reader: Client) -> None:
    make_instance(runs="4.10")
    make_instance(runs="4.9", kind=Kind.TEST)
    make_instance(runs="4.9.0")

    context = reader.get("/").context

    uses = [(bar.use.version, bar.use.live, bar.use.test) for bar in context["versions"]]
    assert uses == [("4.10", 1, 0), ("4.9", 1, 1)]


def test_the_number_of_queries_does_not_grow_with_the_fleet(reader: Client) -> None:
    make_build("4.1", maturity=Maturity.STABLE)
    build = make_build("4.2", maturity=Maturity.RELEASE)
    run, counts = last_night(), []
    for number in (2, 12):
        for _each in range(number):
            host = make_host(failing_since=NOW, failure="No answer.")
            make_instance(runs="4.1", target_channel_id="stable", host=host)
            failed(run, Outcome.ROLLED_BACK, "", build)
            failed(run, Outcome.NEEDS_A_PERSON, "", build)
        with CaptureQueriesContext(connection) as asked:
            reader.get("/")
        counts.append(len(asked))

    assert counts[0] == counts[1] <= 66
