"""Where the lines of a log are, from the sizes of its pieces alone. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from upgrades.log_keeping import Stretch
from upgrades.log_lines import Cursor


@dataclass(frozen=True)
class Place:
    """Line `number` begins behind the line feed number `feed`, counting from 1, of the piece at `offset`."""

    number: int
    offset: int
    feed: int

    def cursor(self, data: bytes) -> Cursor:
        at = -1
        for _feed in range(self.feed):
            at = data.index(b"\n", at + 1)
        return Cursor(self.offset + at + 1, self.number)


class LogIndex:
    """`ends_whole` says whether the last byte is a line feed; it does not matter for no log at all."""

    def __init__(self, stretches: Sequence[Stretch], *, ends_whole: bool) -> None:
        self.stretches, self._ends_whole = stretches, ends_whole

    @cached_property
    def _until(self) -> list[int]:
        """Line feeds up to the end of each piece."""
        return list(accumulate(one.feeds for one in self.stretches))

    @property
    def lines(self) -> int:
        """The last one also where no line feed ended it."""
        return (self._until[-1] + (not self._ends_whole)) if self.stretches else 0

    @property
    def kept(self) -> int:
        """Bytes."""
        return sum(one.size for one in self.stretches if not one.is_gap)

    @property
    def left_out(self) -> tuple[int, int]:
        """Bytes and line feeds."""
        gaps = [one for one in self.stretches if one.is_gap]
        return sum(one.size for one in gaps), sum(one.feeds for one in gaps)

    def find(self, number: int) -> Place | Cursor:
        """Where the line of this number begins; the last line for a larger one, and for one that was left out, the
        line with the gap. The middle of a line counts as its beginning, where that was left out.
        """
        while (feeds := min(number, self.lines) - 1) > 0:
            row = next(row for row, until in enumerate(self._until) if until >= feeds)
            one, before = self.stretches[row], self._until[row] - self.stretches[row].feeds
            if not one.is_gap:
                return Place(feeds + 1, one.offset, feeds - before)
            if self._until[row] == feeds:
                return Cursor(one.end, feeds + 1)
            number = before + 1
        return Cursor()
