"""Keeps a few programs running, each in a session of its own, and stops them in order.

What dies is always started again, after a pause that grows while it keeps dying. A program whose main process
died may have left others behind (a queue's workers go on without it): they are ended before it starts anew.
"""

import ctypes
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from releasemgr.lib import sessions

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
CHECK_EVERY = 10.0
SETTLED = 60.0  # seconds after which a program counts as running well again
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Program:
    """`patience` is the time from SIGTERM to SIGKILL, in seconds.

    `is_well` is asked now and then, with the seconds for which it has been running.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    patience: float = 30.0
    is_well: Callable[[float], bool] = lambda running_for: True


class Child:
    """One program, started again and again."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.pause = FIRST_PAUSE
        self.process: subprocess.Popen[bytes] | None = None
        self.leader: sessions.Member | None = None
        self.started_at = self.checked_at = self.due_at = time.monotonic()

    def start(self) -> None:
        parent = os.getpid()

        def die_with_parent() -> None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

        self.process = subprocess.Popen(  # noqa: S603
            self.program.command,
            env=self.program.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        self.leader = sessions.opened_by(self.process.pid)
        self.started_at = self.checked_at = time.monotonic()
        logger.info("Started %s as process %s.", self.program.name, self.process.pid)

    def look_after(self) -> bool:
        """Notices a death, and starts again what is due. Says whether it started anything."""
        if self.process is not None and self.process.poll() is not None:
            self._note_death(self.process)
        elif self.process is not None and time.monotonic() - self.checked_at > CHECK_EVERY:
            self._check()
        if self.process is None and time.monotonic() >= self.due_at:
            self.start()
            return True
        return False

    def _note_death(self, process: subprocess.Popen[bytes]) -> None:
        left_behind = self.end_now()
        if time.monotonic() - self.started_at > SETTLED:
            self.pause = FIRST_PAUSE
        self.due_at = time.monotonic() + self.pause
        logger.error(
            "Ended by itself: %s, with status %s. Processes it left, now killed: %s. Starting again in %.0f s.",
            self.program.name,
            process.returncode,
            len(left_behind),
            self.pause,
        )
        self.pause = min(self.pause * 2, LONGEST_PAUSE)

    def _check(self) -> None:
        self.checked_at = time.monotonic()
        if not self.program.is_well(self.checked_at - self.started_at):
            logger.error("Not well, so killed and started again: %s.", self.program.name)
            self.end_now()
            self.due_at = time.monotonic()

    def ask_to_end(self) -> None:
        """SIGTERM, once, to the main process alone: a queue whose group gets it hangs."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    @property
    def has_ended(self) -> bool:
        if self.process is not None and self.process.poll() is None:
            return False
        return self.leader is None or not sessions.members(self.leader)

    def end_now(self) -> list[int]:
        """Kills what is left of the session. Which processes that were."""
        killed = sessions.kill(self.leader) if self.leader is not None else []
        if self.process is not None:
            self.process.wait()
        self.process = self.leader = None
        return killed


class Supervision:
    """The children of one checkout, remembered in a file in case this process is killed."""

    def __init__(self, children: Sequence[Child], record: Path) -> None:
        self.children = children
        self.record = record
        self._is_remembered = True

    def begin(self) -> None:
        end_leftovers(self.record)
        self.look_after()

    def look_after(self) -> None:
        started = [child.look_after() for child in self.children]
        if any(started) or not self._is_remembered:
            self._try_to_remember()

    def _try_to_remember(self) -> None:
        """Nothing ends because a disk is full: the record is written when there is room."""
        could, self._is_remembered = self._is_remembered, False
        try:
            self._remember()
        except OSError as error:
            if could:
                logger.error("What runs cannot be written down, and will be later: %s.", error)
        else:
            self._is_remembered = True

    def _remember(self) -> None:
        leaders = {child.program.name: child.leader for child in self.children if child.leader is not None}
        known = {name: [leader.pid, leader.started] for name, leader in leaders.items()}
        half = self.record.with_suffix(".half")
        half.write_text(json.dumps({**_mark(self.record), "children": known}))
        os.replace(half, self.record)

    def stop_in_order(
        self, before: Callable[[], None] = lambda: None, hurried: Callable[[], bool] = lambda: False
    ) -> None:
        """First `before`, then one child after the other in the order given. `hurried` ends all waiting."""
        before()
        for child in self.children:
            stop([child], hurried)
        self.record.unlink(missing_ok=True)


def stop(children: Sequence[Child], hurried: Callable[[], bool] = lambda: False) -> None:
    """Asks all of them at once, waits for each as long as it may take, and kills what is left."""
    asked_at = time.monotonic()
    for child in children:
        child.ask_to_end()
    for child in children:
        deadline = asked_at + child.program.patience
        while not child.has_ended and time.monotonic() < deadline and not hurried():
            time.sleep(0.05)
        killed = child.end_now()
        if killed:
            logger.warning("Did not end in time: %s. Killed: %s processes.", child.program.name, len(killed))
        else:
            logger.info("Ended: %s.", child.program.name)


def end_leftovers(record: Path) -> None:
    """Kills what a supervision that was itself killed left running. Their work is taken up again by design."""
    try:
        remembered = json.loads(record.read_text())
    except FileNotFoundError:
        return
    except ValueError:
        remembered = {}
    if _mark(record).items() <= remembered.items():
        for name, (pid, started) in remembered["children"].items():
            killed = sessions.kill(sessions.Member(pid, pid, started))
            if killed:
                logger.warning("Left by an earlier run: %s. Killed: %s processes.", name, len(killed))
    record.unlink(missing_ok=True)


def _mark(record: Path) -> dict[str, str]:
    """What tells a record of this boot and this checkout from an old or a copied one."""
    return {"boot": sessions.boot(), "record": str(record)}
