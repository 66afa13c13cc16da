"""Turns the bytes of a log into numbered lines with safe markup. Pure.

A line ends with a line feed and nothing else, so that its number never changes. Each line is coloured by itself, so
that it looks the same wherever reading began.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

LONGEST_BYTES = 65536
HELD = 8 * LONGEST_BYTES
"""Bytes of a line under way, before its middle is let go."""
LONGEST = 4000
"""Characters of a line that are shown."""

ERASED = re.compile(rb"\x1b\[2K|\x1b\[[01]?G")
"""What programs send to write a line anew, beside the carriage return."""

CONTROL = re.compile(
    r"\x1b\[(?P<style>[0-9;:]*)m"
    r"|\x1b\[[0-?]*[ -/]*(?:[@-~]|$)"  # other control sequences
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\|$)"  # titles and links
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\|$)"
    r"|\x1b[ -/]*(?:[0-~]|$)"
    r"|[\x00-\x08\x0a-\x1f\x7f-\x9f]"
)
ANY_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
TURNING = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")
"""Marks that change the direction of the text after them, and so what a reader takes it for."""

ERROR = re.compile(
    r"\s*\[?(?:ERROR|FATAL|FAIL|FAILED|CRITICAL|PANIC)\b"
    r"|(?:[\w.]+[.\w])?(?:Error|Exception)\s*:"
    r"|(?:[^\s:]{1,80}: ){0,3}(?:[Ee]rror|[Ff]atal): "
)
SEARCHED = 300
"""Characters at a line's beginning in which an error's word makes it one."""

COLOURS = {31: "a-r", 32: "a-g", 33: "a-y", 34: "a-b", 35: "a-m", 36: "a-c"}
COLOURS |= {code + 60: name for code, name in COLOURS.items()} | {90: "a-d"}


class Piece(NamedTuple):
    """Bytes of a log from `offset` on, read at a moment, or a gap: without data, but with what was left out (U9)."""

    offset: int
    at: datetime
    data: bytes
    skipped: int = 0
    feeds: int = 0
    """Line feeds in what was left out."""
    before: int = 0
    """Line feeds of the whole log before a gap."""

    @property
    def end(self) -> int:
        return self.offset + (self.skipped or len(self.data))

    @property
    def after(self) -> int:
        """The number of the line that goes on after a gap."""
        return self.before + self.feeds + 1


@dataclass(frozen=True)
class Cursor:
    """Where the next line begins: its byte, and its number, which counts from 1."""

    offset: int = 0
    number: int = 1

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Reads what `str` wrote. Raises ValueError."""
        found = re.fullmatch(r"([0-9]{1,15})-([1-9][0-9]{0,14})", text, re.ASCII)
        if not found:
            raise ValueError(text)
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.offset}-{self.number}"


class Gap(NamedTuple):
    """Bytes and line feeds that were left out, and the number of the line that goes on behind them."""

    size: int
    feeds: int
    after: int


class Style(NamedTuple):
    colour: str = ""
    bold: bool = False
    dim: bool = False

    @property
    def classes(self) -> str:
        return " ".join(filter(None, (self.colour, "a-B" if self.bold else "", "a-d" if self.dim else "")))

    def turned(self, parameters: str) -> "Style":
        """After the sequence with these parameters. Backgrounds and colours of a palette are left out."""
        codes = iter([int(code[:3] or 0) if ":" not in code else -1 for code in parameters.split(";")])
        style = self
        for code in codes:
            if code in (38, 48, 58):
                _skip_colour(codes)
            style = style._after(code)
        return style

    def _after(self, code: int) -> "Style":
        if code == 0:
            return Style()
        if code in (1, 2):
            return self._replace(bold=self.bold or code == 1, dim=self.dim or code == 2)
        if code == 22:
            return self._replace(bold=False, dim=False)
        if 30 <= code <= 39 or 90 <= code <= 97:
            return self._replace(colour=COLOURS.get(code, ""))
        return self


def _skip_colour(codes: Iterator[int]) -> None:
    """Takes the rest of 38;5;n or 38;2;r;g;b."""
    for _part in range({5: 1, 2: 3}.get(next(codes, 0), 0)):
        next(codes, None)


@dataclass(frozen=True)
class Line:
    """`data` is without its line feed. A line that is not `whole` may still grow.

    Of a very long line some bytes of its middle are not in `data`: `skipped` counts them. With `gap`, it is none, but
    stands for so many bytes that were left out.
    """

    number: int
    offset: int
    at: datetime
    data: bytes
    whole: bool = True
    skipped: int = 0
    gap: Gap | None = None
    endless: bool = False
    """Its end was left out: a gap follows."""

    @property
    def size(self) -> int:
        return len(self.data) + self.skipped

    @property
    def after(self) -> Cursor:
        if self.gap:
            return Cursor(self.offset + self.gap.size, self.gap.after)
        return Cursor(self.offset + self.size, self.number) if self.endless else self._next

    @property
    def _next(self) -> Cursor:
        return Cursor(self.offset + self.size + 1, self.number + 1)

    @cached_property
    def parts(self) -> list[tuple[str, str]]:
        """Classes and text, without any control character."""
        return _plain(self.data) or _styled(_last_state(self.data, self.whole))

    @property
    def text(self) -> str:
        return "".join(text for _classes, text in self.parts)

    @property
    def markup(self) -> SafeString:
        return format_html_join("", "{}", ((_span(*part),) for part in _cut(self.parts)))

    @property
    def is_cut(self) -> bool:
        return bool(self.skipped) or len(self.data) > LONGEST_BYTES or len(self.text) > LONGEST

    @property
    def is_error(self) -> bool:
        return bool(ERROR.match(self.text[:SEARCHED]))


def _plain(data: bytes) -> list[tuple[str, str]]:
    """The same, faster, for most lines: those without any control character; empty for the others."""
    try:
        text = data.decode() if len(data) <= LONGEST_BYTES else ""
    except UnicodeDecodeError:
        return []
    return [("", text.translate(TURNING))] if text and not ANY_CONTROL.search(text) else []


def _last_state(data: bytes, whole: bool) -> str:
    """What is left on the screen of a line that was written over itself: its last state."""
    states = ERASED.sub(b"\r", data).rstrip(b"\r")
    last = states[states.rfind(b"\r") + 1 :][:LONGEST_BYTES]
    return codecs.getincrementaldecoder("utf-8")("replace").decode(last, final=whole).translate(TURNING)


def _styled(text: str) -> list[tuple[str, str]]:
    style, place = Style(), 0
    parts: list[tuple[str, str]] = []
    for control in CONTROL.finditer(text):
        parts.append((style.classes, text[place : control.start()]))
        place = control.end()
        if control["style"] is not None:
            style = style.turned(control["style"])
    return [part for part in [*parts, (style.classes, text[place:])] if part[1]]


def _cut(parts: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    left = LONGEST
    for classes, text in parts:
        yield classes, text[:left]
        left -= len(text)
        if left <= 0:
            return


def _span(classes: str, text: str) -> SafeString:
    return format_html('<span class="{}">{}</span>', classes, text) if classes else format_html("{}", text)


def lines_from(pieces: Iterable[Piece], cursor: Cursor, *, end: int | None = None) -> Iterator[Line]:
    """Every line from the cursor on; the last is not whole where no line feed came before the byte `end`.

    The pieces begin with the one that the cursor is in, which may be a gap by now.
    """
    line = _Begun(cursor)
    for piece in pieces:
        if piece.skipped:
            yield from line.skip(piece)
        else:
            yield from line.take(piece, _between(piece, line.reached, end))
    if line.data and line.at:
        yield line.made(line.at, whole=False)


class _Begun:
    """The line under way. Of a very long one only the first and the last bytes are held."""

    def __init__(self, cursor: Cursor) -> None:
        self._start(cursor)

    def _start(self, cursor: Cursor, at: datetime | None = None) -> None:
        self.cursor, self.at, self.data, self.skipped = cursor, at, bytearray(), 0

    @property
    def reached(self) -> int:
        return self.cursor.offset + len(self.data) + self.skipped

    def made(self, at: datetime, *, whole: bool = True, endless: bool = False) -> Line:
        number, offset = self.cursor.number, self.cursor.offset
        return Line(number, offset, at, bytes(self.data), whole, self.skipped, endless=endless)

    def take(self, piece: Piece, data: bytes) -> Iterator[Line]:
        self.at = self.at or piece.at
        first, *others = data.split(b"\n")
        self._grow(first)
        for other in others:
            line = self.made(self.at or piece.at)
            yield line
            self._start(line.after, piece.at)
            self._grow(other)
        if not self.data:
            self.at = None

    def skip(self, gap: Piece) -> Iterator[Line]:
        """A gap within one line makes it longer; any other ends it, and begins another in its middle."""
        left, feeds = gap.end - self.reached, gap.after - self.cursor.number
        if not feeds:
            self.at, self.skipped = self.at or gap.at, self.skipped + left
            return
        offset = self.reached
        if offset > self.cursor.offset:
            yield self.made(self.at or gap.at, endless=True)
        line = Line(self.cursor.number, offset, gap.at, b"", gap=Gap(left, feeds, gap.after))
        yield line
        self._start(line.after)

    def _grow(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > HELD:
            self.skipped += len(self.data) - 2 * LONGEST_BYTES
            del self.data[LONGEST_BYTES:-LONGEST_BYTES]


def _between(piece: Piece, start: int, end: int | None) -> bytes:
    upto = len(piece.data) if end is None else max(0, end - piece.offset)
    return piece.data[max(0, start - piece.offset) : upto]


@dataclass(frozen=True)
class Reading:
    """Some lines, where the next one begins, and whether it is there already. `rest` is a line under way."""

    lines: list[Line]
    cursor: Cursor
    rest: Line | None = None
    more: bool = False


def read(
    pieces: Iterable[Piece], cursor: Cursor, *, limit: int, over: bool, end: int | None = None
) -> Reading:  # fmt: skip
    """At most `limit` lines from the cursor on. Once the log is `over`, its last line is whole in any case."""
    lines: list[Line] = []
    for line in lines_from(pieces, cursor, end=end):
        if len(lines) == limit:
            return Reading(lines, cursor, more=True)
        if not line.whole and not over:
            return Reading(lines, cursor, rest=line)
        lines.append(line)
        cursor = line.after
    return Reading(lines, cursor)
