"""Supervises many upgrades at once: claims hosts, starts what is due, and turns what hosts tell into rows.

One supervisor is one task in one process. Its own thread alone talks to the database; a thread for each host
talks to that host alone. It can be killed at any time: what runs on hosts runs on, and whoever claims the host
next attaches again (U3).
"""

import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from functools import partial
from queue import Empty, SimpleQueue

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction

from builds.services import quarantine_build
from instances.models import Host
from instances.services import note_contact, note_offered_key, note_version
from releasemgr.lib import clock
from upgrades.choices import BEGUN, EndCode, Outcome, UpgradeState
from upgrades.contact import Connect, FrameKind
from upgrades.exceptions import (
    HostKeyChanged,
    HostKeyUnknown,
    RecipeInvalid,
    SignInRefused,
    SiteLocked,
    Unreachable,
    VersionUnreadable,
)
from upgrades.host_thread import (
    Begun,
    Damaged,
    Ended,
    Heard,
    HostThread,
    Left,
    NotBegun,
    NotReached,
    Observation,
    Reached,
    Told,
)
from upgrades.models import Upgrade
from upgrades.services import claims, runs
from upgrades.services.assignments import address_of, assignment_for
from upgrades.watched import Watched

log = logging.getLogger(__name__)

BEAT = 0.5  # seconds between two rounds
RENEW = 5.0  # seconds between two renewals of the leases
SLICE = 240.0  # seconds that one task lasts
LEAVE_WITHIN = 4.0  # seconds that threads have for leaving


class Supervisor:
    """`keep_going` is asked every few seconds: False makes it leave. `now` is the business's clock."""

    def __init__(
        self,
        connect: Connect,
        *,
        keep_going: Callable[[], bool] = lambda: True,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self.token = uuid.uuid4()
        self._connect, self._keep_going, self._now = connect, keep_going, now
        self._told: SimpleQueue[tuple[int, Observation]] = SimpleQueue()
        self._threads: dict[int, HostThread] = {}
        self._hosts: dict[int, Host] = {}
        self._watched: dict[int, Watched] = {}
        self._renewed = 0.0

    def run(self, *, lasting: float = SLICE) -> None:
        """Works until nothing is left to do, the slice is over, or it is told to leave."""
        over_at = time.monotonic() + lasting
        try:
            while time.monotonic() < over_at and self._round():
                pass
        finally:
            self._leave()

    def _round(self) -> bool:
        """One round. After trouble with the database everything is read anew, as after a crash."""
        observations = self._listen()
        try:
            if not self._renew():
                return False
            self._write(observations)
            self._claim()
            self._hand_out()
            return self._anything_left()
        except (DatabaseError, InterfaceError):
            log.exception("The database failed. Reading everything anew.")
            self._start_over()
            return True

    def _listen(self) -> list[tuple[int, Observation]]:
        """What the threads told within one beat."""
        told = []
        until = time.monotonic() + BEAT
        while (left := until - time.monotonic()) > 0:
            try:
                told.append(self._told.get(timeout=left))
            except Empty:
                break
        while not self._told.empty():
            told.append(self._told.get())
        return told

    def _renew(self) -> bool:
        if time.monotonic() - self._renewed < RENEW:
            return True
        claims.renew(self.token)
        self._renewed = time.monotonic()
        return self._keep_going()

    def _anything_left(self) -> bool:
        return bool(self._threads) or Upgrade.objects.active().exists()

    # Claiming and starting.

    def _claim(self) -> None:
        most = settings.HOSTS_PER_SLOT - len(self._threads)
        if most <= 0:
            return
        for host in claims.claim_hosts(self.token, most=most, now=self._now()):
            self._hosts[host.pk] = host
            thread = HostThread(address_of(host), self._connect, partial(self._hear, host.pk))
            self._threads[host.pk] = thread
            self._attach(host)
            thread.start()

    def _hear(self, host: int, observation: Observation) -> None:
        self._told.put((host, observation))

    def _attach(self, host: Host) -> None:
        """Takes up what is under way on a host that was just claimed."""
        for upgrade in Upgrade.objects.begun().filter(instance__host=host).for_list():
            self._give(upgrade)

    def _hand_out(self) -> None:
        """Starts what is due on our hosts, within each host's limit; lets hosts go that have nothing left."""
        now = self._now()
        for host in list(self._hosts.values()):
            due = Upgrade.objects.claimable(now).filter(instance__host=host).for_list()
            for upgrade in due[: max(host.max_parallel - len(self._on(host.pk)), 0)]:
                if claims.begin(upgrade, now=now):
                    self._give(upgrade)
            if not self._on(host.pk) and not due:
                self._threads[host.pk].leave()

    def _give(self, upgrade: Upgrade) -> None:
        host = upgrade.instance.host_id
        try:
            assignment = assignment_for(upgrade)
        except (RecipeInvalid, ValueError) as error:
            self._block(upgrade, error)
            return
        watched = Watched(upgrade, assignment.recipe, assignment.log_offset)
        watched.prepare_steps()
        self._watched[upgrade.pk] = watched
        self._threads[host].give(assignment)

    # Writing down what was told.

    def _write(self, observations: list[tuple[int, Observation]]) -> None:
        """All that was told since the last round, in one transaction, behind the fence of our leases."""
        if not observations:
            return
        with transaction.atomic():
            ours = claims.still_held(self.token, {host for host, _ in observations})
            for host, told in self._by_host(observations).items():
                if host in ours:
                    self._take(host, told)
            runs.end_finished_runs(self._now())
        for host in {host for host, _ in observations} - ours:
            self._lose(host)
        self._drop_ended()
        self._let_go([host for host, told in observations if isinstance(told, Left)])

    def _by_host(self, observations: list[tuple[int, Observation]]) -> dict[int, list[Observation]]:
        told: dict[int, list[Observation]] = defaultdict(list)
        for host, observation in observations:
            told[host].append(observation)
        return told

    def _take(self, host: int, observations: list[Observation]) -> None:
        """Log pieces are gathered first, so that a round writes one chunk for each upgrade."""
        pieces: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
        for told in observations:
            if isinstance(told, Heard) and told.frame.kind is FrameKind.LOG:
                pieces[told.number].append((told.frame.offset, told.frame.data))
        now = self._now()
        for number, parts in pieces.items():
            if number in self._watched:
                self._watched[number].keep_log(parts, now)
        for told in observations:
            self._take_one(host, told, now)

    def _take_one(self, host: int, told: Observation, now: datetime) -> None:
        match told:
            case Reached():
                note_contact(self._hosts[host], now=now)
            case NotReached():
                self._not_reached(host, told, now)
            case Left():
                pass
            case _:
                if told.number in self._watched:
                    self._take_of_upgrade(self._watched[told.number], told, now)

    def _take_of_upgrade(
        self, watched: Watched, told: Told | Begun | Heard | Ended | NotBegun | Damaged, now: datetime
    ) -> None:
        match told:
            case Begun():
                watched.begun(now)
            case Heard() if told.frame.kind is FrameKind.EVENTS:
                watched.keep_events(told.frame.offset, told.frame.data, now)
            case Ended():
                watched.end(told.result, told.version, now)
            case Told():
                self._asked(watched.upgrade, told, now)
            case NotBegun():
                self._block(watched.upgrade, told.error)
            case Damaged():
                quarantine_build(watched.upgrade.build, now=now)

    def _asked(self, upgrade: Upgrade, told: Told, now: datetime) -> None:
        """The site was asked before anything was done (P10): there already, as recorded, or drifted."""
        before = upgrade.instance.reported_version
        note_version(upgrade.instance, told.raw, now=now)
        if told.goes:
            return
        values = {"from": before, "to": upgrade.build.version, "reported": told.raw}
        if upgrade.instance.reported_key == upgrade.build.version_key:
            upgrade.end(Outcome.ALREADY_THERE, EndCode.ALREADY_THERE, now=now, **values)
        else:
            upgrade.end(Outcome.SKIPPED, EndCode.DRIFT, now=now, **values)

    def _not_reached(self, host: int, told: NotReached, now: datetime) -> None:
        """Keeps why; ends as blocked what had not begun there, once trying again is given up (U2)."""
        note_contact(self._hosts[host], now=now, failure=str(told.error))
        if isinstance(told.error, HostKeyUnknown | HostKeyChanged):
            note_offered_key(self._hosts[host], told.error.offered_key, now=now)
        if not told.final:
            return
        for watched in self._on(host):
            if watched.upgrade.state == UpgradeState.STARTING:
                self._block(watched.upgrade, told.error)

    def _block(self, upgrade: Upgrade, error: Exception) -> None:
        """Nothing was touched; says why (U2)."""
        values = {
            "host": upgrade.instance.host.name,
            "text": str(error).strip(),
            "from": upgrade.from_version,
            "to": upgrade.build.version,
        }
        upgrade.end(Outcome.BLOCKED, _block_code(error), now=self._now(), **values)

    # Ends.

    def _on(self, host: int) -> list[Watched]:
        return [one for one in self._watched.values() if one.upgrade.instance.host_id == host]

    def _drop_ended(self) -> None:
        self._watched = {number: one for number, one in self._watched.items() if one.upgrade.state in BEGUN}

    def _lose(self, host: int) -> None:
        """Our lease on it ran out and another may have it: forgets it, writes nothing more of it."""
        if host in self._hosts:
            log.warning("Lost the lease on host %s", self._hosts[host].name)
            self._threads[host].abandon()
            self._forget(host)

    def _let_go(self, hosts: list[int]) -> None:
        """Gives hosts back whose thread is over; one that still has something in hand is claimed anew."""
        if hosts:
            claims.release(self.token, hosts)
        for host in hosts:
            self._forget(host)

    def _forget(self, host: int) -> None:
        for watched in self._on(host):
            del self._watched[watched.number]
        self._threads.pop(host, None)
        self._hosts.pop(host, None)

    def _start_over(self) -> None:
        for thread in self._threads.values():
            thread.abandon()
        self._threads.clear()
        self._hosts.clear()
        self._watched.clear()
        self._told = SimpleQueue()
        self.token = uuid.uuid4()
        connection.close()
        time.sleep(BEAT)

    def _leave(self) -> None:
        """Detaches from every host within seconds, keeps what was told until then, gives the leases back."""
        for thread in self._threads.values():
            thread.leave()
        until = time.monotonic() + LEAVE_WITHIN
        for thread in self._threads.values():
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                thread.abandon()
        try:
            self._write(self._listen())
            claims.release(self.token)
        except (DatabaseError, InterfaceError):
            log.exception("The database failed while leaving. The leases run out by themselves.")


def _block_code(error: Exception) -> EndCode:
    codes: tuple[tuple[type[Exception], EndCode], ...] = (
        (HostKeyUnknown, EndCode.HOST_KEY),
        (HostKeyChanged, EndCode.HOST_KEY),
        (SignInRefused, EndCode.SIGN_IN),
        (SiteLocked, EndCode.SITE_LOCKED),
        (VersionUnreadable, EndCode.VERSION_UNREADABLE),
        (RecipeInvalid, EndCode.RECIPE_INVALID),
        (Unreachable, EndCode.UNREACHABLE),
    )
    return next((code for kind, code in codes if isinstance(error, kind)), EndCode.START_FAILED)
