"""Finds the line of a failed step's log that says what went wrong. Pure."""

import hashlib
import re
from dataclasses import dataclass

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
RAISED = re.compile(r"^\s*(\w+\.)*\w*(Error|Exception)\b\s*:")
WORDS = re.compile(r"\b(error|fatal|fail(ed|ure)?|cannot|could not|can't|denied|not enough|no space|refused)\b", re.I)
LONGEST = 500


@dataclass(frozen=True)
class FirstError:
    """`line` counts from 1 within the log that was given."""

    line: int
    text: str


def first_error(log: bytes) -> FirstError | None:
    """An exception's last line before a line with an error's word before the last line; None for a silent step.

    The runner's own heading (`$ step`) is never taken for an error.
    """
    lines = [ANSI.sub("", line).rstrip("\r") for line in _text(log).split("\n")]
    said = [(place, line) for place, line in enumerate(lines, 1) if line.strip() and not line.startswith("$ ")]
    for pattern in (RAISED, WORDS):
        found = next(((place, line) for place, line in said if pattern.search(line)), None)
        if found:
            return FirstError(found[0], found[1].strip()[:LONGEST])
    return FirstError(said[-1][0], said[-1][1].strip()[:LONGEST]) if said else None


def _text(log: bytes) -> str:
    """What is no text is shown as such; the database takes no NUL."""
    return log.decode(errors="replace").replace("\0", "\ufffd")


def trouble_fingerprint(code: str, name: str) -> str:
    """Equal for all upgrades that met the same trouble of a key or a host that they share."""
    return hashlib.sha256(f"{code}\0{name}".encode()).hexdigest()[:16]


VARYING = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\b[0-9a-f-]{36}\b|[0-9]+", re.I)


def failure_fingerprint(step: str, status: int | None, line: str) -> str:
    """Equal for equal failures, over sites and nights: the step, its exit status, the error without what varies."""
    gist = " ".join(VARYING.sub("#", ANSI.sub("", line)).lower().split())
    return hashlib.sha256(f"{step}\0{status}\0{gist}".encode()).hexdigest()[:16]
