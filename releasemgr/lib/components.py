"""What the shared templates are fed with. docs/pages.md shows each one in use."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ViewLink:
    """One of the saved views above a table: “Off target 7”."""

    label: str
    url: str
    count: int | None = None
    current: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One colour of a stacked bar, and its count below. `colour` is a Colour, or live or test."""

    colour: str
    count: int
    label: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """A button of a page. `roles` are those that may, where the reader may not."""

    label: str
    url: str
    icon: str
    roles: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Confirm:
    """A page that asks before it acts. The button repeats the verb."""

    title: str
    effect: str
    verb: str
    back: str
    danger: bool = False
