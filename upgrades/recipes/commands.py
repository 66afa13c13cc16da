"""The constant commands that run on a host. What varies reaches them on their standard input (U8)."""

import re
import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path

HOST_SCRIPTS = Path(__file__).parent / "host"
READS = {"version": ("mark",)}
"""The scripts of functions that a command needs before it."""
VALUE_NAME = re.compile(r"[A-Z][A-Z0-9_]*")


@cache
def host_script(name: str) -> bytes:
    return (HOST_SCRIPTS / f"{name}.sh").read_bytes()


@cache
def host_command(name: str) -> str:
    script = b"".join(map(host_script, (*READS.get(name, ()), name)))
    return f"sh -c {shlex.quote(script.decode())}"


def lines(*values: str | int) -> bytes:
    """One value a line. Raises ValueError for a value that would be more than one."""
    return b"".join(_line(str(value)) for value in values)


def value_lines(values: Mapping[str, str]) -> bytes:
    """KEY=value lines, sorted. Raises ValueError naming the key of what cannot travel."""
    return b"".join(_value_line(name, values[name]) for name in sorted(values))


def _value_line(name: str, value: str) -> bytes:
    if not VALUE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a value: capital letters, digits and underscores.")
    try:
        return _line(f"{name}={value}")
    except ValueError:
        raise ValueError(f"{name} has a line end or a NUL in it.") from None


def _line(text: str) -> bytes:
    if "\n" in text or "\0" in text:
        raise ValueError("A value for a host has a line end or a NUL in it.")
    return text.encode("utf-8", "surrogateescape") + b"\n"
