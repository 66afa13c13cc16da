"""The mark of a site in its own directory: which installation's which site it is. Pure."""

import re
from typing import NamedTuple

LINE = re.compile(r"([0-9a-f]{32}) ([0-9]{1,18}) ([\w-]{1,120})", re.ASCII)


class Mark(NamedTuple):
    installation: str
    site: int
    name: str
    """What the site was called when it was marked."""

    def __str__(self) -> str:
        """As it stands on the host."""
        return f"{self.installation} {self.site} {self.name}"


def read_mark(line: str) -> Mark | None:
    """None for what is no mark."""
    found = LINE.fullmatch(line.strip())
    return Mark(found[1], int(found[2]), found[3]) if found else None


def mark_words(line: str, installation: str) -> str:
    """Whose directory it says that it is, seen from this installation."""
    mark = read_mark(line)
    if mark is None:
        return f"something else (“{line[:60]}”)"
    if mark.installation == installation:
        return f"{mark.name}, site {mark.site} of this installation"
    return f"{mark.name}, site {mark.site} of another installation ({mark.installation[:8]})"
