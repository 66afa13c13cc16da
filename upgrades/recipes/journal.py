"""Reads the events that a runner writes, as they arrive."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from upgrades.recipes.recipe import STEP_NAME, Phase

BEFORE = "before"
AFTER = "after"
NOTHING = "-"
MOST_STEPS = 999
LARGEST_STATUS = 255
LARGEST_FILE = 2**60  # bytes


@dataclass(frozen=True)
class UpgradeBegun:
    at: datetime
    number: int
    from_version: str
    to_version: str
    canonical: str
    """The new version in its canonical spelling; may be empty."""


@dataclass(frozen=True)
class StepStarted:
    at: datetime
    phase: Phase
    position: int
    """Counts from 1, in the way back anew."""
    step: str
    log_offset: int


@dataclass(frozen=True)
class StepEnded:
    at: datetime
    phase: Phase
    position: int
    step: str
    status: int
    log_offset: int
    timed_out: bool


@dataclass(frozen=True)
class VersionRead:
    at: datetime
    moment: str
    """`before` or `after`; the last one read after is the one that counts."""
    raw: str


@dataclass(frozen=True)
class VersionMissing:
    """The site was asked and did not tell."""

    at: datetime
    moment: str
    said: str


@dataclass(frozen=True)
class WayBackBegun:
    at: datetime


@dataclass(frozen=True)
class Stopped:
    """It was asked to stop, and did so before this step, or within it where a person cancelled (U4)."""

    at: datetime
    phase: Phase
    position: int
    step: str
    cancelled: bool


@dataclass(frozen=True)
class Unreadable:
    """A line that no runner of ours writes."""

    line: bytes


Event = UpgradeBegun | StepStarted | StepEnded | VersionRead | VersionMissing | WayBackBegun | Stopped | Unreadable


class Journal:
    """Gives whole lines only: what follows the last line end waits for the next piece."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Event]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [read_event(line) for line in lines]


def read_event(line: bytes) -> Event:
    """Never raises: what is no event, or is larger than any of ours, is kept as Unreadable."""
    if b"\0" in line:
        return Unreadable(line)
    try:
        stamp, word, *rest = line.decode().split(" ", 2)
        at = datetime.fromtimestamp(_seconds(stamp), UTC)
        return _READERS[word](at, rest[0] if rest else "")
    except (ValueError, KeyError, IndexError, OverflowError, OSError):
        return Unreadable(line)


def _upgrade(at: datetime, rest: str) -> Event:
    number, from_version, to_version, canonical = rest.split(" ")
    return UpgradeBegun(at, _count(number), _given(from_version), _given(to_version), _given(canonical))


def _start(at: datetime, rest: str) -> Event:
    phase, position, step, log_offset = rest.split(" ")
    return StepStarted(at, Phase(phase), _count(position, MOST_STEPS), _step(step), _count(log_offset))


def _end(at: datetime, rest: str) -> Event:
    phase, position, step, status, log_offset, *more = rest.split(" ")
    if more not in ([], ["timed-out"]):
        raise ValueError(rest)
    place, exit_status = _count(position, MOST_STEPS), _count(status, LARGEST_STATUS)
    return StepEnded(at, Phase(phase), place, _step(step), exit_status, _count(log_offset), bool(more))


def _version(at: datetime, rest: str) -> Event:
    moment, raw = rest.split(" ", 1)
    return VersionRead(at, _moment(moment), raw.strip())


def _no_version(at: datetime, rest: str) -> Event:
    moment, _, said = rest.partition(" ")
    return VersionMissing(at, _moment(moment), said.strip())


def _way_back(at: datetime, rest: str) -> Event:
    if rest:
        raise ValueError(rest)
    return WayBackBegun(at)


def _stopped(at: datetime, rest: str, *, cancelled: bool = False) -> Event:
    phase, position, step = rest.split(" ")
    return Stopped(at, Phase(phase), _count(position, MOST_STEPS), _step(step), cancelled)


_READERS: dict[str, Callable[[datetime, str], Event]] = {
    "upgrade": _upgrade,
    "start": _start,
    "end": _end,
    "version": _version,
    "no-version": _no_version,
    "way-back-begins": _way_back,
    "stopped": _stopped,
    "cancelled": partial(_stopped, cancelled=True),
}


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII):
        raise ValueError(text)
    return float(text)


def _count(text: str, most: int = LARGEST_FILE) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) or int(text) > most:
        raise ValueError(text)
    return int(text)


def _step(name: str) -> str:
    if not STEP_NAME.fullmatch(name):
        raise ValueError(name)
    return name


def _moment(text: str) -> str:
    if text not in (BEFORE, AFTER):
        raise ValueError(text)
    return text


def _given(text: str) -> str:
    return "" if text == NOTHING else text
