"""`manage.py doctor`: what each check finds, and what it says to do."""

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ, Schedule, Task
from pytest_django import Settings

from builds.maturity import Maturity
from instances.models import Freeze
from instances.services import open_freeze
from releasemgr.demo import hosts as demo_hosts
from releasemgr.doctor import database, engine, examination, fleet, machine
from releasemgr.doctor.contact import sign_in
from releasemgr.doctor.findings import NAMED, Finding, Level, named
from releasemgr.lib import clock, queue
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.heartbeats.models import Heartbeat
from tests.commands import json_of, refusal_of, text_of
from tests.factories import NOW, make_build, make_host, make_instance, make_upgrade
from tests.fakes import STAMP, FakeHost
from upgrades import tasks
from upgrades.choices import UpgradeState
from upgrades.exceptions import SignInRefused
from upgrades.models import HostLease, Slot

DAY = timedelta(days=1)
WELL = (
    "settings", "ssh-key", "disk", "time-zones", "database", "migrations", "clock", "schedule", "workers", "tasks",
    "slots", "leases", "hosts", "artefacts", "recipes", "secrets", "zones-in-use",
)  # fmt: skip

pytestmark = pytest.mark.django_db


@pytest.fixture
def key(settings: Settings, tmp_path: Path) -> Path:
    settings.SSH_KEY_FILE = tmp_path / "keys" / "id_ed25519"
    demo_hosts.ensure_key(settings.SSH_KEY_FILE)
    return Path(settings.SSH_KEY_FILE)


@pytest.fixture
def healthy(settings: Settings, tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation with nothing wrong, on a machine with a large disk."""
    settings.SECURE_HTTPS = settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.SECURE_HSTS_SECONDS = 3600
    settings.SECRET_KEY = "correct-horse-battery-staple-0123456789-abcdefghijklmnop"
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=machine.LOW))
    Schedule.objects.filter(name="reaper").update(next_run=clock.now())


def levels(findings: Iterable[Finding]) -> list[Level]:
    return [finding.level for finding in findings]


def only(findings: Iterable[Finding], level: Level) -> str:
    """What the one finding says, and that it says what to do unless all is well."""
    (finding,) = findings
    assert finding.level is level, finding
    assert bool(finding.do) is (level is not Level.OK)
    return finding.said


# The command.


@pytest.mark.usefixtures("healthy")
def test_an_installation_that_is_well_has_a_line_for_each_check_and_the_exit_status_0() -> None:
    lines = text_of("doctor").splitlines()

    assert [line.split()[:2] for line in lines] == [["ok", check] for check in WELL]


@pytest.mark.usefixtures("healthy")
def test_for_monitoring_it_prints_one_object() -> None:
    told = json_of("doctor")

    assert (told["errors"], told["warnings"]) == (0, 0)
    assert [finding["check"] for finding in told["findings"]] == list(WELL)
    assert set(told["findings"][0]) == {"check", "level", "said", "do"}


@pytest.mark.usefixtures("healthy")
def test_a_warning_leaves_the_exit_status_at_0(settings: Settings) -> None:
    settings.SECURE_HTTPS = False

    assert json_of("doctor")["warnings"] == 1


@pytest.mark.usefixtures("healthy")
def test_an_error_is_printed_with_the_rest_and_makes_the_exit_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    Heartbeat.objects.filter(name="upgrades").update(at=Now() - timedelta(minutes=4))

    assert refusal_of("doctor") == "Errors: 1, warnings: 0."
    with pytest.raises(CommandError):
        call_command("doctor")
    said = capsys.readouterr().out
    assert "error    workers       No upgrade worker has answered for 4 min. See that manage.py serve runs" in said
    assert "ok       recipes" in said


@pytest.mark.usefixtures("healthy")
def test_a_database_that_is_down_is_said_instead_of_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> Any:
        raise OperationalError("connection refused\nIs the server running?")

    monkeypatch.setattr(connection, "cursor", refuse)

    assert refusal_of("doctor") == "Errors: 1, warnings: 0."
    assert database.answer_of_database().said == "The database does not answer: connection refused"


@pytest.mark.usefixtures("healthy")
def test_a_database_that_breaks_off_costs_only_the_checks_that_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off() -> list[Finding]:
        raise OperationalError("server closed the connection")

    monkeypatch.setitem(examination.WITH_DATABASE, "hosts", break_off)

    assert refusal_of("doctor") == "Errors: 1, warnings: 0."


@pytest.mark.usefixtures("healthy")
def test_no_host_is_reached_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    make_host("web-1")
    host = FakeHost()
    monkeypatch.setattr(tasks, "connect", host.connect)

    assert "sign-in" not in text_of("doctor")
    assert host.connections == 0


@pytest.mark.usefixtures("healthy")
def test_it_changes_nothing() -> None:
    make_instance()
    with CaptureQueriesContext(connection) as asked:
        text_of("doctor")
    verbs = {query["sql"].split()[0] for query in asked.captured_queries}
    assert verbs <= {"SELECT", "SHOW"}


def test_many_names_are_not_all_said() -> None:
    assert named(range(NAMED)) == "0, 1, 2, 3, 4"
    assert named(range(NAMED + 2)) == "0, 1, 2, 3, 4 and 2 more"


# The machine.


@pytest.mark.usefixtures("healthy")
def test_debug_is_an_error_and_a_weak_key_a_warning(settings: Settings) -> None:
    settings.DEBUG = True
    settings.SECRET_KEY = "short"

    said = [finding.said for finding in machine.settings_of_the_processes()]

    assert "RELEASEMGR_DEBUG is on: error pages show code and settings to everyone." in said
    assert any(each.startswith("security.W009") for each in said)


def test_a_key_file_that_is_missing_is_an_error(settings: Settings, tmp_path: Path) -> None:
    settings.SSH_KEY_FILE = tmp_path / "none"
    assert str(tmp_path / "none") in only(machine.ssh_key(), Level.ERROR)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_file_that_others_may_use_is_an_error(key: Path, mode: int) -> None:
    key.chmod(mode)
    assert f"mode {mode:03o}" in only(machine.ssh_key(), Level.ERROR)


def test_a_key_file_without_a_key_is_an_error(key: Path) -> None:
    key.write_text("nothing of that kind")
    assert "cannot be used" in only(machine.ssh_key(), Level.ERROR)


@pytest.mark.parametrize(
    ("free", "level"),
    [
        (machine.SCARCE - 1, Level.ERROR),
        (machine.SCARCE, Level.WARNING),
        (machine.LOW - 1, Level.WARNING),
        (machine.LOW, Level.OK),
    ],
)
def test_little_free_space_is_a_warning_and_hardly_any_an_error(free: int, level: Level) -> None:
    only([machine.judge_space("var", free)], level)


@pytest.mark.usefixtures("healthy")
def test_a_folder_that_cannot_be_written_to_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert levels(machine.disk()).count(Level.ERROR) == 2


def test_folders_that_are_not_made_yet_are_looked_at_where_they_will_be(settings: Settings, tmp_path: Path) -> None:
    settings.ARTIFACT_DIR = settings.VAR_DIR = tmp_path / "not" / "yet"
    assert Level.ERROR not in levels(machine.disk())


def test_a_time_zone_without_data_is_an_error(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoneinfo.available_timezones", set)
    assert "no data" in only(machine.time_zones(), Level.ERROR)


# The database.


def test_a_database_that_lacks_a_migration_or_has_an_unknown_one_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'heartbeats'")
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('upgrades', '0099_later', now())")

    lacks, newer = (finding.said for finding in database.migrations())

    assert lacks == "Migrations that the database lacks: 1."
    assert newer == "The database was migrated by a newer version: 0099_later."


@pytest.mark.parametrize(
    ("seconds", "level", "word"),
    [(0, Level.OK, "agree"), (1.9, Level.OK, "agree"), (3, Level.WARNING, "ahead of"), (-40, Level.ERROR, "behind")],
)
def test_clocks_that_differ(seconds: float, level: Level, word: str) -> None:
    theirs = NOW + timedelta(seconds=seconds)
    assert word in only([database.judge_clock("the database", theirs, NOW, NOW)], level)


def test_a_clock_that_was_read_while_we_waited_agrees() -> None:
    assert database.judge_clock("it", NOW + timedelta(seconds=50), NOW, NOW + DAY).level is Level.OK


# What works in the background.


@pytest.mark.parametrize("name", ["night", "reaper"])
def test_a_schedule_without_an_entry_is_an_error(name: str) -> None:
    Schedule.objects.update(next_run=clock.now())
    Schedule.objects.filter(name=name).delete()
    assert name in only(engine.schedule(), Level.ERROR)


def test_an_entry_that_nobody_woke_is_an_error_but_just_after_a_start() -> None:
    Schedule.objects.filter(name="reaper").update(next_run=clock.now() - timedelta(minutes=4))
    assert "did not come" in only(engine.schedule(), Level.WARNING)
    Heartbeat.objects.filter(name="schedule").update(at=Now() - timedelta(minutes=4))
    assert "did not come" in only(engine.schedule(), Level.ERROR)


def test_a_night_that_is_woken_at_another_time_than_its_start_is_an_error() -> None:
    Schedule.objects.filter(name="reaper").update(next_run=clock.now())
    Schedule.objects.filter(name="night").update(next_run=clock.now() + timedelta(days=3))
    assert "not its start" in only(engine.schedule(), Level.ERROR)


def test_every_cluster_that_is_silent_is_named() -> None:
    Heartbeat.objects.update(at=None)
    assert [finding.said for finding in engine.workers()] == [
        "No worker has answered yet.", "The schedule has not run yet.", "No upgrade worker has answered yet.",
    ]  # fmt: skip


def test_tasks_that_wait_are_a_warning_and_when_none_is_taken_for_long_an_error() -> None:
    OrmQ.objects.create(key=queue.UPGRADES, payload="", lock=clock.now() - timedelta(minutes=4))
    assert "Tasks of the upgrades workers" in only(engine.tasks(), Level.WARNING)

    OrmQ.objects.update(lock=clock.now() - timedelta(minutes=20))
    only(engine.tasks(), Level.ERROR)


def test_tasks_that_failed_lately_are_a_warning() -> None:
    for number, ago in enumerate((timedelta(hours=1), timedelta(hours=2), timedelta(hours=30))):
        at = clock.now() - ago
        Task.objects.create(id=str(number), name="x", func="upgrades.tasks.reap", started=at, stopped=at, success=False)
    assert only(engine.tasks(), Level.WARNING) == "Failures of the task “reap” in the last 24 hours: 2."


def test_slots_that_are_missing_or_closed_are_told_of() -> None:
    Slot.objects.filter(number=1).update(stopping=True)
    assert "stop: 1." in only(engine.slots(), Level.WARNING)
    Slot.objects.all().delete()
    only(engine.slots(), Level.ERROR)


def test_an_upgrade_under_way_that_nobody_watches_is_an_error() -> None:
    upgrade = make_upgrade(state=UpgradeState.RUNNING, started_at=NOW)
    assert str(upgrade.pk) in only(engine.leases(), Level.ERROR)

    lease = HostLease.objects.create(host=upgrade.instance.host, until=clock.now() + timedelta(seconds=20))
    assert only(engine.leases(), Level.OK) == "Upgrades under way: 1. Each is watched."

    HostLease.objects.filter(pk=lease.pk).update(until=clock.now() - timedelta(minutes=4))
    only(engine.leases(), Level.ERROR)


# The fleet.


def test_hosts_that_ask_for_a_person_are_named_by_what_is_wrong() -> None:
    make_host("new", host_key="", host_key_approved_at=None)
    make_host("changed", offered_key="ssh-ed25519 AAAA", offered_at=NOW)
    make_host("dead", failing_since=NOW, failure="No answer.")
    make_host("off", enabled=False, host_key="", host_key_approved_at=None)
    make_host("well")

    found = {finding.said.rpartition(": ")[2]: finding.level for finding in fleet.hosts()}

    assert found == {"changed.": Level.ERROR, "new.": Level.WARNING, "dead.": Level.WARNING}


def test_an_artefact_that_a_site_may_need_and_that_is_missing_or_cut_is_an_error() -> None:
    gone = make_build("4.1", maturity=Maturity.STABLE)
    cut = make_build("4.0")
    make_instance(target_build=cut)
    unused = make_build("3.9")
    for build in (gone, unused):
        build.artifact_path.unlink()
    cut.artifact_path.write_bytes(b"4")

    missing, other = fleet.artefacts()

    assert (missing.level, other.level) == (Level.ERROR, Level.ERROR)
    assert missing.said.endswith(": 4.1.")
    assert other.said.endswith(": 4.0.")


def test_artefacts_cost_the_same_queries_however_many_there_are() -> None:
    counts = []
    for _ in range(2):
        make_instance(target_build=make_build())
        with CaptureQueriesContext(connection) as asked:
            list(fleet.artefacts())
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_a_recipe_that_cannot_be_read_is_an_error_where_a_site_uses_it(settings: Settings, tmp_path: Path) -> None:
    settings.RECIPE_DIRS = [tmp_path, tmp_path / "none"]
    for name in ("used", "unused"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.toml").write_text("not toml")
    make_instance(recipe="used")

    folder, unused, used = fleet.recipes()

    assert folder.said == f"The folder {tmp_path / 'none'} of RELEASEMGR_RECIPES is not there."
    assert (used.level, unused.level) == (Level.ERROR, Level.WARNING)
    assert "“used” (sites that use it: 1)" in used.said


def test_u8_a_secret_that_a_recipe_names_and_this_machine_does_not_have_is_an_error(
    settings: Settings, tmp_path: Path
) -> None:
    settings.RECIPE_DIRS, settings.SECRETS_DIR = [tmp_path / "recipes"], tmp_path / "secrets"
    (tmp_path / "recipes" / "ours").mkdir(parents=True)
    (tmp_path / "secrets").mkdir()
    step = '[[steps]]\nname = "go"\ntitle = "Go"\nphase = "prepare"\ncommand = "true"\ntimeout = 9\n'
    recipe = f'title = "Ours"\nversion_command = "true"\nsecrets = ["TOKEN"]\n{step}'
    (tmp_path / "recipes" / "ours" / "recipe.toml").write_text(recipe)
    make_instance("acme-live", recipe="ours")
    make_instance("acme-test", recipe="ours")
    make_instance("other")

    (missing,) = fleet.secrets()
    file = tmp_path / "secrets" / "TOKEN"
    file.write_text("hunter2-hunter2\n")
    file.chmod(0o644)
    (readable,) = fleet.secrets()
    file.chmod(0o600)
    (fine,) = fleet.secrets()

    assert missing.level == Level.ERROR
    assert missing.said.startswith(
        "Upgrades of these sites would be blocked: acme-live, acme-test. TOKEN cannot be found."
    )
    assert (readable.level, str(file) in readable.said) == (Level.WARNING, True)
    assert fine.said == "Recipes of sites that name secrets: 1. Each secret is there."
    assert "hunter2" not in readable.said + fine.said


def test_a_zone_that_a_freeze_uses_and_this_machine_does_not_know_is_an_error() -> None:
    values = {"name": "x", "scope": "all", "zone": "UTC", "reason": "x", "starts_at": NOW, "ends_at": NOW + DAY}
    open_freeze(values, actor=COMMAND, now=NOW)
    only(fleet.time_zones_in_use(), Level.OK)
    Freeze.objects.update(zone="Europe/Atlantis")
    assert "Europe/Atlantis" in only(fleet.time_zones_in_use(), Level.ERROR)


# Reaching hosts.


def test_hosts_that_let_us_in_have_their_clock_read(monkeypatch: pytest.MonkeyPatch) -> None:
    make_host("web-1")
    make_host("web-2", enabled=False)
    fake = FakeHost()
    monkeypatch.setattr(tasks, "connect", fake.connect)
    monkeypatch.setattr(clock, "now", lambda: datetime.fromtimestamp(STAMP, UTC) + timedelta(seconds=0.9))

    assert only(sign_in(), Level.OK) == "Hosts that let us in and whose clock agrees: 1 of 1."
    assert fake.connections == 1
    assert all(link.broken for link in fake.links), "closed again"


def test_a_host_whose_clock_is_off_or_that_refuses_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    make_host("web-1")
    fake = FakeHost()
    monkeypatch.setattr(tasks, "connect", fake.connect)
    monkeypatch.setattr(clock, "now", lambda: datetime.fromtimestamp(STAMP, UTC) + timedelta(minutes=2))
    assert only(sign_in(), Level.ERROR).startswith("The clock of web-1 is 1 min 59 s behind")

    fake.refusal = SignInRefused("web-1 does not let releasemgr in.")
    assert only(sign_in(), Level.ERROR) == "web-1: web-1 does not let releasemgr in."
