"""How a pin ends (T2)."""

from enum import StrEnum


class PinEnd(StrEnum):
    NEVER = "never"
    ON_DATE = "on_date"
    CAUGHT_UP = "caught_up"
    """As soon as the channel's own resolution is at or past the pinned version."""
