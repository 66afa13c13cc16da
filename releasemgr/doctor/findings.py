"""What a check says."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

NAMED = 5


class Level(StrEnum):
    """From well to worst."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """`said` is what was found; `do` what to do about it, empty where there is nothing to do."""

    level: Level
    said: str
    do: str = ""


Check = Callable[[], Iterable[Finding]]


def ok(said: str) -> Finding:
    return Finding(Level.OK, said)


def warning(said: str, do: str) -> Finding:
    return Finding(Level.WARNING, said, do)


def error(said: str, do: str) -> Finding:
    return Finding(Level.ERROR, said, do)


def named(names: Sequence[object]) -> str:
    """“a, b, c”, and how many more where there are many."""
    more = len(names) - NAMED
    first = ", ".join(str(name) for name in names[:NAMED])
    return f"{first} and {more} more" if more > 0 else first
