"""Which bytes of a log are kept (U9): of each step its head and a rolling tail. Pure.

A log is a row of stretches without a hole between them. Most are kept; the others are gaps, which only count what was
left out, so that offsets stay those of the host's file and lines keep their numbers.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

MEBIBYTE = 1024 * 1024


class Stretch(NamedTuple):
    offset: int
    size: int
    feeds: int
    """Line feeds."""
    is_gap: bool = False

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True)
class Limits:
    """Bytes, for each step; the tail may be longer by one stretch. After `many` stretches small ones grow instead."""

    head: int = 4 * MEBIBYTE
    tail: int = 4 * MEBIBYTE
    stretch: int = 256 * 1024
    many: int = 1000
    small: int = 32 * 1024


@dataclass
class Changes:
    """What is to be done to what is stored, by offset, in this order."""

    dropped: list[int] = field(default_factory=list)
    grown: dict[int, bytes] = field(default_factory=dict)
    """What stored stretches have more at their end."""
    new: dict[int, bytes] = field(default_factory=dict)
    gaps: dict[int, Stretch] = field(default_factory=dict)
    """New ones, and those that are longer than before."""


class KeptLog:
    """`stored` is what there is, in order; `starts` are the offsets at which steps begin, also those to come."""

    def __init__(
        self, stored: Iterable[Stretch] = (), starts: Iterable[int] = (), limits: Limits | None = None
    ) -> None:
        self._limits = limits or Limits()
        found = list(stored)
        self.size = found[-1].end if found else 0
        self._coming: list[int] = []
        self._head = [one for one in found if not one.is_gap]
        self._tail: deque[Stretch] = deque()
        self._gap = next((one for one in reversed(found) if one.is_gap), None)
        self._begin(0)
        for start in sorted(starts):
            self.begin_step(start)

    def begin_step(self, start: int) -> None:
        """Of what came before this byte nothing is dropped any more."""
        if start >= self.size:
            self._coming = sorted({*self._coming, start})
        elif start > self._start:
            self._begin(start)

    def add(self, data: bytes) -> Changes:
        """What follows on all that came before."""
        changes, at = Changes(), 0
        while at < len(data):
            while self._coming and self._coming[0] <= self.size:
                self._begin(self._coming.pop(0))
            piece = data[at : at + self._room()]
            self._append(piece, changes)
            at += len(piece)
            self._drop(changes)
        return changes

    def _begin(self, start: int) -> None:
        """Keeps in mind only what this step has; a gap that began before its head was over is not its own."""
        self._start, self._head_end = start, start + self._limits.head
        ours = [one for one in (*self._head, *self._tail) if one.end > start]
        self._head = [one for one in ours if one.offset < self._head_end]
        self._tail = deque(one for one in ours if one.offset >= self._head_end)
        self._tail_size = sum(one.size for one in self._tail)
        if self._gap and self._gap.offset < self._head_end:
            self._gap = None

    def _room(self) -> int:
        """How many bytes the next stretch may have."""
        ends = [self.size + self._limits.stretch, *self._coming[:1]]
        if self.size < self._head_end:
            ends.append(self._head_end)
        return min(ends) - self.size

    def _append(self, piece: bytes, changes: Changes) -> None:
        part = self._head if self.size < self._head_end else self._tail
        feeds = piece.count(b"\n")
        if part and self._may_grow(part[-1]):
            last = part[-1]
            part[-1] = last._replace(size=last.size + len(piece), feeds=last.feeds + feeds)
            into = changes.new if last.offset in changes.new else changes.grown
            into[last.offset] = into.get(last.offset, b"") + piece
        else:
            part.append(Stretch(self.size, len(piece), feeds))
            changes.new[self.size] = piece
        self._tail_size += len(piece) if part is self._tail else 0
        self.size += len(piece)

    def _may_grow(self, last: Stretch) -> bool:
        many = len(self._head) + len(self._tail) >= self._limits.many
        return many and last.size < self._limits.small and last.offset >= self._start

    def _drop(self, changes: Changes) -> None:
        while self._tail and self._tail_size - self._tail[0].size >= self._limits.tail:
            first = self._tail.popleft()
            self._tail_size -= first.size
            if changes.new.pop(first.offset, None) is None:
                changes.dropped.append(first.offset)
                changes.grown.pop(first.offset, None)
            self._gap = _longer(self._gap, first)
            changes.gaps[self._gap.offset] = self._gap


def _longer(gap: Stretch | None, dropped: Stretch) -> Stretch:
    if gap is None:
        return dropped._replace(is_gap=True)
    return gap._replace(size=gap.size + dropped.size, feeds=gap.feeds + dropped.feeds)
