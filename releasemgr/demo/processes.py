"""Processes that outlive the command which started them, told apart by pid and start time."""

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A pid alone may belong to a stranger after a while. Its start time, in ticks since boot, tells."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        return find(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        if self.alive:
            os.kill(self.pid, number)


def find(pid: int) -> Process | None:
    """None when nothing runs under that pid. A zombie has ended."""
    try:
        fields = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]))


def read(pid_file: Path) -> Process | None:
    """The living process that a pid file (“PID START”) names, or None."""
    try:
        pid, started = (int(word) for word in pid_file.read_text().split())
    except (OSError, ValueError):
        return None
    process = Process(pid, started)
    return process if process.alive else None


def write(pid_file: Path, process: Process) -> None:
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    half_written = pid_file.with_suffix(".part")
    half_written.write_text(f"{process.pid} {process.started}\n")
    half_written.replace(pid_file)


def living_at(home: Path) -> list[Process]:
    """Everything that was started on the host with this home directory, detached or not."""
    wanted = b"HOME=" + os.fsencode(home)
    pids = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    found = (find(pid) for pid in pids if pid != os.getpid() and wanted in _environment(pid))
    return [process for process in found if process]


def stop(processes: Iterable[Process], patience: float = 5.0) -> None:
    """Asks each to end, then makes it. Returns when all are gone."""
    waiting = list(processes)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in waiting:
            process.send(number)
        waiting = _outliving(waiting, patience)
        if not waiting:
            return
    raise TimeoutError(f"Process {waiting[0].pid} does not end.")


def _outliving(processes: list[Process], patience: float) -> list[Process]:
    deadline = time.monotonic() + patience
    while (left := [process for process in processes if process.alive]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def _environment(pid: int) -> list[bytes]:
    try:
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
