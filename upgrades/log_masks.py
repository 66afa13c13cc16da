"""Hides known secrets in what a host printed before any of it is stored (U8): a star for each byte. Pure.

Each line of a secret is one by itself, since a terminal or a log may put its lines anywhere.
"""

import re
from collections.abc import Iterable, Iterator

SHORTEST = 4
"""Characters of a line that is hidden: a shorter one would be found everywhere."""
CONTROL = bytes([*range(32), 127])
TOLD = re.compile(rb"^([0-9.]+ (?:no-)?version [a-z]+ )(.*)$", re.MULTILINE)
"""The events that hold what a site printed."""


class Secrets:
    """The lines to hide. With `everything`, for secrets that are not known any more, all but line feeds is.

    And but `versions`, where a site tells its own.
    """

    def __init__(
        self, values: Iterable[bytes] = (), *, everything: bool = False, versions: Iterable[str] = ()
    ) -> None:  # fmt: skip
        self._versions = {version.encode() for version in versions}
        self.lines = sorted({line for value in values for line in _lines(value)}, key=len, reverse=True)
        self.everything = everything

    @property
    def reach(self) -> int:
        """How many bytes before a place may belong to a secret that goes on behind it."""
        return max((len(line) - 1 for line in self.lines), default=0)

    def begun_at_end(self, data: bytes) -> int:
        """How many bytes at the end may be the beginning of a secret: the most of them."""
        return max((_begun(line, data) for line in self.lines), default=0)

    def covered(self, data: bytes) -> bytes:
        """Whatever is whole in it, also where two overlap, is replaced."""
        if self.everything:
            return re.sub(rb"[^\n]", b"*", data)
        hidden = bytearray(data)
        for line in self.lines:
            for at in _places(line, data):
                hidden[at : at + len(line)] = b"*" * len(line)
        return bytes(hidden)

    def hide(self, data: bytes) -> bytes:
        """Of data that nothing follows: what may be a secret that was cut off is hidden, too."""
        begun = 0 if self.everything else self.begun_at_end(data)
        hidden = self.covered(data)
        return hidden if begun < SHORTEST else hidden[:-begun] + b"*" * begun

    def hide_text(self, text: str) -> str:
        return self.hide(text.encode(errors="surrogateescape")).decode(errors="replace")

    def hide_in_events(self, data: bytes) -> bytes:
        """Whole lines. The words of the runner itself stay, whatever a secret may be."""
        return TOLD.sub(lambda told: told[1] + (told[2] if told[2] in self._versions else self.hide(told[2])), data)


NONE = Secrets()


class MaskedStream:
    """A log as it comes, of which each byte is given out once: what may be the beginning of a secret, later.

    The first `known` bytes that come were given out before: they only tell what they and those behind them belong to.
    """

    def __init__(self, secrets: Secrets, known: int = 0) -> None:
        self._secrets, self._known, self._window = secrets, known, b""

    def feed(self, data: bytes) -> bytes:
        window = self._window + data
        upto = len(window) - self._secrets.begun_at_end(window)
        given = self._secrets.covered(window)[self._known : upto]
        start = max(0, upto - self._secrets.reach)
        self._window, self._known = window[start:], max(self._known, upto) - start
        return given

    def finish(self) -> bytes:
        """Nothing follows."""
        window, known, self._window, self._known = self._window, self._known, b"", 0
        return self._secrets.hide(window)[known:]


def _lines(value: bytes) -> Iterator[bytes]:
    """Also as they look without control characters, which the runner takes out of what it tells in one line."""
    for line in value.split(b"\n"):
        for form in (line.strip(), line.strip().translate(None, CONTROL)):
            if len(form.decode(errors="replace")) >= SHORTEST:
                yield form


def _places(line: bytes, data: bytes) -> Iterator[int]:
    at = data.find(line)
    while at >= 0:
        yield at
        at = data.find(line, at + 1)


def _begun(line: bytes, data: bytes) -> int:
    sizes = range(min(len(line) - 1, len(data)), 0, -1)
    return next((size for size in sizes if data.endswith(line[:size])), 0)


def can_be_hidden(value: bytes) -> bool:
    return any(True for _line in _lines(value))
