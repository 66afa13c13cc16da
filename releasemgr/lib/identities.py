"""Named keys for signing in, and where each of them lies. The keys themselves are read when they are used."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")
FORMS = "name=/path/of/a/key, name=agent:/path/of/a/socket or name=env:VARIABLE"


@dataclass(frozen=True)
class KeyFile:
    path: Path


@dataclass(frozen=True)
class AgentKey:
    """The one key of an agent, or the one with this fingerprint (“SHA256:…”)."""

    socket: Path
    fingerprint: str = ""


@dataclass(frozen=True)
class KeyVariable:
    """A private key as the text of a variable of the environment."""

    name: str


KeyPlace = KeyFile | AgentKey | KeyVariable


def read_identities(setting: str, written: Iterable[str]) -> dict[str, KeyPlace]:
    """From “name=place”. Raises ImproperlyConfigured, with the setting's name and what it accepts."""
    found: dict[str, KeyPlace] = {}
    for one in written:
        name, separator, place = (part.strip() for part in one.partition("="))
        if not separator or not place or not NAME.fullmatch(name):
            raise ImproperlyConfigured(f"{setting} has “{one}”. It takes {FORMS}, separated by commas.")
        if name in found:
            raise ImproperlyConfigured(f"{setting} names {name} twice.")
        found[name] = _place(place)
    return found


def _place(text: str) -> KeyPlace:
    kind, _, rest = text.partition(":")
    if kind == "env":
        return KeyVariable(rest)
    if kind == "agent":
        socket, _, fingerprint = rest.partition("#")
        return AgentKey(Path(socket).expanduser(), fingerprint)
    return KeyFile(Path(text).expanduser().resolve())
