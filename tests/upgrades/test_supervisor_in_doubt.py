"""What a supervisor does where it cannot know: no answer, no lease, no traces, a fault of its own (U1 to U3)."""

import os
import select
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from builds.maturity import Maturity
from instances.models import Target
from instances.services import note_version, set_target
from releasemgr.lib.actors import COMMAND
from tests.factories import NOW, make_build, make_host, make_instance, one_wave
from tests.fakes import FakeFollower, FakeHost, FakeRemote, FakeRun, begin, complete, hang
from tests.upgrades.supervising import due_upgrade, impatient, supervise, supervising, supervisor, until
from upgrades import host_thread, watched
from upgrades.choices import EndCode, Outcome, UpgradeState
from upgrades.contact import HostAddress
from upgrades.exceptions import ConnectionLost, HostKeyChanged, StartFailed, Unreachable
from upgrades.host_thread import HostThread, Left, NotReached, Observation
from upgrades.models import HostLease, Upgrade
from upgrades.services import claims
from upgrades.services.addresses import address_of
from upgrades.services.assignments import assignment_for
from upgrades.services.logs import read_log
from upgrades.services.runs import start_upgrades

__all__ = ["impatient"]
pytestmark = pytest.mark.django_db(transaction=True)
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
LATER = NOW + timedelta(minutes=1)


def ended(upgrade: Upgrade) -> tuple[str | None, str]:
    upgrade.refresh_from_db()
    return upgrade.outcome, upgrade.end_code


def states(upgrade: Upgrade) -> list[str]:
    return [event.to_state for event in upgrade.events.all()]


def test_an_upgrade_whose_begin_was_not_answered_is_not_called_untouched_however_long_the_host_is_away() -> None:
    """U2, U3."""
    fake = FakeHost(lost_answer=ConnectionLost("The link is gone."))
    upgrade = due_upgrade(fake)

    def then_away(host: FakeHost, path: str, run: FakeRun, values: Mapping[str, str]) -> None:
        hang(host, path, run, values)
        host.refusal = Unreachable("No answer.")

    fake.script = then_away
    with supervising(supervisor(fake)):
        until(lambda: fake.connections > 3 * host_thread.TRIES)
        assert Upgrade.objects.get().state == UpgradeState.STARTING
        fake.refusal = None
        until(lambda: Upgrade.objects.get().state == UpgradeState.RUNNING)
        complete(fake, upgrade.instance.path, fake.runs[upgrade.pk], {"TO_VERSION": "2.0"})
        until(lambda: Upgrade.objects.get().state == UpgradeState.ENDED)
    assert ended(upgrade) == (Outcome.SUCCEEDED, EndCode.DONE)
    assert fake.begun == [upgrade.pk]


def test_an_upgrade_that_began_although_its_start_failed_is_followed() -> None:
    """U2: after any doubt the host is asked again."""
    fake = FakeHost(lost_answer=StartFailed("The runner did not begin."))
    upgrade = due_upgrade(fake)
    supervise(fake)
    assert ended(upgrade) == (Outcome.SUCCEEDED, EndCode.DONE)
    assert fake.begun == [upgrade.pk]


def test_an_upgrade_taken_over_from_a_dead_supervisor_waits_for_its_host() -> None:
    """U3: it may run there, so nobody calls it blocked."""
    fake = FakeHost(refusal=Unreachable("No answer."))
    upgrade = due_upgrade(fake)
    assert claims.begin(upgrade, now=NOW)
    with supervising(supervisor(fake)):
        until(lambda: fake.connections > 3 * host_thread.TRIES)
    assert ended(upgrade) == (None, "")
    assert upgrade.state == UpgradeState.STARTING


def test_an_upgrade_taken_over_that_has_not_begun_is_asked_of_the_plan_once_more() -> None:
    """P9: hours may have passed since it was handed out."""
    fake = FakeHost()
    upgrade = due_upgrade(fake)
    assert claims.begin(upgrade, now=NOW)
    set_target(upgrade.instance, Target(channel="stable"), actor=COMMAND, now=NOW)
    supervise(fake)
    assert ended(upgrade) == (Outcome.SKIPPED, EndCode.REPLANNED)
    assert states(upgrade) == ["starting", "waiting", "ended"]
    assert (fake.begun, upgrade.started_at) == ([], None)


def test_a_thread_gives_up_only_what_it_had_in_hand() -> None:
    """What is handed out while it fails is neither blocked nor begun behind the back of the rows."""
    fake = FakeHost(refusal=Unreachable("No answer."))
    upgrade = due_upgrade(fake)
    told: list[Observation] = []
    thread = HostThread(address_of(upgrade.instance.host), fake.connect, told.append)
    thread.start()
    assert claims.begin(upgrade, now=NOW)
    thread.give(assignment_for(upgrade, taken_over=False))
    until(lambda: any(isinstance(one, NotReached) and upgrade.pk in one.given_up for one in told))
    fake.refusal = None
    thread.leave()
    thread.join(5)
    assert (fake.begun, fake.connections) == ([], host_thread.TRIES)


def test_a_thread_that_was_told_to_leave_while_it_connects_starts_nothing() -> None:
    """U1: its lease may be another's by now."""
    fake = FakeHost()
    upgrade = due_upgrade(fake)
    assert claims.begin(upgrade, now=NOW)
    connecting, may_connect = threading.Event(), threading.Event()

    def slowly(address: HostAddress) -> FakeRemote:
        connecting.set()
        assert may_connect.wait(10)
        return fake.connect(address)

    told: list[Observation] = []
    thread = HostThread(address_of(upgrade.instance.host), slowly, told.append)
    thread.give(assignment_for(upgrade, taken_over=False))
    thread.start()
    assert connecting.wait(10)
    thread.abandon()
    may_connect.set()
    thread.join(10)
    assert isinstance(told[-1], Left)
    assert fake.begun == []
    assert fake.links[0].broken


def test_a_supervisor_whose_lease_was_taken_begins_nothing() -> None:
    """U1: who holds the host now would not watch it."""
    fake = FakeHost()
    upgrade = due_upgrade(fake)
    one = supervisor(fake)
    one._claim(claims.due_by_host(LATER))
    HostLease.objects.update(token=uuid.uuid4(), until=Now() + timedelta(hours=1))
    one._hand_out(claims.due_by_host(LATER))
    one._leave()
    upgrade.refresh_from_db()
    assert upgrade.state == UpgradeState.WAITING
    assert fake.begun == []


def test_a_lease_that_ran_out_untaken_is_kept_and_its_host_not_claimed_twice() -> None:
    """A machine that slept for a minute must not speak to a host with two threads."""
    upgrade = due_upgrade(FakeHost())
    token = uuid.uuid4()
    host = upgrade.instance.host
    assert claims.claim_hosts(token, [host.pk], most=9) == [host]
    HostLease.objects.update(until=Now() - timedelta(minutes=1))
    assert claims.claim_hosts(token, [host.pk], most=9) == []
    assert claims.renew(token) == {host.pk}
    assert claims.claim_hosts(uuid.uuid4(), [host.pk], most=9) == []


def test_what_an_earlier_thread_of_a_host_still_tells_is_not_listened_to() -> None:
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)
    one = supervisor(fake)
    with supervising(one):
        until(lambda: Upgrade.objects.get().state == UpgradeState.RUNNING)
        now_held = one._held[upgrade.instance.host_id]
        earlier = type(now_held)(now_held.host, fake.connect, one._told)
        one._told.put((earlier, Left()))
        time.sleep(0.5)
        assert one._held[upgrade.instance.host_id] is now_held
        assert fake.connections == 1


def test_a_fault_while_connecting_to_a_host_is_said_and_not_repeated_at_once() -> None:
    fake = FakeHost(refusal=RuntimeError("a bug"))
    upgrade = due_upgrade(fake)
    supervise(fake, lasting=1.5)
    assert ended(upgrade) == (Outcome.BLOCKED, EndCode.START_FAILED)
    assert fake.connections == 1
    host = upgrade.instance.host
    host.refresh_from_db()
    assert host.failure == "RuntimeError: a bug"
    assert not HostLease.objects.filter(until__gt=Now()).exists()


def test_a_fault_before_a_begin_blocks_and_one_after_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """U2."""

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    fake = FakeHost()
    upgrade = due_upgrade(fake)
    with monkeypatch.context() as patch:
        patch.setattr(FakeRemote, "inspect", broken)
        supervise(fake, lasting=1)
    assert ended(upgrade) == (Outcome.BLOCKED, EndCode.START_FAILED)
    assert upgrade.end_values["text"] == "RuntimeError: a bug"
    again = start_upgrades([upgrade.instance], actor=COMMAND, now=NOW).upgrades.get()
    with monkeypatch.context() as patch:
        patch.setattr(FakeRemote, "follow", broken)
        supervise(fake, lasting=1)
    assert ended(again) == (None, "")
    supervise(fake)
    assert ended(again) == (Outcome.SUCCEEDED, EndCode.DONE)
    assert fake.begun == [again.pk]


def test_what_one_host_told_and_cannot_be_kept_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """U3."""
    fake = FakeHost()
    odd = due_upgrade(fake)
    well = make_instance("well-live")
    fake.versions[well.path] = "1.0"
    upgrade = start_upgrades([well], actor=COMMAND, now=NOW).upgrades.get()

    def note(instance: object, raw: str, **options: object) -> bool:
        if instance == odd.instance:
            raise ValueError("no such text")
        return note_version(instance, raw, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(watched, "note_version", note)
    supervise(fake, lasting=2)
    assert ended(upgrade) == (Outcome.SUCCEEDED, EndCode.DONE)
    odd.refresh_from_db()
    assert odd.state in (UpgradeState.STARTING, UpgradeState.RUNNING)
    assert fake.connections == 2
    host = odd.instance.host
    host.refresh_from_db()
    assert "no such text" in host.failure


def test_a_step_that_prints_nul_bytes_is_kept_and_named() -> None:
    """U9: logs hold what was printed."""

    def binary(host: FakeHost, path: str, run: FakeRun, values: Mapping[str, str]) -> None:
        begin(run, values)
        run.step("prepare", 2, "unpack", "$ unpack\nerror: \0\1 is not text\n", status=1)
        run.tell("way-back-begins")
        run.tell(f"version after {values['FROM_VERSION']}")
        run.result = "failed prepare unpack\n"

    fake = FakeHost(script=binary)
    upgrade = due_upgrade(fake)
    supervise(fake)
    assert ended(upgrade) == (Outcome.FAILED_CLEAN, EndCode.STEP_FAILED)
    assert upgrade.first_error == "error: \ufffd\1 is not text"
    assert read_log(upgrade, 0, 10**6) == fake.runs[upgrade.pk].log


def test_an_upgrade_whose_traces_vanished_from_the_host_needs_a_person() -> None:
    """U2: a host that was restored from a copy, a site that was moved."""
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)
    with supervising(supervisor(fake)):
        until(lambda: Upgrade.objects.get().state == UpgradeState.RUNNING)
    fake.runs.clear()
    supervise(fake)
    assert ended(upgrade) == (Outcome.NEEDS_A_PERSON, EndCode.RUNNER_GONE)


def test_a_recipe_that_broke_meanwhile_does_not_end_what_runs() -> None:
    """U3: the host has its own copy."""
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)
    with supervising(supervisor(fake)):
        until(lambda: Upgrade.objects.get().state == UpgradeState.RUNNING)
    Upgrade.objects.update(recipe="gone-since")
    complete(fake, upgrade.instance.path, fake.runs[upgrade.pk], {"TO_VERSION": "2.0"})
    supervise(fake)
    assert ended(upgrade) == (Outcome.SUCCEEDED, EndCode.DONE)


def test_a_host_whose_links_break_at_once_is_not_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object, **__: object) -> FakeFollower:
        raise ConnectionLost("administratively prohibited")

    monkeypatch.setattr(FakeRemote, "follow", breaks)
    monkeypatch.setattr(host_thread, "PAUSES", (0.1, 0.2, 10.0))
    fake = FakeHost()
    upgrade = due_upgrade(fake)
    supervise(fake, lasting=1.5)
    assert 2 <= fake.connections <= 3
    assert fake.begun == [upgrade.pk]
    host = upgrade.instance.host
    host.refresh_from_db()
    assert host.failure == "administratively prohibited"


def test_it_leaves_within_five_seconds_from_a_host_that_takes_an_artefact_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection is closed under it; what was not begun is taken up by the next."""

    def stuck(remote: FakeRemote, path: Path, sha256: str) -> str:
        until(lambda: remote.broken, 30)
        raise ConnectionLost("closed")

    monkeypatch.setattr("upgrades.supervisor.ASK", 1.0)
    fake = FakeHost()
    upgrade = due_upgrade(fake)
    with monkeypatch.context() as patch:
        patch.setattr(FakeRemote, "send_artifact", stuck)
        with supervising(supervisor(fake)):
            until(lambda: Upgrade.objects.get().state == UpgradeState.STARTING)
            began_leaving = time.monotonic()
        assert time.monotonic() - began_leaving < 5
    host = upgrade.instance.host
    host.refresh_from_db()
    assert host.failure == ""
    supervise(fake)
    assert ended(upgrade) == (Outcome.SUCCEEDED, EndCode.DONE)
    assert states(upgrade) == ["starting", "waiting", "starting", "running", "ended"]
    assert len(fake.begun) == 1


@pytest.mark.parametrize("hosts", [2, 12])
def test_a_round_with_nothing_new_asks_the_database_six_things_for_any_number_of_hosts(hosts: int) -> None:
    one_wave()
    make_build("2.0", maturity=Maturity.RELEASE)
    fake = FakeHost(script=hang)
    sites = [make_instance(host=host) for host in [make_host(max_parallel=1) for _ in range(hosts)] for _ in range(3)]
    fake.versions = {site.path: "1.0" for site in sites}
    start_upgrades(sites, actor=COMMAND, now=NOW)
    one = supervisor(fake)
    one.run(lasting=0)
    one._asked_at = one._renewed_at = time.monotonic() + 3600
    try:
        until(lambda: one._round() and Upgrade.objects.filter(state=UpgradeState.RUNNING).count() == hosts, 20)
        while told := one._listen():
            one._write(told)
        with CaptureQueriesContext(connection) as asked:
            one._round()
    finally:
        one._leave()
    assert len(asked) == 6, [query["sql"] for query in asked]


def test_the_error_of_a_step_that_printed_much_is_looked_for_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of any size must not hold up the renewal of the leases."""

    def chatty(host: FakeHost, path: str, run: FakeRun, values: Mapping[str, str]) -> None:
        begin(run, values)
        run.step("prepare", 2, "unpack", "$ unpack\n" + "fine\n" * 300 + "tar: cannot open\n", status=1)
        run.tell("way-back-begins")
        run.tell(f"version after {values['FROM_VERSION']}")
        run.result = "failed prepare unpack\n"

    monkeypatch.setattr(watched, "SEARCHED", 200)
    fake = FakeHost(script=chatty)
    upgrade = due_upgrade(fake)
    supervise(fake)
    assert ended(upgrade) == (Outcome.FAILED_CLEAN, EndCode.STEP_FAILED)
    assert (upgrade.first_error, upgrade.first_error_line) == ("tar: cannot open", 302)


def test_a_thread_that_is_over_writes_into_nothing_when_it_is_told_to_leave() -> None:
    """Its descriptors may be those of the connection to the database by now."""
    upgrade = due_upgrade(FakeHost())
    thread = HostThread(address_of(upgrade.instance.host), FakeHost().connect, lambda told: None)
    thread.start()
    thread.leave()
    thread.join(5)
    pipes = [os.pipe() for _ in range(20)]
    thread.leave()
    thread.abandon()
    readable = select.select([reader for reader, _ in pipes], [], [], 0)[0]
    for descriptor in (end for pipe in pipes for end in pipe):
        os.close(descriptor)
    assert readable == []


def test_what_runs_on_a_host_whose_key_changed_is_waited_for_without_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """U6, U3."""
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)
    with supervising(supervisor(fake)):
        until(lambda: Upgrade.objects.get().state == UpgradeState.RUNNING)
    host = upgrade.instance.host
    fake.refusal, fake.connections = HostKeyChanged(host.host_key, OTHER_KEY), 0
    monkeypatch.setattr(host_thread, "PAUSES", (0.3, 10.0))
    supervise(fake, lasting=1.5)
    assert ended(upgrade) == (None, "")
    assert fake.connections == 2
    host.refresh_from_db()
    assert (host.offered_key, host.failing_since) == (OTHER_KEY, LATER)


def test_a_site_that_reports_what_is_no_version_has_drifted_and_becomes_unknown() -> None:
    """P10: the raw text is kept."""
    fake = FakeHost()
    upgrade = due_upgrade(fake, reports="banana")
    supervise(fake)
    assert ended(upgrade) == (Outcome.SKIPPED, EndCode.DRIFT)
    site = upgrade.instance
    site.refresh_from_db()
    assert (site.reported_version, site.reported_key, fake.begun) == ("banana", None, [])
