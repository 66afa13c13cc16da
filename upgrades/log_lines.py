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
    """Bytes of a log from `offset` on, read at a moment."""

    offset: int
    at: datetime
    data: bytes


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
    """`data` is without its line feed. A line that is not `whole` may still grow."""

    number: int
    offset: int
    at: datetime
    data: bytes
    whole: bool = True

    @property
    def after(self) -> Cursor:
        return Cursor(self.offset + len(self.data) + 1, self.number + 1)

    @cached_property
    def parts(self) -> list[tuple[str, str]]:
        """Classes and text, without any control character."""
        return _styled(_last_state(self.data, self.whole))

    @property
    def text(self) -> str:
        return "".join(text for _classes, text in self.parts)

    @property
    def markup(self) -> SafeString:
        return format_html_join("", "{}", ((_span(*part),) for part in _cut(self.parts)))

    @property
    def is_cut(self) -> bool:
        return len(self.data) > LONGEST_BYTES or len(self.text) > LONGEST

    @property
    def is_error(self) -> bool:
        return bool(ERROR.match(self.text[:SEARCHED]))


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
    """Every line from the cursor on; the last is not whole where no line feed came before the byte `end`."""
    at: datetime | None = None
    number, offset = cursor.number, cursor.offset
    begun: list[bytes] = []
    for piece in pieces:
        first, *others = _between(piece, cursor.offset, end).split(b"\n")
        at = at or piece.at
        begun.append(first)
        for other in others:
            line = Line(number, offset, at, b"".join(begun))
            yield line
            (offset, number), begun, at = (line.after.offset, line.after.number), [other], piece.at
        if not any(begun):
            at = None
    rest = b"".join(begun)
    if rest and at:
        yield Line(number, offset, at, rest, whole=False)


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


def cursor_at(pieces: Iterable[Piece], number: int) -> Cursor:
    """Where the line of this number begins; the end of the log where there are fewer."""
    cursor = Cursor()
    for piece in pieces:
        feeds = piece.data.count(b"\n")
        if cursor.number + feeds >= number:
            return _forward(piece, cursor, number)
        if feeds:
            cursor = Cursor(piece.offset + piece.data.rfind(b"\n") + 1, cursor.number + feeds)
    return cursor


def _forward(piece: Piece, cursor: Cursor, number: int) -> Cursor:
    place = -1
    for _line in range(number - cursor.number):
        place = piece.data.index(b"\n", place + 1)
    return Cursor(piece.offset + place + 1, number) if place >= 0 else cursor


def count_lines(pieces: Iterable[Piece]) -> int:
    """Lines, the last one also where no line feed ended it."""
    feeds, last = 0, b"\n"
    for piece in pieces:
        feeds += piece.data.count(b"\n")
        last = piece.data[-1:] or last
    return feeds + (last != b"\n")
