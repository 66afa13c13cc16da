"""One thing to decide, as Overview lists it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from instances.models import Instance
from releasemgr.lib.choices import Colour

SITES_NAMED = 3


@dataclass(frozen=True)
class Entry:
    """One thing to decide: what happened in bold, what it means, and one button; `main` is the page's blue one.

    `key` names the cause: an entry of another cause, or of more of it, has another one.
    """

    key: str
    icon: str
    colour: Colour
    title: str
    text: str
    url: str
    button: str
    sites: Sequence[Instance] = field(default_factory=list)
    more: int = 0
    main: bool = False
