"""The time on the business's clock. Rules take `now` as an argument; only edges read it here."""

from datetime import UTC, datetime, timedelta

_offset = timedelta(0)


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC) + _offset


def offset() -> timedelta:
    """How far from the present this process lives."""
    return _offset


def move(offset: timedelta) -> None:
    """Lets this process live `offset` away from the present. For the demo's history only."""
    global _offset
    _offset = offset
