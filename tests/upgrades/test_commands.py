"""set_target, show_plan, run_night, upgrade_sites and check_versions."""

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from builds.maturity import Maturity
from builds.models import Build
from instances.choices import Kind
from instances.models import Instance, Target, TargetChange
from releasemgr.lib import clock
from tests.commands import json_of, refusal_of, text_of
from tests.factories import make_build, make_host, make_instance
from upgrades.choices import EndCode, Outcome, UpgradeState
from upgrades.management.shapes import run_text
from upgrades.models import Decision, Run, Schedule, Upgrade
from upgrades.plan import Rule
from upgrades.sentences import decision_sentence
from upgrades.services.planning import next_night, plan_night
from upgrades.services.runs import night_by_hand, open_due_night
from upgrades.version_check import Answer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fleet")]


@pytest.fixture(autouse=True)
def no_host_is_asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Instead of asking over SSH, tells when sites of unknown version would have been asked."""
    asked: list[str] = []
    monkeypatch.setattr("upgrades.management.commands.run_night.ask_unknown", lambda _connect: asked.append("unknown"))
    monkeypatch.setattr("upgrades.tasks.ask_versions", lambda ids: asked.extend(slugs_of(ids)))
    return asked


def slugs_of(ids: list[int]) -> list[str]:
    return [one.slug for one in Instance.objects.filter(pk__in=ids)]


@pytest.fixture
def fleet(db: None) -> None:
    make_build("4.2", maturity=Maturity.RELEASE)
    make_build("4.3", maturity=Maturity.BETA)
    make_instance("acme-shop", runs="4.1")
    make_instance("acme-test", runs="4.2", kind=Kind.TEST)
    make_instance("globex", runs="4.2")
    make_instance("initech", runs=None)


def finish(run: Run, progress: Callable[[Run], None]) -> None:
    """In place of workers: every upgrade succeeds."""
    progress(run)
    now = clock.now()
    for upgrade in run.upgrades.select_related("build"):
        upgrade.move(UpgradeState.STARTING, now=now, started_at=now)
        upgrade.move(UpgradeState.RUNNING, now=now)
        upgrade.end(Outcome.SUCCEEDED, EndCode.DONE, now=now)
    Run.objects.filter(pk=run.pk).update(ended_at=now)
    progress(run)


def site(slug: str) -> Instance:
    return Instance.objects.get(slug=slug)


def test_set_target_sets_it_and_says_what_the_next_night_does() -> None:
    said = text_of("set_target", "acme-shop", "--version", "4.3", "--reason", "Needs the fix")

    assert said == "acme-shop: release → pinned 4.3. Next night: Upgrades from 4.1 to 4.3."
    change = TargetChange.objects.get()
    assert (change.origin, change.reason, change.after) == (
        "command", "Needs the fix", Target(build=Build.objects.get(version="4.3")),
    )  # fmt: skip


def test_set_target_prints_json_and_a_second_time_changes_nothing() -> None:
    first = json_of("set_target", "globex", "--channel", "beta")
    again = json_of("set_target", "globex", "--channel", "beta")

    assert first["changed"]
    assert not again["changed"]
    no_pin = {"version": None, "ends": None, "until": None, "then": None}
    assert first["before"] == no_pin | {"channel": "release"}
    assert first["target"] == again["target"] == no_pin | {"channel": "beta"}
    assert (first["tonight"]["code"], first["tonight"]["to"]) == ("upgrade", "4.3")
    assert text_of("set_target", "globex", "--channel", "beta").startswith("globex: beta already.")
    assert TargetChange.objects.count() == 1


def test_t2_t4_set_target_pins_until_a_date_until_caught_up_and_downwards() -> None:
    make_build("4.0")
    pin = ("set_target", "acme-shop", "--version", "4.3", "--reason", "A fix")

    dated = json_of(*pin, "--until", "2027-01-01T00:00", "--then", "beta")["target"]
    assert (dated["ends"], dated["until"], dated["then"]) == ("on_date", "2027-01-01T00:00:00+00:00", "beta")
    assert json_of(*pin, "--until", "caught-up", "--then", "stable")["target"]["ends"] == "caught_up"
    assert json_of("set_target", "globex", "--version", "4.0", "--reason", "Back", "--downgrade")["changed"]
    assert site("globex").may_downgrade
    assert refusal_of("set_target", "globex", "--version", "4.3") == "Pinning globex to 4.3 needs a reason."
    assert "Only a pin ends" in refusal_of("set_target", "globex", "--channel", "beta", "--until", "caught-up")
    assert "Only a pin ends" in refusal_of(*pin, "--then", "beta")
    assert "is not a time" in refusal_of(*pin, "--until", "soon")


def test_t4_set_target_refuses_in_one_line_and_changes_nothing() -> None:
    make_build("4.0")

    assert refusal_of("set_target", "globex", "--version", "4.0") == (
        "globex runs 4.2. 4.0 is older, and going back is refused."
    )
    assert refusal_of("set_target", "nobody", "--channel", "beta") == "No site is named nobody."
    assert refusal_of("set_target", "globex", "--version", "9.9") == "No build 9.9 is registered."
    assert "--channel" in refusal_of("set_target", "globex")
    assert "not allowed" in refusal_of("set_target", "globex", "--channel", "beta", "--version", "4.3")
    assert "invalid choice" in refusal_of("set_target", "globex", "--channel", "prod")
    assert not TargetChange.objects.exists()
    assert site("globex").target == Target(channel="release")


def test_p1_show_plan_says_what_the_plan_says() -> None:
    night = next_night(clock.now())
    planned = plan_night(clock.now())[1]

    shown = json_of("show_plan")

    assert (shown["date"], shown["at"]) == (night.date.isoformat(), night.starts_at.isoformat())
    assert shown["counts"] == {"upgrade": 2, "version_unknown": 1, "up_to_date": 1}
    assert [(one["site"], one["code"], one["sentence"], one["from"], one["to"]) for one in shown["sites"]] == [
        (one.site.slug, one.code, decision_sentence(one), one.site.reported, one.to and one.to.version)
        for one in planned
    ]
    deciding = {one["site"]: [rule["rule"] for rule in one["rules"] if rule["decides"]] for one in shown["sites"]}
    assert deciding == {
        "acme-test": [], "acme-shop": [], "globex": [Rule.TARGET], "initech": [Rule.VERSION],
    }  # fmt: skip


def test_show_plan_prints_each_site_with_the_rules_looked_at() -> None:
    said = text_of("show_plan")

    assert said.startswith("Night from ")
    assert "2 upgrades, 4 sites." in said
    assert "acme-shop  upgrade  4.1 → 4.2\n  ok      Current version: The site reports 4.1.\n" in said
    assert "  decides Target: Follows release and runs its build, 4.2." in said
    assert "initech  version_unknown  unknown → 4.2" in said
    assert not Run.objects.exists()


def test_show_plan_at_a_time_of_ones_own() -> None:
    shown = json_of("show_plan", "--at", "2030-01-02T03:04")

    assert (shown["at"], shown["date"]) == ("2030-01-02T03:04:00+00:00", None)
    assert "is not a time" in refusal_of("show_plan", "--at", "tonight")
    assert "is not a time" in refusal_of("show_plan", "--at", "2030-13-02T03:04")


def test_run_night_runs_the_night_that_is_meant_and_only_once(no_host_is_asked: list[str]) -> None:
    planned = {one["site"]: one["code"] for one in json_of("show_plan")["sites"]}

    first = json_of("run_night")

    run = Run.objects.get()
    assert (first["created"], first["run"], first["state"]) == (True, run.pk, "running")
    assert run.date == night_by_hand(clock.now()).date
    assert run.origin == "command"
    assert {row.instance.slug: row.code for row in run.decisions.all()} == planned
    assert [one["site"] for one in first["upgrades"]] == ["acme-test", "acme-shop"]
    assert {one["site"]: one["code"] for one in first["not_upgraded"]} == {
        "globex": "up_to_date", "initech": "version_unknown",
    }  # fmt: skip
    assert no_host_is_asked == ["unknown"]

    again = json_of("run_night")
    assert (again["created"], again["run"]) == (False, run.pk)
    assert f"has its run already: run {run.pk}." in text_of("run_night")
    assert no_host_is_asked == ["unknown"]
    assert Run.objects.count() == 1


def test_p7_the_automatic_night_of_that_date_makes_no_second_run() -> None:
    Schedule.objects.update(since=clock.now() - timedelta(days=3))
    json_of("run_night")
    date = Run.objects.get(missed=False).date
    assert date

    night = Schedule.objects.get().timetable.night(date)

    assert open_due_night(night.starts_at + timedelta(minutes=1)) is None
    assert Run.objects.filter(missed=False).count() == 1


def test_run_night_that_waits_prints_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upgrades.tasks.wait_for", finish)
    out, err = StringIO(), StringIO()

    call_command("run_night", "--wait", stdout=out, stderr=err)

    assert "acme-shop  4.1   4.2  Succeeded  0 s   Every check passed and the site reports 4.2." in out.getvalue()
    assert "initech" in out.getvalue()
    assert [line for line in err.getvalue().splitlines() if "ended" in line] == [
        "0 of 2 upgrades ended, 0 under way", "2 of 2 upgrades ended, 0 under way",
    ]  # fmt: skip


def test_json_of_a_run_that_ended_counts_its_outcomes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upgrades.tasks.wait_for", finish)

    ended = json_of("run_night", "--wait")

    assert (ended["state"], ended["outcomes"]) == ("ended", {"succeeded": 2})
    assert ended["upgrades"][0]["took_s"] == 0
    assert ended["ended_at"]


def test_upgrade_sites_upgrades_the_named_ones_now() -> None:
    answer = json_of("upgrade_sites", "acme-shop", "globex", "--reason", "Asked for")

    run = Run.objects.get()
    assert (run.kind, run.date, run.reason, run.origin) == ("manual", None, "Asked for", "command")
    assert answer["run"] == run.pk
    assert [one["site"] for one in answer["upgrades"]] == ["acme-shop"]
    assert [(one["site"], one["sentence"]) for one in answer["not_upgraded"]] == [
        ("globex", "Follows release and runs its build, 4.2.")
    ]


@pytest.mark.parametrize(
    ("option", "sites"),
    [
        ("--live", {"acme-shop", "globex", "initech"}),
        ("--test", {"acme-test"}),
        ("--all", {"acme-shop", "acme-test", "globex", "initech"}),
    ],
)
def test_upgrade_sites_takes_a_group(option: str, sites: set[str]) -> None:
    text_of("upgrade_sites", option)

    assert {row.instance.slug for row in Decision.objects.all()} == sites


def test_p3_upgrade_sites_first_asks_those_of_unknown_version(
    no_host_is_asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text_of("upgrade_sites", "--all")
    assert no_host_is_asked == ["initech"]

    def answered(ids: list[int]) -> None:
        for one in Instance.objects.filter(pk__in=ids):
            one.report("4.1", now=clock.now())

    monkeypatch.setattr("upgrades.tasks.ask_versions", answered)
    answer = json_of("upgrade_sites", "initech")
    assert [one["site"] for one in answer["upgrades"]] == ["initech"]


def test_upgrade_sites_waits_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upgrades.tasks.wait_for", finish)

    assert "Succeeded" in text_of("upgrade_sites", "acme-shop", "--wait")


def test_upgrade_sites_refuses_and_starts_nothing() -> None:
    assert refusal_of("upgrade_sites", "nobody", "acme-shop", "none") == "No site is named nobody, none."
    for arguments in ([], ["acme-shop", "--all"]):
        assert refusal_of("upgrade_sites", *arguments) == (
            "Name the sites, choose --live, --test or --all, or give a filter with --where."
        )
    assert "not allowed" in refusal_of("upgrade_sites", "--all", "--test")
    Instance.objects.filter(kind=Kind.TEST).delete()
    assert refusal_of("upgrade_sites", "--test") == "No site was chosen. Choose at least one."
    assert not Run.objects.exists()
    assert not Upgrade.objects.exists()


def heard(ids: list[int]) -> list[Answer]:
    """One site answers as before, one has moved, one prints nonsense, one cannot be reached."""
    answers = []
    for one in Instance.objects.filter(pk__in=ids).order_by("-slug"):
        raw = {"acme-shop": "4.1", "acme-test": "4.3", "globex": "<html>"}.get(one.slug)
        if raw is None:
            answers.append(Answer(one, error="web1 could not be reached."))
        else:
            answers.append(Answer(one, raw=raw, drifted=one.report(raw, now=clock.now())))
    return answers


def test_check_versions_asks_all_sites_or_the_named_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upgrades.tasks.ask_versions", heard)

    every = {one["site"]: one for one in json_of("check_versions")["sites"]}

    assert list(every) == ["acme-shop", "acme-test", "globex", "initech"]
    assert (every["acme-test"]["reported"], every["acme-test"]["drifted"]) == ("4.3", True)
    assert (every["globex"]["reported"], every["globex"]["readable"]) == ("<html>", False)
    assert (every["initech"]["reported"], every["initech"]["error"]) == (None, "web1 could not be reached.")
    assert text_of("check_versions", "acme-shop", "initech").splitlines()[1:] == [
        "acme-shop  4.1",
        "initech             Not asked: web1 could not be reached.",
    ]
    assert refusal_of("check_versions", "nobody") == "No site is named nobody."


def test_a_run_costs_the_same_queries_to_print_for_any_number_of_sites() -> None:
    json_of("upgrade_sites", "acme-shop", "globex")
    with CaptureQueriesContext(connection) as few:
        run_text(Run.objects.get())
    for number in range(10):
        make_instance(f"more-{number}", runs="4.1", host=make_host())
    more = json_of("upgrade_sites", "--all")
    with CaptureQueriesContext(connection) as many:
        run_text(Run.objects.get(pk=more["run"]))

    assert len(more["upgrades"]) == 11
    assert len(few) == len(many)


def test_json_is_one_object_on_standard_output_and_progress_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upgrades.tasks.wait_for", finish)
    out, err = StringIO(), StringIO()

    call_command("upgrade_sites", "--all", "--wait", "--json", stdout=out, stderr=err)

    assert json.loads(out.getvalue())["outcomes"] == {"succeeded": 2}
    assert "2 of 2" in err.getvalue()
