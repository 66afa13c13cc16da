"""Processes by session, as Linux tells it: whatever a process started is found again by its session's number.

A number alone may belong to a stranger after a while; the start time, in ticks since boot, settles that.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Member:
    pid: int
    session: int
    started: int


def boot() -> str:
    """Differs after every start of the machine; start times of one boot mean nothing in another."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def find(pid: int) -> Member | None:
    """None when nothing runs under this number. A zombie has ended."""
    state, member = _read(pid) or ("Z", None)
    return None if state in "ZX" else member


def opened_by(child_pid: int) -> Member:
    """The leader of the session of a child that was not waited for yet, even if it has already ended."""
    read = _read(child_pid)
    if read is None:
        raise ProcessLookupError(child_pid)
    return read[1]


def _read(pid: int) -> tuple[str, Member] | None:
    try:
        fields = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], Member(pid, session=int(fields[3]), started=int(fields[19]))


def members(leader: Member) -> list[Member]:
    """Who still runs in the session that this process opened, itself included."""
    now = find(leader.pid)
    if now is not None and now.started != leader.started:
        return []  # the number was given to a stranger, so the session has ended
    return [each for each in _everyone() if each.session == leader.pid and each.started >= leader.started]


def kill(leader: Member, within: float = 10.0) -> list[int]:
    """SIGKILL for every process of the session, also for those born meanwhile. Who was killed."""
    killed: list[int] = []
    deadline = time.monotonic() + within
    while left := members(leader):
        for each in left:
            with suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)
        killed += [each.pid for each in left if each.pid not in killed]
        if time.monotonic() > deadline:
            raise TimeoutError(f"Process {left[0].pid} does not end.")
        time.sleep(0.02)
    return killed


def _everyone() -> Iterator[Member]:
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (member := find(int(entry.name))):
            yield member
