"""Reads OpenSSH's known_hosts. Pure: lines in, and which of them speak of a host."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from instances.host_keys import key_bytes


class Mark(StrEnum):
    NONE = ""
    REVOKED = "@revoked"
    AUTHORITY = "@cert-authority"


@dataclass(frozen=True)
class KnownLine:
    """One line. `names` is its list of names as it stands there: patterns, or one hashed name."""

    number: int
    mark: Mark
    names: str
    key: str

    def speaks_of(self, name: str) -> bool:
        """Whether it is about the host that OpenSSH calls so; see `name_of`."""
        if self.names.startswith("|"):
            return _is_hashed(self.names, name)
        patterns = [pattern.lower() for pattern in self.names.split(",")]
        if any(_matches(name, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
            return False
        return any(_matches(name, pattern) for pattern in patterns)


def name_of(address: str, port: int) -> str:
    """What OpenSSH calls a host at this address."""
    return address.lower() if port == 22 else f"[{address.lower()}]:{port}"


def read_known_hosts(text: str) -> tuple[list[KnownLine], list[str]]:
    """The lines, and a sentence for each that cannot be read."""
    lines, faults = [], []
    for number, written in enumerate(text.splitlines(), 1):
        if not (written := written.strip()) or written.startswith("#"):
            continue
        try:
            lines.append(_line(number, written))
        except ValueError as error:
            faults.append(f"Line {number}: {error}")
    return lines, faults


def keys_for(lines: Iterable[KnownLine], name: str) -> tuple[list[str], set[str]]:
    """The keys that the lines give this host, each once, in their order; and those that they revoke."""
    about = [line for line in lines if line.mark is not Mark.AUTHORITY and line.speaks_of(name)]
    revoked = {line.key for line in about if line.mark is Mark.REVOKED}
    given = dict.fromkeys(line.key for line in about if line.mark is Mark.NONE)
    return [key for key in given if key not in revoked], revoked


def _line(number: int, written: str) -> KnownLine:
    words = written.split()
    mark = Mark.NONE
    if words[0].startswith("@"):
        if words[0] not in (Mark.REVOKED, Mark.AUTHORITY):
            raise ValueError(f"{words[0]} is no mark that OpenSSH knows.")
        mark = Mark(words.pop(0))
    if len(words) < 3:
        raise ValueError("It has no names, type and key.")
    key = f"{words[1]} {words[2]}"
    key_bytes(key)
    return KnownLine(number, mark, words[0], key)


def _is_hashed(names: str, name: str) -> bool:
    """The name in HMAC-SHA1 with a salt: “|1|salt|hash”."""
    parts = names.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return False
    try:
        salt, expected = (base64.b64decode(part, validate=True) for part in parts[2:])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), hashlib.sha1), expected)


def _matches(name: str, pattern: str) -> bool:
    """OpenSSH knows * and ?; a bracket is itself, as in [host]:port."""
    return fnmatchcase(name, pattern.replace("[", "[[]"))
