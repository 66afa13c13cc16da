"""Which lines of a log a page or a fragment shows, step by step.

A browser that follows a log keeps a cursor and how many steps it knows. Its next reply holds what is new: whole
steps that began or appeared since, and lines for those that it has.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import takewhile
from typing import NamedTuple

from upgrades.choices import StepState
from upgrades.log_index import LogIndex, Place
from upgrades.log_lines import Cursor, Line, Piece, lines_from, read
from upgrades.models import Step, Upgrade
from upgrades.services.assignments import place_of_log

SHOWN_WHOLE = 5000
"""Lines of a log that a page shows at once; of a longer one it shows a window."""
BYTES_SHOWN_WHOLE = 2 * 1024 * 1024
WINDOW = 500
COUNTED = 20_000
OPEN = (StepState.RUNNING, StepState.FAILED)


@dataclass
class Block:
    """One step with the lines of it that are shown. `step` is None for lines that belong to none."""

    step: Step | None
    now: datetime
    lines: list[Line] = field(default_factory=list)
    rest: Line | None = None
    wanted: bool = False

    @property
    def key(self) -> int:
        return self.step.position if self.step else 0

    @property
    def is_open(self) -> bool:
        return self.step is None or self.wanted or self.step.state in OPEN

    @property
    def has_begun(self) -> bool:
        return self.step is None or self.step.started_at is not None

    @property
    def look(self) -> StepState:
        return StepState(self.step.state) if self.step else StepState.SUCCEEDED

    @property
    def took(self) -> timedelta | None:
        """Until now while it runs."""
        if self.step is None or self.step.started_at is None:
            return None
        return (self.step.ended_at or self.now) - self.step.started_at


@dataclass
class Shown:
    """What a reply holds. `follow` is where the next one begins, None when there is none.

    The next one is asked for by itself when it `polls` (at once when there is more already), else by a person.
    """

    blocks: list[Block]
    steps: int
    first: int = 1
    follow: Cursor | None = None
    polls: bool = False
    hurry: bool = False

    @property
    def earlier(self) -> int | None:
        """The line before which there is more to show."""
        return self.first if self.first > 1 else None

    @property
    def later(self) -> int | None:
        """A line among those that follow, for a page of its own."""
        return self.follow.number + WINDOW // 2 if self.follow else None


def _open_at(number: int, blocks: Sequence[Block]) -> None:
    """The step with that line; where it was left out, the first one of which anything is shown."""
    shown = [block for block in blocks if block.lines]
    with_it = [block for block in shown if any(line.number == number for line in block.lines)]
    for block in with_it or shown[:1]:
        block.wanted = True


class LeftOut(NamedTuple):
    """Bytes and lines of a log that are not kept, and where they are."""

    size: int
    lines: int
    place: str


class Log:
    """The log of one upgrade with its steps, in the order in which they were written."""

    def __init__(self, upgrade: Upgrade, now: datetime) -> None:
        self.upgrade, self.now = upgrade, now
        self.steps = list(upgrade.steps.order_by("position"))
        self._begun = [step for step in self.steps if step.log_start is not None]
        self._starts = [step.log_start or 0 for step in self._begun]

    @property
    def way_there(self) -> list[Block]:
        return [Block(step, self.now) for step in self.steps if not step.is_way_back]

    @property
    def way_back(self) -> list[Block]:
        return [Block(step, self.now) for step in self.steps if step.is_way_back]

    @property
    def over(self) -> bool:
        return not self.upgrade.is_active

    def pieces(self, after: int = 0) -> Iterator[Piece]:
        return self.upgrade.log_pieces(after)

    @cached_property
    def index(self) -> LogIndex:
        chunks = self.upgrade.log_chunks
        stretches = chunks.stretches()
        last = chunks.order_by("offset").values_list("data", flat=True).last() or b""
        return LogIndex(stretches, ends_whole=bytes(last).endswith(b"\n"))

    @property
    def left_out(self) -> LeftOut | None:
        size, lines = self.index.left_out
        return LeftOut(size, lines, place_of_log(self.upgrade)) if size else None

    def count(self) -> int:
        return self.index.lines

    def page(self, total: int, wanted: int | None = None) -> Shown:
        """All of it, or of a long one its end, or the window around the wanted line."""
        if total <= SHOWN_WHOLE and self.index.kept <= BYTES_SHOWN_WHOLE:
            return self._shown(Cursor(), SHOWN_WHOLE, wanted=wanted)
        first = total - WINDOW + 1 if wanted is None else min(wanted, total) - WINDOW // 2
        return self._shown(self._find(first), WINDOW, wanted=wanted, by_hand=wanted is not None)

    def _find(self, number: int) -> Cursor:
        """Where this line begins; where it was left out meanwhile, somewhere in the gap."""
        found = self.index.find(number)
        if isinstance(found, Cursor):
            return found
        return self._read(found)

    def _read(self, place: Place) -> Cursor:
        row = self.upgrade.log_chunks.filter(offset=place.offset).values_list("data", flat=True).first()
        return place.cursor(bytes(row)) if row else Cursor(place.offset, place.number)

    def earlier(self, before: int) -> Shown:
        """The lines before this one; in blocks of steps that the page has already."""
        start = self._find(before - WINDOW)
        found = lines_from(self.pieces(start.offset), start)
        lines = list(takewhile(lambda line: line.number < before, found))
        blocks = [block for block in self.blocks(lines) if block.lines]
        return Shown(blocks, len(self.steps), first=start.number)

    def found(self, matches: Callable[[Line], bool]) -> tuple[Shown, int]:
        """The first lines that match, and how many do."""
        kept, hits = [], 0
        for line in lines_from(self.pieces(), Cursor()):
            if not line.gap and matches(line):
                hits += 1
                if hits <= WINDOW:
                    kept.append(line)
        blocks = [block for block in self.blocks(kept) if block.lines]
        for block in blocks:
            block.wanted = True
        return Shown(blocks, len(self.steps)), hits

    def count_errors(self, total: int) -> int | None:
        """None for a log so long that looking at each line takes too long for a page."""
        if total > COUNTED or self.index.kept > BYTES_SHOWN_WHOLE:
            return None
        return sum(self.is_error(line) for line in lines_from(self.pieces(), Cursor()))

    def is_error(self, line: Line) -> bool:
        return line.is_error or line.number == self.upgrade.first_error_line

    def news(self, cursor: Cursor, known: int, *, by_hand: bool) -> "News":
        """What follows for a page that has the lines before the cursor, in its first `known` steps."""
        shown = self._shown(cursor, WINDOW, by_hand=by_hand)
        news = News(shown)
        for place, block in enumerate(shown.blocks):
            if block.step is None or place >= known:
                news.added.append(block)
            elif _begun_since(block.step, cursor):
                news.replaced.append(block)
            elif _may_have_grown(block.step, cursor):
                news.grown.append(block)
        return news

    def _shown(self, cursor: Cursor, limit: int, *, wanted: int | None = None, by_hand: bool = False) -> Shown:
        reading = read(self.pieces(cursor.offset), cursor, limit=limit, over=self.over, end=self._held_back())
        blocks = self.blocks(reading.lines, reading.rest)
        if wanted is not None:
            _open_at(wanted, blocks)
        polls = (reading.more and not by_hand) if self.over else not (reading.more and by_hand)
        follow = reading.cursor if polls or reading.more else None
        return Shown(blocks, len(self.steps), cursor.number, follow, polls, hurry=reading.more)

    def _held_back(self) -> int | None:
        """While it runs, bytes after the end of its last step wait for the step that they belong to."""
        if self.over:
            return None
        return self._begun[-1].log_end if self._begun else 0

    def blocks(self, lines: Sequence[Line] = (), rest: Line | None = None) -> list[Block]:
        """A block for each step, in order; one without a step for lines before any step is known."""
        blocks = [Block(step, self.now) for step in self.steps]
        loose = Block(None, self.now)
        by_step = {block.step.pk: block for block in blocks if block.step}
        for line in lines:
            self._home(line, by_step, loose).lines.append(line)
        if rest:
            self._home(rest, by_step, loose).rest = rest
        return [loose, *blocks] if loose.lines or loose.rest else blocks

    def _home(self, line: Line, by_step: dict[int, Block], loose: Block) -> Block:
        place = bisect_right(self._starts, line.offset) - 1
        return by_step[self._begun[place].pk] if place >= 0 else loose


@dataclass
class News:
    """What a page has to do with what is shown: take in new blocks, replace some, add lines to others."""

    shown: Shown
    added: list[Block] = field(default_factory=list)
    replaced: list[Block] = field(default_factory=list)
    grown: list[Block] = field(default_factory=list)

    @property
    def tells(self) -> bool:
        """Whether a step began, which is worth saying aloud."""
        return any(block.has_begun for block in [*self.added, *self.replaced])


def _begun_since(step: Step, cursor: Cursor) -> bool:
    """Whether the page has no whole line of it, so that showing it anew doubles none."""
    return step.log_start is not None and step.log_start >= cursor.offset


def _may_have_grown(step: Step, cursor: Cursor) -> bool:
    return step.log_start is not None and (step.log_end is None or step.log_end >= cursor.offset)
