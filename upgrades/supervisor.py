"""Supervises many upgrades at once: claims hosts, starts what is due, and turns what hosts tell into rows.

One supervisor is one task in one process. Its own thread alone talks to the database; a thread for each host
talks to that host alone. It can be killed at any time: what runs on hosts runs on, and whoever claims the host
next attaches again (U3).
"""

import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from queue import Empty, SimpleQueue

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from instances.models import Host
from instances.services import note_failure, note_version
from releasemgr.lib import clock
from upgrades.backlog import Backlog
from upgrades.choices import BEGUN, EndCode, Outcome, UpgradeState
from upgrades.contact import Connect, FrameKind
from upgrades.exceptions import RecipeInvalid, SecretUnusable, UpgradeChanged
from upgrades.host_thread import (
    Begun,
    Ended,
    Heard,
    HostThread,
    Left,
    Lingers,
    NotBegun,
    NotReached,
    NotSentBack,
    NotYet,
    Observation,
    OfUpgrade,
    Reached,
    Told,
    log_bytes,
)
from upgrades.models import Upgrade
from upgrades.recipes.verdict import Remains
from upgrades.services import cancels, claims, runs, secrets
from upgrades.services.addresses import address_of
from upgrades.services.assignments import assignment_for
from upgrades.services.blocks import block, plain
from upgrades.services.claims import Turn
from upgrades.services.contacts import note_not_reached, note_reached
from upgrades.services.incidents import end_what_is_doomed
from upgrades.watched import Watched

log = logging.getLogger(__name__)

BEAT = 0.5  # seconds between two rounds
ASK = 1.0  # seconds between two questions whether to go on
RENEW = 5.0  # seconds between two renewals of the leases
SLICE = 240.0  # seconds that one task lasts
LOAD = 4 * 1024 * 1024  # bytes of logs after which a round does not wait for its end
LEAVE_WITHIN = 2.0  # seconds that threads have for leaving before their connections are closed


class _Held:
    """A host whose lease we have, and its thread. Nobody listens to an earlier thread of the same host."""

    def __init__(
        self,
        host: Host,
        connect: Connect,
        heard: "SimpleQueue[tuple[_Held, Observation]]",
        backlog: Backlog | None = None,
    ) -> None:
        self.host, self.address = host, address_of(host)
        self.thread = HostThread(self.address, connect, lambda told: heard.put((self, told)), backlog)


class Supervisor:
    """`keep_going` is asked every second: False makes it leave. `now` is the business's clock."""

    def __init__(
        self,
        connect: Connect,
        *,
        keep_going: Callable[[], bool] = lambda: True,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self.token = uuid.uuid4()
        self._connect, self._keep_going, self._now = connect, keep_going, now
        self._told: SimpleQueue[tuple[_Held, Observation]] = SimpleQueue()
        self._backlog = Backlog()
        self._load = 0  # bytes of logs that were heard last
        self._held: dict[int, _Held] = {}
        self._watched: dict[int, Watched] = {}
        self._asked_at = self._renewed_at = 0.0

    def run(self, *, lasting: float = SLICE) -> None:
        """Works until nothing is left to do, the slice is over, or it is told to leave."""
        over_at = time.monotonic() + lasting
        try:
            while time.monotonic() < over_at and self._round():
                pass
        except BaseException:  # it may have come out of a transaction that was taken back
            self._start_over()
            raise
        self._leave()

    def _round(self) -> bool:
        """One round. After trouble with the database everything is read anew, as after a crash."""
        observations = self._listen()
        try:
            self._renew()
            self._write(observations)
            if not self._may_go_on():
                return False
            due = claims.due_by_host(self._now())
            self._claim(due)
            self._hand_out(due)
            self._hear_people()
            return self._anything_left()
        except (DatabaseError, InterfaceError):
            log.exception("The database failed. Reading everything anew.")
            self._start_over()
            return True
        finally:
            self._backlog.done(self._load)

    def _listen(self) -> dict[int, list[Observation]]:
        """What the threads of our hosts told within one beat, or until it is a load, by host."""
        told: dict[int, list[Observation]] = defaultdict(list)
        self._load, until = 0, time.monotonic() + BEAT
        while self._load < LOAD:
            try:
                held, observation = self._told.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                break
            self._load += log_bytes(observation)
            if self._held.get(held.host.pk) is held:
                told[held.host.pk].append(observation)
        return told

    def _may_go_on(self) -> bool:
        if time.monotonic() - self._asked_at < ASK:
            return True
        self._asked_at = time.monotonic()
        return self._keep_going()

    def _renew(self) -> None:
        if time.monotonic() - self._renewed_at >= RENEW:
            ours = claims.renew(self.token)
            self._renewed_at = time.monotonic()
            self._lose(self._held.keys() - ours)

    def _anything_left(self) -> bool:
        return bool(self._held) or Upgrade.objects.active().exists()

    # Claiming and starting.

    def _claim(self, due: Mapping[int, list[Turn]]) -> None:
        most = settings.HOSTS_PER_SLOT - len(self._held)
        idle = [host for host in self._held if not self._on(host) and due.get(host)] if most <= 0 else []
        if most <= 0 and not idle:
            return
        free = claims.free_hosts(due)
        waiting = {host: [turn.number for turn in due[host]] for host in free if host in due}
        doomed = end_what_is_doomed(waiting, self._now())
        free = [host for host in free if host not in doomed]
        if free and idle:
            self._make_place(free[0], idle, due)
            return
        for host in claims.claim_hosts(self.token, free, most=most):
            held = self._held[host.pk] = _Held(host, self._connect, self._told, self._backlog)
            held.thread.start()
            self._attach(host)

    def _make_place(self, host: int, idle: Sequence[int], due: Mapping[int, list[Turn]]) -> None:
        """Lets the idle host go whose turn is last, where something is under way on that one, or its turn is before."""
        last = max(idle, key=lambda one: due[one][0])
        if host not in due or due[host][0] < due[last][0]:
            self._held[last].thread.leave()

    def _attach(self, host: Host) -> None:
        """Takes up what is under way on a host that was just claimed."""
        for upgrade in Upgrade.objects.begun().filter(instance__host=host).for_list():
            self._give(upgrade, taken_over=True)

    def _hand_out(self, due: Mapping[int, list[Turn]]) -> None:
        """Starts what is due on our hosts, within each host's limit; lets hosts go that have nothing left."""
        hosts = {pk: held for pk, held in self._held.items() if held.thread.takes_more}
        if not hosts:
            return
        now = self._now()
        turns = sorted(turn for pk, held in hosts.items() for turn in due.get(pk, [])[: self._room_on(held.host)])
        turns = turns[: claims.room()] if turns else []
        upgrades = Upgrade.objects.for_list().in_bulk([turn.number for turn in turns])
        by_run: dict[int, list[Upgrade]] = defaultdict(list)
        for turn in turns:
            if turn.number in upgrades:
                by_run[turn.run].append(upgrades[turn.number])
        for of_run in by_run.values():
            self._begin(of_run, now)
        for pk, held in hosts.items():
            if not due.get(pk) and not self._on(pk):
                held.thread.leave()

    def _room_on(self, host: Host) -> int:
        return max(host.max_parallel - len(self._on(host.pk)), 0)

    def _begin(self, upgrades: Sequence[Upgrade], now: datetime) -> None:
        """Behind the fence of our leases, as every write: who holds a host now would not know of it."""
        hosts = {upgrade.instance.host_id for upgrade in upgrades}
        with transaction.atomic():
            ours = claims.still_held(self.token, hosts)
            begun = claims.begin_all([one for one in upgrades if one.instance.host_id in ours], now=now)
        self._lose(hosts - ours)
        for upgrade in begun:
            self._give(upgrade, taken_over=False)

    def _give(self, upgrade: Upgrade, *, taken_over: bool) -> None:
        try:
            assignment = assignment_for(upgrade, taken_over=taken_over)
        except (RecipeInvalid, SecretUnusable, ValueError) as error:
            self._block(upgrade, error)
            return
        secrets.note_given(upgrade, assignment.secrets)
        watched = Watched(upgrade, assignment.recipe, assignment.secrets.hidden, assignment.log_offset)
        watched.prepare_steps()
        self._watched[upgrade.pk] = watched
        self._held[upgrade.instance.host_id].thread.give(assignment)

    def _hear_people(self) -> None:
        """Takes up what people decided about what runs. One query, none without hosts."""
        if self._held:
            for upgrade in Upgrade.objects.news_for(self._watched.keys(), self._held.keys()).for_list():
                self._do_as_decided(upgrade, self._held[upgrade.instance.host_id].thread)

    def _do_as_decided(self, upgrade: Upgrade, thread: HostThread) -> None:
        """Cancels what a person cancelled (U4), stops what leads to a barred build (R9), forgets what was given up."""
        if upgrade.pk not in self._watched:
            if thread.takes_more:
                self._give(upgrade, taken_over=True)
        elif upgrade.state == UpgradeState.ENDED:
            thread.drop(upgrade.pk)
            del self._watched[upgrade.pk]
        elif upgrade.state == UpgradeState.ROLLING_BACK:
            return
        elif upgrade.cancel_asked_at:
            thread.cancel(upgrade.pk)
        else:
            thread.stop(upgrade.pk)

    # Writing down what was told.

    def _write(self, told: dict[int, list[Observation]]) -> None:
        """All that was told since the last round, in one transaction, behind the fence of our leases."""
        if not told:
            return
        with transaction.atomic():
            ours = claims.still_held(self.token, told)
            claims.hold_sites(one.upgrade.instance_id for host in ours for one in self._on(host))
            spoilt = {host for host in told if host in ours and not self._keep(host, told[host])}
            runs.settle(self._now())
        self._lose(told.keys() - ours)
        self._drop_ended()
        left = {host: one for host, observations in told.items() for one in observations if isinstance(one, Left)}
        self._let_go([host for host, one in left.items() if not one.crashed])
        self._set_aside(spoilt | {host for host, one in left.items() if one.crashed})

    def _keep(self, host: int, observations: list[Observation]) -> bool:
        """Whether it could: what one host told must not keep the others from being heard."""
        try:
            with transaction.atomic():
                self._take(host, observations)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            log.exception("What host %s told cannot be kept", self._held[host].host.name)
            failure = f"What it told cannot be kept: {plain(error)}"
            note_failure(self._held[host].host, failure, now=self._now())
            return False
        return True

    def _take(self, host: int, observations: list[Observation]) -> None:
        """Log pieces are gathered, so that a round writes one stretch of each log; what ends an upgrade comes last."""
        now = self._now()
        pieces: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
        for told in observations:
            if isinstance(told, Heard) and told.frame.kind is FrameKind.LOG:
                pieces[told.number].append((told.frame.offset, told.frame.data))
                continue
            if isinstance(told, Ended | Lingers):
                self._keep_log(told.number, pieces.pop(told.number, ()), now)
            self._take_one(self._held[host], told, now)
        for number, parts in pieces.items():
            self._keep_log(number, parts, now)

    def _keep_log(self, number: int, parts: Sequence[tuple[int, bytes]], now: datetime) -> None:
        if number in self._watched:
            self._watched[number].keep_log(parts, now)

    def _take_one(self, held: _Held, told: Observation, now: datetime) -> None:
        match told:
            case Reached():
                note_reached(held.host, held.address, told.vouched, now)
            case NotReached():
                self._not_reached(held, told, now)
            case Left():
                self._put_back(held.thread.untouched(), now)
            case _:
                if told.number in self._watched:
                    self._take_of_watched(self._watched[told.number], told, now)

    def _take_of_watched(self, watched: Watched, told: OfUpgrade, now: datetime) -> None:
        """What a person gave up meanwhile is not listened to any more, and keeps its end."""
        try:
            self._take_of_upgrade(watched, told, now)
        except UpgradeChanged as error:
            log.info("Not listened to: %s", error)
            self._held[watched.upgrade.instance.host_id].thread.drop(watched.number)
            del self._watched[watched.number]

    def _take_of_upgrade(self, watched: Watched, told: OfUpgrade, now: datetime) -> None:
        upgrade = watched.upgrade
        match told:
            case Begun():
                watched.begun(now)
            case Heard() if told.frame.kind is FrameKind.EVENTS:
                watched.keep_events(told.frame.offset, told.frame.data, now)
            case Ended(result=None):
                version = None if told.version is None else watched.secrets.hide_text(told.version)
                watched.end(Remains(upgrade.from_version, version, told.whole), now)
            case Ended(result=str(result)):
                watched.end(result, now)
            case Lingers():
                watched.end_lingering(now)
            case NotSentBack():
                watched.end_not_sent_back(watched.said(told.error), now)
            case Told():
                self._asked(upgrade, replace(told, raw=watched.secrets.hide_text(told.raw)), now)
            case NotYet():
                self._put_back({upgrade.pk}, now)
            case NotBegun():
                self._block(upgrade, told.error)

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

    def _put_back(self, numbers: AbstractSet[int], now: datetime) -> None:
        """Certainly not begun on its host: its turn comes again, and the plan is asked again (P9)."""
        numbers = numbers & self._watched.keys()
        cancelled = cancels.cancelled_among(numbers)
        for number in numbers:
            upgrade = self._watched[number].upgrade
            if number in cancelled:
                cancels.end_as_cancelled(upgrade, now=now)
            else:
                upgrade.move(UpgradeState.WAITING, now=now, started_at=None)

    def _not_reached(self, held: _Held, told: NotReached, now: datetime) -> None:
        """Keeps why; ends as blocked what the thread has given up (U2)."""
        note_not_reached(held.host, held.address, told.error, now)
        for number in told.given_up & self._watched.keys():
            self._block(self._watched[number].upgrade, told.error)

    def _block(self, upgrade: Upgrade, error: Exception) -> None:
        if upgrade.state == UpgradeState.STARTING and cancels.cancelled_among({upgrade.pk}):
            cancels.end_as_cancelled(upgrade, now=self._now())
        else:
            watched = self._watched.get(upgrade.pk)
            address = self._held[upgrade.instance.host_id].address
            text = watched.said(error) if watched else plain(error)
            block(upgrade, error, address, now=self._now(), text=text)

    # Ends.

    def _on(self, host: int) -> list[Watched]:
        return [one for one in self._watched.values() if one.upgrade.instance.host_id == host]

    def _drop_ended(self) -> None:
        self._watched = {number: one for number, one in self._watched.items() if one.upgrade.state in BEGUN}

    def _lose(self, hosts: Iterable[int]) -> None:
        """Our leases on them ran out and others may have them: forgets them, writes nothing more of them."""
        for host in hosts:
            if host in self._held:
                log.warning("Lost the lease on host %s", self._held[host].host.name)
                self._forget(host)

    def _let_go(self, hosts: list[int]) -> None:
        """Gives hosts back whose thread is over; one that still has something in hand is claimed anew."""
        if hosts:
            claims.release(self.token, hosts)
        for host in hosts:
            self._forget(host)

    def _set_aside(self, hosts: Iterable[int]) -> None:
        """Keeps their leases until the slice is over, so that a fault that comes again does so minutes later."""
        for host in hosts:
            self._forget(host)

    def _forget(self, host: int) -> None:
        for watched in self._on(host):
            del self._watched[watched.number]
        if held := self._held.pop(host, None):
            held.thread.abandon()

    def _start_over(self) -> None:
        """Forgets everything and writes nothing of it: memory may be ahead of the rows."""
        for host in list(self._held):
            self._forget(host)
        before, self.token = self.token, uuid.uuid4()
        connection.close()
        time.sleep(BEAT)
        with suppress(DatabaseError, InterfaceError):  # else they run out by themselves
            claims.release(before)

    def _leave(self) -> None:
        """Detaches from every host within seconds, keeps what was told until then, gives the leases back."""
        threads = [held.thread for held in self._held.values() if held.thread.is_alive()]
        for thread in threads:
            thread.leave()
        until = time.monotonic() + LEAVE_WITHIN
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                thread.abandon()
        try:
            self._write(self._listen())
            while self._load >= LOAD:
                self._write(self._listen())
            claims.release(self.token)
        except (DatabaseError, InterfaceError):
            log.exception("The database failed while leaving. The leases run out by themselves.")
