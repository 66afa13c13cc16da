"""One thread for one host: it speaks to the host and tells what it saw. It never touches the database.

It owns the only connection to its host; each upgrade has one channel of that connection.
"""

import logging
import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from builds.services import sha256_of
from builds.versions import key_of
from upgrades.assignment import Assignment
from upgrades.backlog import Backlog
from upgrades.contact import Connect, Follower, Frame, FrameKind, HostAddress, Remote, Vouched
from upgrades.exceptions import (
    AlreadyBegun,
    ArtifactDamaged,
    ConnectionLost,
    ContactError,
    HostKeyChanged,
    HostKeyUnknown,
    JumpFailed,
    OtherSite,
    RecipeInvalid,
    SecretUnusable,
    SignInRefused,
    SiteLocked,
    StartFailed,
    StopFailed,
    ThreadBroke,
    TooLate,
    VersionUnreadable,
)
from upgrades.local_remote import LocalRemote
from upgrades.recipes.bundle import build_bundle, build_secrets
from upgrades.recipes.recipe import Kind

log = logging.getLogger(__name__)

BEGIN_WITHIN = 20  # seconds of the host's clock; less than a lease, so that what was sent under one we lost is late
PAUSES = (1.0, 3.0, 8.0, 15.0, 30.0)  # seconds between attempts
TRIES = 3  # attempts without a word of any upgrade before what has not begun counts as blocked
LISTEN = 0.5  # seconds
VERSION_TIMEOUT = 60.0  # seconds
STOP_AGAIN = 5.0  # seconds after a host could not be made to stop an upgrade
CANCEL_AGAIN = 5.0  # seconds until a host is asked again to end an upgrade


@dataclass(frozen=True)
class Reached:
    """The host answered and let us in."""

    vouched: Sequence[Vouched] = ()


@dataclass(frozen=True)
class NotReached:
    """No connection came about, or the link broke."""

    error: ContactError
    given_up: frozenset[int]
    """Upgrades of which nothing was sent, and which this thread will not touch any more."""


@dataclass(frozen=True)
class Told:
    """What the site says of its version before its upgrade begins; `goes` says whether it goes on."""

    number: int
    raw: str
    goes: bool


@dataclass(frozen=True)
class NotYet:
    """It has certainly not begun: the host says so where it was in doubt, or it was stopped before it was started."""

    number: int


@dataclass(frozen=True)
class Begun:
    number: int


@dataclass(frozen=True)
class Heard:
    number: int
    frame: Frame


@dataclass(frozen=True)
class Ended:
    """The runner is done; `result` is None where it is gone without one, and `version` what the site says now.

    `whole` is False where what it wrote is gone as well.
    """

    number: int
    result: str | None
    version: str | None = None
    whole: bool = True


@dataclass(frozen=True)
class Lingers:
    """It was cancelled, its runner is gone, and a step that outlived it could not be ended (U4)."""

    number: int


@dataclass(frozen=True)
class NotSentBack:
    """The host could not begin the way back that a person asked for."""

    number: int
    error: Exception


@dataclass(frozen=True)
class NotBegun:
    """Nothing was touched on the host."""

    number: int
    error: Exception


@dataclass(frozen=True)
class Left:
    """The thread is over. What it had in hand runs on and can be attached to again."""

    crashed: bool = False


OfUpgrade = Told | NotYet | Begun | Heard | Ended | Lingers | NotSentBack | NotBegun
Observation = Reached | NotReached | OfUpgrade | Left
Tell = Callable[[Observation], None]


def log_bytes(told: Observation) -> int:
    """What it counts for in a backlog."""
    return len(told.frame.data) if isinstance(told, Heard) else 0


class HostThread(threading.Thread):
    """`give` it assignments; it tells observations; `leave` ends it within seconds."""

    def __init__(self, address: HostAddress, connect: Connect, tell: Tell, backlog: Backlog | None = None) -> None:
        super().__init__(name=f"host {address.name}", daemon=True)
        self._address, self._connect, self._tell = address, connect, tell
        self._backlog = backlog or Backlog()
        self._given: SimpleQueue[Assignment] = SimpleQueue()
        self._in_hand: dict[int, Assignment] = {}
        self._followers: dict[int, Follower] = {}
        self._heard: dict[int, dict[FrameKind, int]] = {}
        self._remote: Remote | None = None
        self._here = LocalRemote()
        self._failures = 0
        self._to_stop: frozenset[int] = frozenset()  # replaced, never changed: two threads look at it
        self._to_cancel: frozenset[int] = frozenset()
        self._to_drop: frozenset[int] = frozenset()
        self._stopped: set[int] = set()
        self._stops_from = self._cancels_from = 0.0
        self._leaving = threading.Event()
        self._waker, self._wake_end = os.pipe()
        self._pipe_is_open = True
        self._at_pipe = threading.Lock()

    # Called by the supervisor's thread.

    def give(self, assignment: Assignment) -> None:
        self._to_stop -= {assignment.number}
        self._to_cancel -= {assignment.number}
        self._to_drop -= {assignment.number}
        self._given.put(assignment)
        self._wake()

    def stop(self, number: int) -> None:
        """Begins it no more, or has its host stop it before its point of no return (R9). May come twice."""
        if number not in self._to_stop:
            self._to_stop |= {number}
            self._wake()

    def cancel(self, number: int) -> None:
        """Begins it no more, or has its host end it as soon as that is safe (U4). May come twice."""
        if number not in self._to_cancel:
            self._to_cancel |= {number}
            self._wake()

    def drop(self, number: int) -> None:
        """Listens to it no more: somebody else has ended it."""
        self._to_drop |= {number}
        self._wake()

    @property
    def is_leaving(self) -> bool:
        return self._leaving.is_set()

    @property
    def takes_more(self) -> bool:
        return self.is_alive() and not self.is_leaving

    def untouched(self) -> frozenset[int]:
        """What was given and never begun; to be asked once it has left."""
        return self._give_up()

    def leave(self) -> None:
        self._leaving.set()
        self._wake()

    def abandon(self) -> None:
        """Leaves now: closes the connection under whatever the thread waits for."""
        self.leave()
        if remote := self._remote:
            remote.close()

    def _wake(self) -> None:
        with self._at_pipe:
            if self._pipe_is_open:
                os.write(self._wake_end, b"!")

    def _close_pipe(self) -> None:
        """Under the lock: another's descriptor may have the same number from now on."""
        with self._at_pipe:
            self._pipe_is_open = False
            os.close(self._waker)
            os.close(self._wake_end)

    # Its own life.

    def run(self) -> None:
        crashed = False
        try:
            self._stay()
        except Exception as error:
            crashed = True
            log.exception("The thread of host %s broke", self._address.name)
            self._tell(NotReached(ThreadBroke(f"{type(error).__name__}: {error}"), self._give_up()))
        finally:
            self._close_pipe()
            self._tell(Left(crashed))

    def _stay(self) -> None:
        while self._has_to_speak():
            try:
                self._remote = self._connect(self._address)
                self._tell(Reached(tuple(self._remote.vouched)))
                self._session(self._remote)
            except ContactError as error:
                if not self.is_leaving:
                    self._lost(error)

    def _has_to_speak(self) -> bool:
        """Waits until it has something in hand: no host is signed in on for nothing. False once it is to leave."""
        while not (self.is_leaving or self._in_hand) and self._given.empty():
            self._wait_for_a_wake()
        return not self.is_leaving

    def _lost(self, error: ContactError) -> None:
        """What has not begun is given up after some tries; what runs there, or may, is waited for."""
        log.info("No contact with %s: %s", self._address.name, error)
        self._failures += 1
        gives_up = not _may_pass(error) or self._failures >= TRIES
        self._tell(NotReached(error, self._give_up() if gives_up else frozenset()))
        self._leaving.wait(PAUSES[min(self._failures, len(PAUSES)) - 1])

    def _give_up(self) -> frozenset[int]:
        self._take_given()
        untouched = frozenset(number for number, one in self._in_hand.items() if one.untouched)
        for number in untouched:
            self._forget(number)
        return untouched

    def _session(self, remote: Remote) -> None:
        """Works over one connection until told to leave. Raises ConnectionLost."""
        try:
            self._take_given()
            self._pick_up_all(remote, list(self._in_hand.values()))
            while not self.is_leaving:
                self._pick_up_all(remote, self._take_given())
                self._drop_given_up()
                self._listen(remote)
                self._pass_on_stops(remote)
                self._pass_on_cancels(remote)
        finally:
            self._hang_up(remote)

    def _pick_up_all(self, remote: Remote, assignments: list[Assignment]) -> None:
        for assignment in assignments:
            if not self.is_leaving:
                self._pick_up(remote, assignment)

    def _hang_up(self, remote: Remote) -> None:
        for follower in self._followers.values():
            follower.close()
        self._followers.clear()
        remote.close()
        self._remote = None

    def _take_given(self) -> list[Assignment]:
        new = []
        while True:
            try:
                new.append(self._given.get_nowait())
            except Empty:
                break
        self._in_hand.update({assignment.number: assignment for assignment in new})
        return new

    # One upgrade.

    def _pick_up(self, remote: Remote, assignment: Assignment) -> None:
        """Begins it, or attaches to it where it has begun. What fails before its begin is told and forgotten."""
        try:
            if assignment.back:
                self._go_back(remote, assignment)
            elif assignment.begun or self._place(remote, assignment).inspect(assignment.ground).begun:
                self._follow(remote, assignment)
            elif assignment.in_doubt or self._is_to_end(assignment.number):
                self._drop(NotYet(assignment.number))
            elif self._still_as_planned(remote, assignment):
                self._start(remote, assignment)
        except ConnectionLost:
            raise
        except (ContactError, OSError, ValueError, RecipeInvalid) as error:
            number = assignment.number
            untouched = self._in_hand[number].untouched
            self._drop(NotBegun(number, error) if untouched else Ended(number, None, whole=False))

    def _go_back(self, remote: Remote, assignment: Assignment) -> None:
        """Each time begins once on the host, however often it is asked for, and with the secrets of its recipe."""
        secrets = assignment.secrets
        try:
            given = None if secrets.fault else build_secrets(secrets.values)
            self._place(remote, assignment).go_back(assignment.ground, assignment.back, given)
        except (SiteLocked, StartFailed) as error:
            self._drop(NotSentBack(assignment.number, SecretUnusable(secrets.fault) if secrets.fault else error))
        else:
            self._follow(remote, assignment)

    def _place(self, remote: Remote, assignment: Assignment) -> Remote:
        """Where its steps run. The site itself is asked on its host in any case (U10)."""
        return self._here if assignment.recipe.kind is Kind.FABFILE else remote

    def _drop(self, told: NotYet | Ended | Lingers | NotSentBack | NotBegun) -> None:
        self._forget(told.number)
        self._tell(told)

    def _still_as_planned(self, remote: Remote, assignment: Assignment) -> bool:
        """Asks the site before touching it (P10): it must run what the plan took it to run."""
        question = assignment.question
        raw = remote.read_version(question.values, question.script, timeout=VERSION_TIMEOUT)
        goes = key_of(raw) == assignment.from_key != assignment.to_key
        self._tell(Told(assignment.number, raw, goes))
        if not goes:
            self._forget(assignment.number)
        return goes

    def _start(self, remote: Remote, assignment: Assignment) -> None:
        """Sends the artefact, once per host, and the bundle; the runner's directory makes sure it begins once.

        Sending may take long: what was stopped meanwhile does not begin.
        """
        if sha256_of(assignment.artifact) != assignment.sha256:
            raise ArtifactDamaged(f"The artefact {assignment.artifact} does not match its checksum.")
        place = self._place(remote, assignment)
        artifact = place.send_artifact(assignment.artifact, assignment.sha256)
        values = {**assignment.values, "ARTIFACT": artifact}
        bundle = build_bundle(assignment.recipe, values, assignment.secrets.values)
        not_after = place.inspect(assignment.ground).clock + BEGIN_WITHIN
        if self._is_to_end(assignment.number):
            self._drop(NotYet(assignment.number))
            return
        self._launch(place, assignment, bundle, not_after)
        self._follow(remote, assignment)

    def _launch(self, place: Remote, assignment: Assignment, bundle: bytes, not_after: int) -> None:
        self._in_hand[assignment.number] = assignment.as_in_doubt()
        try:
            place.start(assignment.ground, bundle, not_after=not_after)
        except (AlreadyBegun, SiteLocked, TooLate, OtherSite, StartFailed):
            if not place.inspect(assignment.ground).begun:
                self._in_hand[assignment.number] = assignment
                raise

    def _follow(self, remote: Remote, assignment: Assignment) -> None:
        number = assignment.number
        offsets = self._heard.setdefault(
            number, {FrameKind.LOG: assignment.log_offset, FrameKind.EVENTS: assignment.events_offset}
        )
        self._in_hand[number] = assignment.as_begun()
        self._tell(Begun(number))
        self._followers[number] = self._place(remote, assignment).follow(
            assignment.ground, log_offset=offsets[FrameKind.LOG], events_offset=offsets[FrameKind.EVENTS]
        )

    def _forget(self, number: int) -> None:
        self._in_hand.pop(number, None)
        self._heard.pop(number, None)
        self._stopped.discard(number)

    def _pass_on_stops(self, remote: Remote) -> None:
        """Until the host has confirmed each: what a lost link took away is sent over the next one."""
        waiting = (self._to_stop & self._followers.keys()) - self._stopped
        if not waiting or time.monotonic() < self._stops_from:
            return
        try:
            for number in sorted(waiting):
                assignment = self._in_hand[number]
                self._place(remote, assignment).stop(assignment.ground)
                self._stopped.add(number)
        except StopFailed as error:
            log.warning("%s does not stop upgrade %s: %s", self._address.name, number, error)
            self._stops_from = time.monotonic() + STOP_AGAIN

    def _is_to_end(self, number: int) -> bool:
        return number in self._to_stop | self._to_cancel | self._to_drop

    def _pass_on_cancels(self, remote: Remote) -> None:
        """Again and again until it has ended: a runner hears it only while it waits for a step."""
        waiting = self._to_cancel & self._followers.keys()
        if not waiting or time.monotonic() < self._cancels_from:
            return
        self._cancels_from = time.monotonic() + CANCEL_AGAIN
        try:
            for number in sorted(waiting):
                held = self._in_hand[number]
                if not self._place(remote, held).cancel(held.ground):
                    self._followers.pop(number).close()
                    self._drop(Lingers(number))
        except StopFailed as error:
            log.warning("%s does not cancel upgrade %s: %s", self._address.name, number, error)

    def _drop_given_up(self) -> None:
        for number in self._to_drop & self._followers.keys():
            self._followers.pop(number).close()
            self._forget(number)

    # Listening.

    def _listen(self, remote: Remote) -> None:
        if self._backlog.is_full:
            self._backlog.wait(LISTEN)
            return
        by_descriptor = {follower.fileno(): number for number, follower in self._followers.items()}
        poll = select.poll()
        for descriptor in (*by_descriptor, self._waker):
            poll.register(descriptor, select.POLLIN)
        poll.poll(LISTEN * 1000)
        self._clear_wakes()
        for number in list(self._followers):
            if not self._backlog.is_full:
                self._hear(remote, number)

    def _wait_for_a_wake(self) -> None:
        select.select([self._waker], [], [], LISTEN)
        self._clear_wakes()

    def _clear_wakes(self) -> None:
        if select.select([self._waker], [], [], 0)[0]:
            os.read(self._waker, 1024)

    def _hear(self, remote: Remote, number: int) -> None:
        for frame in self._followers[number].read():
            self._failures = 0
            if frame.kind in (FrameKind.LOG, FrameKind.EVENTS):
                self._heard[number][frame.kind] = frame.offset + len(frame.data)
                self._backlog.add(len(frame.data))
                self._tell(Heard(number, frame))
            elif frame.kind is FrameKind.ENDED:
                self._end(number, Ended(number, frame.data.decode(errors="replace")))
            elif frame.kind is FrameKind.GONE:
                self._end(number, Ended(number, None, self._ask_again(remote, number)))
            elif frame.kind is FrameKind.VANISHED:
                self._end(number, Ended(number, None, self._ask_again(remote, number), whole=False))

    def _ask_again(self, remote: Remote, number: int) -> str | None:
        question = self._in_hand[number].question
        try:
            return remote.read_version(question.values, question.script, timeout=VERSION_TIMEOUT)
        except (VersionUnreadable, OtherSite):
            return None

    def _end(self, number: int, ended: Ended) -> None:
        self._followers.pop(number).close()
        self._drop(ended)


def _may_pass(error: ContactError) -> bool:
    """Whether trying again in a moment may help: never for a key or a sign-in (U6)."""
    cause = error.error if isinstance(error, JumpFailed) else error
    return not isinstance(cause, HostKeyChanged | HostKeyUnknown | SignInRefused)
