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
    """Whether a pin has ended at that time, so that the site follows `then` again (T2).

    `pin_key` sorts as the pinned version does; `heads` is what the channels resolve to at that time.
    """
    if ends is PinEnd.ON_DATE:
        return until is not None and at >= until
    return ends is PinEnd.CAUGHT_UP and then is not None and caught_up(heads[then], pin_key)


def caught_up(head: BuildFacts | None, pin_key: str) -> bool:
    """Whether a channel with this build is at or past a pinned version."""
    return head is not None and head.key >= pin_key
