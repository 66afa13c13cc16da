"""Overview: what needs a decision comes and goes with its cause."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from builds.maturity import Maturity
from builds.models import Build, Channel
from instances.choices import Kind
from instances.models import Host, Instance
from instances.services import open_hold
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from releasemgr.models import Snooze
from tests.factories import NOW, make_build, make_host, make_instance, make_problem, make_run, make_upgrade
from tests.upgrades.halted import end, make_run_of
from upgrades.choices import EndCode, Outcome
from upgrades.models import Decision, Run
from upgrades.services.halts import end_run
from upgrades.services.policy import switch_nights_off
from upgrades.services.retries import let_retry

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


def test_p11_sites_on_which_their_build_failed_are_one_entry_for_each_outcome(reader: Client) -> None:
    run, build = last_night(), make_build("4.2", maturity=Maturity.RELEASE)
    for slug in ("a", "b", "c", "d"):
        failed(run, Outcome.ROLLED_BACK, slug, build)
    failed(run, Outcome.FAILED_CLEAN, "e", build)

    answer = reader.get("/")

    entries = answer.context["entries"]
    assert [entry.title for entry in entries] == ["4.2 failed on 1 site", "4.2 rolled back on 4 sites"]
    assert [site.slug for site in entries[1].sites] == ["a", "b", "c"]
    assert "and 1 more." in answer.content.decode()


def test_p11_a_rollback_is_settled_by_a_success_by_a_person_and_by_a_newer_target(reader: Client) -> None:
    build = make_build("4.2", maturity=Maturity.RELEASE)
    upgrades = [failed(last_night(), Outcome.ROLLED_BACK, "a", build)]
    upgrades.append(failed(upgrades[0].run, Outcome.ROLLED_BACK, "b", build))
    assert titles(reader) == ["4.2 rolled back on 2 sites"]

    make_upgrade(instance=upgrades[0].instance, build=build, outcome=Outcome.SUCCEEDED)
    assert titles(reader) == ["4.2 rolled back on 1 site"]
    let_retry(upgrades[1], actor=COMMAND, now=NOW, note="The disk was full.")
    assert titles(reader) == []

    failed(upgrades[0].run, Outcome.ROLLED_BACK, "c", build)
    make_build("4.3", maturity=Maturity.RELEASE)
    assert titles(reader) == []


def test_a_rollback_that_failed_again_still_waits(reader: Client) -> None:
    build = make_build("4.2", maturity=Maturity.RELEASE)
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


def test_r10_what_the_night_promotes_by_itself_is_no_decision(reader: Client) -> None:
    make_build("4.1", maturity=Maturity.STABLE)
    make_build("4.2", maturity=Maturity.BETA)
    make_instance(runs="4.1")
    assert titles(reader) == ["4.2 may enter release"]

    Channel.objects.filter(name="release").update(automatic=True)

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


def test_each_of_the_last_fourteen_nights_is_a_column(reader: Client) -> None:
    for days in range(15):
        run = make_run(date=(NOW - days * DAY).date(), starts_at=NOW - days * DAY, ended_at=NOW, missed=days == 1)
        make_upgrade(run=run, outcome=Outcome.ROLLED_BACK if days == 2 else Outcome.SUCCEEDED)

    nights = reader.get("/").context["nights"]

    assert [night.colour for night in nights] == ["ok"] * 11 + ["warn", "bad", "ok"]
    assert nights[-2].label == "22 Nov: missed"


def test_tonight_shows_test_sites_first_and_what_is_skipped(reader: Client) -> None:
    make_build("4.2", maturity=Maturity.STABLE)
    make_instance("a-live", runs="4.1")
    make_instance("b-test", runs="4.1", kind=Kind.TEST)
    make_instance("c-live", runs="4.1", host=make_host(enabled=False))
    make_instance("d-live", runs="4.2")

    context = reader.get("/").context

    assert [[d.site.slug for d, _end in group["shown"]] for group in context["groups"]] == [["b-test"], ["a-live"]]
    assert context["groups"][0]["title"] == "Wave 1, test sites"
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


def test_p5_a_halted_run_and_then_the_builds_that_nobody_is_offered_wait(reader: Client) -> None:
    run = make_run_of(3, halt_minimum=1)
    end("live-00", Outcome.ROLLED_BACK)
    (first, second) = reader.get("/").context["entries"]
    assert first.title == f"Run #{run.pk} halted in wave 1"
    assert "2 upgrades have not begun" in first.text
    assert second.title == "2.0 rolled back on 1 site"

    end_run(run, actor=COMMAND, now=NOW, reason="Not tonight.")
    assert titles(reader)[0] == "2.0 is offered to no site"

    Build.objects.filter(version="2.0").update(withdrawn_at=NOW, withdrawn_reason="Loses mail.")
    assert titles(reader) == []


def test_r9_a_pin_to_a_withdrawn_build_names_its_owner(reader: Client, support: User) -> None:
    build = make_build("4.1", maturity=Maturity.STABLE, withdrawn_at=NOW)
    make_instance("acme", runs="4.0", target_build=build, pin_owner=support)

    (entry,) = reader.get("/").context["entries"]

    assert entry.title == "4.1 was withdrawn, and 1 site is pinned to it"
    assert support.username in entry.text


def test_t2_a_pin_that_ends_is_announced_seven_days_ahead(reader: Client) -> None:
    site = make_instance(
        "acme", runs="4.1", target_build=make_build("4.1"), pin_ends="on_date", pin_until=NOW + 7 * DAY,
        pin_then_id="stable",
    )  # fmt: skip
    (entry,) = reader.get("/").context["entries"]
    assert (entry.title, entry.text) == ("The pin of 1 site ends soon", "On 30 Nov 12:00; then it follows stable.")

    Instance.objects.filter(pk=site.pk).update(pin_until=NOW + 7 * DAY + timedelta(seconds=1))

    assert titles(reader) == []


def test_a_site_left_alone_for_over_90_days_is_named(reader: Client) -> None:
    site = make_instance("acme", runs="4.1")
    open_hold(site, ends_at=NOW + DAY, reason="Audit", actor=COMMAND, now=NOW - 91 * DAY)

    (entry,) = reader.get("/").context["entries"]

    assert entry.title == "1 site has been left alone for over 90 days"
    assert entry.text == "The longest since 24 Aug, until 24 Nov."


def test_r7_an_open_blocker_that_holds_upgrades_waits_for_a_decision(reader: Client) -> None:
    problem = make_problem(make_build("4.2", maturity=Maturity.STABLE), severity="blocker", title="Loses mail")
    make_instance(runs="4.1")
    make_instance(runs="4.1")

    (entry,) = reader.get("/").context["entries"]

    assert entry.title == f"{problem.name} holds upgrades to 4.2"
    assert entry.text == "“Loses mail”. 2 sites wait."
    assert entry.url == f"/problems/{problem.pk}/"


def test_p5_nights_that_are_switched_off_stand_first(reader: Client) -> None:
    switch_nights_off(actor=COMMAND, now=NOW, reason="Audit.")

    answer = reader.get("/")

    assert answer.context["entries"][0].title == "Nights are switched off"
    assert answer.context["entries"][0].text == "Since 23 Nov 12:00, by the command line: “Audit.”."


def test_an_entry_is_put_off_for_a_day_for_everyone_with_a_name(
    client: Client, support: User, viewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_host("web1", failing_since=NOW - DAY, failure="No route.")
    client.force_login(support)
    (entry,) = client.get("/").context["entries"]

    assert client.post("/snooze/", {"key": entry.key}).status_code == 302

    client.force_login(viewer)
    answer = client.get("/")
    assert answer.context["entries"] == []
    assert f"by {support.username}, until" in answer.content.decode()
    change = Change.objects.get()
    assert (change.kind, change.subject_name, change.by) == ("decision.put_off", entry.title, support)
    monkeypatch.setattr("releasemgr.lib.clock.now", lambda: NOW + DAY)
    assert titles(client) == [entry.title]


def test_an_entry_that_was_put_off_is_shown_again_on_demand(client: Client, support: User) -> None:
    make_host("web1", failing_since=NOW - DAY, failure="No route.")
    client.force_login(support)
    key = client.get("/").context["entries"][0].key
    client.post("/snooze/", {"key": key})

    client.post("/snooze/", {"key": key, "wake": "1"})

    assert len(titles(client)) == 1
    assert not Snooze.objects.exists()


def test_who_may_put_an_entry_off(client: Client, viewer: User, support: User) -> None:
    assert client.post("/snooze/", {"key": "x"}).status_code == 302
    client.force_login(viewer)
    assert client.post("/snooze/", {"key": "x"}).status_code == 403
    client.force_login(support)
    assert client.get("/snooze/").status_code == 405
    for key in ("", "x", "x" * 300, "a\0b"):
        assert "does not wait" in client.post("/snooze/", {"key": key}, follow=True).content.decode()
    assert not Snooze.objects.exists()
    assert not Change.objects.exists()
