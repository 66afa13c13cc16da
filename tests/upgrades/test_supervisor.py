"""The supervisor with real threads and a real database, and a host at our own seam (U1 to U3, P9, P10)."""

import errno
import time
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
from django.db import OperationalError
from django.db.models.functions import Now

from builds.maturity import Maturity
from instances.models import Target
from instances.services import set_target
from releasemgr.lib.actors import COMMAND
from tests.factories import NOW, make_build, make_host, make_instance, one_wave
from tests.fakes import FakeHost, FakeRun, begin, complete, hang, roll_back
from tests.upgrades.supervising import due_upgrade, impatient, supervise, supervising, supervisor, until
from upgrades import host_thread
from upgrades.choices import EndCode, Outcome, StepState, UpgradeState
from upgrades.exceptions import HostKeyChanged, SiteLocked, Unreachable
from upgrades.models import HostLease, LogChunk, Run, Upgrade
from upgrades.services import claims, runs
from upgrades.services.logs import read_log
from upgrades.services.runs import start_upgrades

__all__ = ["impatient"]
pytestmark = pytest.mark.django_db(transaction=True)
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def test_a_due_upgrade_runs_and_its_log_steps_and_events_are_kept() -> None:
    """U1, U2, U10."""
    fake = FakeHost()
    upgrade = due_upgrade(fake)
    supervise(fake)
    upgrade.refresh_from_db()
    assert (upgrade.state, upgrade.outcome, upgrade.end_code) == (UpgradeState.ENDED, Outcome.SUCCEEDED, EndCode.DONE)
    assert read_log(upgrade, 0, 10**6) == fake.runs[upgrade.pk].log
    states = [(event.from_state, event.to_state) for event in upgrade.events.all()]
    assert states == [("waiting", "starting"), ("starting", "running"), ("running", "ended")]
    migrate = upgrade.steps.get(name="migrate")
    assert (migrate.state, migrate.exit_status, migrate.title) == (StepState.SUCCEEDED, 0, "Migrate")
    upgrade.instance.refresh_from_db()
    assert upgrade.instance.reported_version == "2.0"
    assert Run.objects.get().ended_at is not None
    assert not HostLease.objects.filter(until__gt=Now()).exists()


def test_a_failed_upgrade_that_came_back_is_rolled_back_and_names_its_first_error() -> None:
    """U5: the way back is a phase of its own, and ends with the old version read back."""
    fake = FakeHost(script=roll_back)
    upgrade = due_upgrade(fake)
    supervise(fake)
    upgrade.refresh_from_db()
    assert upgrade.outcome == Outcome.ROLLED_BACK
    assert (upgrade.first_error, upgrade.first_error_line) == ("IntegrityError: no tax code", 6)
    assert upgrade.end_values["step"] == "Health check"
    assert [event.to_state for event in upgrade.events.all()][-2:] == ["rolling_back", "ended"]
    assert upgrade.steps.get(name="switch-back").phase == "back"


def test_a_site_that_is_there_already_is_not_touched() -> None:
    """P10: read before, already there is a success."""
    fake = FakeHost()
    upgrade = due_upgrade(fake, reports="2.0")
    supervise(fake)
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.ALREADY_THERE, EndCode.ALREADY_THERE)
    assert fake.begun == []
    assert fake.artifacts == []
    upgrade.instance.refresh_from_db()
    assert upgrade.instance.reported_version == "2.0"


def test_a_site_that_drifted_is_recorded_and_planned_anew_not_touched() -> None:
    """P10: something else than recorded is drift."""
    fake = FakeHost()
    upgrade = due_upgrade(fake, reports="1.5")
    supervise(fake)
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.SKIPPED, EndCode.DRIFT)
    assert upgrade.end_values["reported"] == "1.5"
    assert fake.begun == []
    upgrade.instance.refresh_from_db()
    assert upgrade.instance.reported_version == "1.5"


def test_a_site_that_does_not_tell_its_version_is_never_upgraded_blind() -> None:
    """P3."""
    fake = FakeHost()
    upgrade = due_upgrade(fake)
    fake.versions.clear()
    supervise(fake)
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.BLOCKED, EndCode.VERSION_UNREADABLE)
    assert fake.begun == []


def test_a_host_that_does_not_answer_blocks_after_some_tries_and_says_since_when() -> None:
    """U2: unreachable is a kind of blocked."""
    fake = FakeHost(refusal=Unreachable("No answer within 10 seconds."))
    upgrade = due_upgrade(fake)
    supervise(fake)
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.BLOCKED, EndCode.UNREACHABLE)
    assert fake.connections >= host_thread.TRIES
    host = upgrade.instance.host
    host.refresh_from_db()
    assert (host.failure, host.failing_since) == ("No answer within 10 seconds.", NOW + timedelta(minutes=1))


def test_a_changed_host_key_blocks_at_once_and_is_kept_for_a_person() -> None:
    """U6: never tried again, both keys known."""
    fake = FakeHost()
    upgrade = due_upgrade(fake)
    pinned = upgrade.instance.host.host_key
    fake.refusal = HostKeyChanged(pinned, OTHER_KEY)
    supervise(fake)
    upgrade.refresh_from_db()
    host = upgrade.instance.host
    host.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.BLOCKED, EndCode.HOST_KEY)
    assert (host.host_key, host.offered_key) == (pinned, OTHER_KEY)
    assert not host.key_trusted


def test_a_damaged_artefact_is_quarantined_and_never_sent() -> None:
    """R2."""
    fake = FakeHost()
    upgrade = due_upgrade(fake)
    upgrade.build.artifact_path.write_bytes(b"something else")
    supervise(fake)
    upgrade.refresh_from_db()
    upgrade.build.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.BLOCKED, EndCode.ARTIFACT_DAMAGED)
    assert upgrade.build.quarantined_at is not None
    assert (fake.artifacts, fake.begun) == ([], [])


def test_a_site_locked_by_something_else_is_blocked() -> None:
    fake = FakeHost(start_refusal=SiteLocked("locked"))
    upgrade = due_upgrade(fake)
    supervise(fake)
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.BLOCKED, EndCode.SITE_LOCKED)


def test_an_upgrade_whose_target_changed_meanwhile_is_skipped_with_the_reason() -> None:
    """P9."""
    fake = FakeHost()
    upgrade = due_upgrade(fake)
    set_target(upgrade.instance, Target(channel="stable"), actor=COMMAND, now=NOW)
    supervise(fake)
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.SKIPPED, EndCode.REPLANNED)
    assert "stable" in upgrade.end_values["text"]
    assert upgrade.started_at is None
    assert fake.begun == []


def test_after_a_lost_link_it_attaches_again_and_no_log_line_is_lost_or_doubled() -> None:
    """U3."""
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)
    with supervising(supervisor(fake)):
        until(lambda: LogChunk.objects.filter(upgrade=upgrade).exists())
        fake.cut()
        run = fake.runs[upgrade.pk]
        run.log += b"one more line\n"
        until(lambda: b"one more" in read_log(upgrade, 0, 10**6))
        run.finish("change", 5, "migrate")
        complete(fake, upgrade.instance.path, run, {"TO_VERSION": "2.0"})
        until(lambda: Upgrade.objects.get().state == UpgradeState.ENDED)
    upgrade.refresh_from_db()
    assert upgrade.outcome == Outcome.SUCCEEDED
    assert read_log(upgrade, 0, 10**6) == run.log
    assert fake.begun == [upgrade.pk]
    assert fake.connections >= 2


def test_a_supervisor_told_to_leave_detaches_and_the_next_one_finishes() -> None:
    """U3: a restart of the dashboard changes no outcome."""
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)
    first = supervisor(fake)
    with supervising(first):
        until(lambda: Upgrade.objects.get().state == UpgradeState.RUNNING)
        began_leaving = time.monotonic()
    assert time.monotonic() - began_leaving < 5
    assert Upgrade.objects.get().state == UpgradeState.RUNNING
    assert not HostLease.objects.filter(until__gt=Now()).exists()
    run = fake.runs[upgrade.pk]
    run.finish("change", 5, "migrate")
    complete(fake, upgrade.instance.path, run, {"TO_VERSION": "2.0"})
    supervise(fake)
    upgrade.refresh_from_db()
    assert upgrade.outcome == Outcome.SUCCEEDED
    assert read_log(upgrade, 0, 10**6) == run.log
    assert fake.begun == [upgrade.pk]


def test_an_upgrade_that_was_starting_when_its_supervisor_died_begins_once() -> None:
    """U1, U3: died before the host began, and died after it began but before that was written."""
    for began_on_host in (False, True):
        Upgrade.objects.all().delete()
        fake = FakeHost()
        site = make_instance(host=make_host())
        make_build(f"2.{int(began_on_host)}.0", maturity=Maturity.RELEASE)
        fake.versions[site.path] = "1.0"
        upgrade = start_upgrades([site], actor=COMMAND, now=NOW).upgrades.get()
        assert claims.begin(upgrade, now=NOW)
        if began_on_host:
            run = fake.runs[upgrade.pk] = FakeRun()
            values = {"UPGRADE": str(upgrade.pk), "FROM_VERSION": "1.0", "TO_VERSION": upgrade.build.version}
            begin(run, values)
            complete(fake, site.path, run, values)
        supervise(fake)
        upgrade.refresh_from_db()
        assert upgrade.outcome == Outcome.SUCCEEDED
        assert fake.begun == ([] if began_on_host else [upgrade.pk])


def test_a_runner_that_is_gone_in_a_change_needs_a_person_and_locks_the_site() -> None:
    """U2: what cannot be known is never called done."""

    def vanish(host: FakeHost, path: str, run: FakeRun, values: Mapping[str, str]) -> None:
        hang(host, path, run, values)
        run.gone = True

    fake = FakeHost(script=vanish)
    upgrade = due_upgrade(fake)
    supervise(fake)
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.NEEDS_A_PERSON, EndCode.RUNNER_GONE)
    again = start_upgrades([upgrade.instance], actor=COMMAND, now=NOW)
    assert again.decisions.get().code == "needs_a_person"
    assert not again.upgrades.exists()


def test_no_more_upgrades_of_a_host_run_at_once_than_it_allows() -> None:
    one_wave()
    fake = FakeHost(script=hang)
    make_build("2.0", maturity=Maturity.RELEASE)
    host = make_host(max_parallel=2)
    sites = [make_instance(host=host) for _ in range(5)]
    fake.versions = {site.path: "1.0" for site in sites}
    start_upgrades(sites, actor=COMMAND, now=NOW)
    with supervising(supervisor(fake)):
        until(lambda: len(fake.begun) == 2)
        time.sleep(0.3)
        assert len(fake.begun) == 2
        for _ in range(5):
            number = fake.begun[-1]
            before = len(fake.begun)
            values = {"TO_VERSION": "2.0"}
            complete(fake, Upgrade.objects.get(pk=number).instance.path, fake.runs[number], values)
            until(lambda before=before: len(fake.begun) == min(before + 1, 5))  # type: ignore[misc]
            if before == 5:
                break
        for number, run in fake.runs.items():
            if run.result is None:
                complete(fake, Upgrade.objects.get(pk=number).instance.path, run, {"TO_VERSION": "2.0"})
        until(lambda: not Upgrade.objects.active().exists())
    assert Upgrade.objects.filter(outcome=Outcome.SUCCEEDED).count() == 5
    assert fake.connections == 1


def test_a_supervisor_whose_lease_was_taken_writes_nothing_more() -> None:
    """U3: the fence before every write."""
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)
    with supervising(supervisor(fake)):
        until(lambda: Upgrade.objects.get().state == UpgradeState.RUNNING)
        until(lambda: len(Upgrade.objects.get().journal) > 0)
        HostLease.objects.update(token=uuid.uuid4(), until=Now() + timedelta(hours=1))
        kept = read_log(upgrade, 0, 10**6)
        fake.runs[upgrade.pk].log += b"written after the lease was lost\n"
        time.sleep(0.5)
        assert read_log(upgrade, 0, 10**6) == kept


def test_after_trouble_with_the_database_everything_is_read_anew_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """U3: memory never runs ahead of the rows."""
    fake = FakeHost()
    upgrade = due_upgrade(fake)
    real, failures = claims.still_held, iter([OperationalError("server closed the connection")] * 2)

    def sometimes(*args: object) -> set[int]:
        failure = next(failures, None)
        if failure:
            raise failure
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(claims, "still_held", sometimes)
    monkeypatch.setattr(claims, "LEASE", timedelta(seconds=0.3))
    supervise(fake)
    upgrade.refresh_from_db()
    assert upgrade.outcome == Outcome.SUCCEEDED
    assert read_log(upgrade, 0, 10**6) == fake.runs[upgrade.pk].log
    assert fake.begun == [upgrade.pk]


def test_an_error_that_is_none_of_the_database_leaves_nothing_out_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """U3: while it leaves, memory is ahead of the rows: the transaction in which it came was taken back."""
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)

    real, failures = runs.settle, [OSError(errno.ENOSPC, "No space left on device")]

    def break_once(now: datetime) -> None:
        if failures and LogChunk.objects.exists():
            fake.runs[upgrade.pk].log += b"Applying 0148...\n"
            raise failures.pop()
        real(now)

    monkeypatch.setattr(runs, "settle", break_once)
    with pytest.raises(OSError, match="No space left"):
        supervise(fake)

    assert not LogChunk.objects.exists()
    assert not HostLease.objects.filter(until__gt=Now()).exists()
    run = fake.runs[upgrade.pk]
    run.finish("change", 5, "migrate")
    complete(fake, upgrade.instance.path, run, {"TO_VERSION": "2.0"})
    supervise(fake)
    upgrade.refresh_from_db()
    assert upgrade.outcome == Outcome.SUCCEEDED
    assert read_log(upgrade, 0, 10**6) == run.log
    assert fake.begun == [upgrade.pk]


def test_two_supervisors_never_hold_one_host() -> None:
    fake = FakeHost(script=hang)
    due_upgrade(fake)
    with supervising(supervisor(fake)), supervising(supervisor(fake)):
        until(lambda: Upgrade.objects.get().state == UpgradeState.RUNNING)
        time.sleep(0.5)
        assert fake.connections == 1
