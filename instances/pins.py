"""How a pin ends (T2)."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from builds.maturity import BuildFacts, Maturity


class PinEnd(StrEnum):
    NEVER = "never"
    ON_DATE = "on_date"
    CAUGHT_UP = "caught_up"
    """As soon as the channel's own resolution is at or past the pinned version."""


def pin_is_over(
    ends: PinEnd,
    until: datetime | None,
    then: Maturity | None,
    pin_key: str,
    heads: Mapping[Maturity, BuildFacts | None],
    at: datetime,
) -> bool:
    """Whether a site follows its channel again at that moment (T2)."""
    if ends is PinEnd.ON_DATE:
        return until is not None and at >= until
    head = heads[then] if ends is PinEnd.CAUGHT_UP and then else None
    return head is not None and head.key >= pin_key
