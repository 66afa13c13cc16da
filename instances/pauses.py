"""Holds and freezes as the plan sees them: a site is left alone between two moments, for a reason."""

from dataclasses import dataclass
from enum import StrEnum

from instances.windows import Span


class PauseKind(StrEnum):
    HOLD = "hold"
    FREEZE = "freeze"


@dataclass(frozen=True)
class Pause:
    """`number` is the hold's or freeze's; a recurring freeze gives one pause for each time it comes."""

    kind: PauseKind
    number: int
    span: Span
    reason: str
    scope: str = ""
    """Of a freeze, in words: "all sites", "customer Acme", "tag healthcare"."""
