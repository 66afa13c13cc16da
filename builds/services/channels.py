"""Keeps the four channels and their policy (R6, R10)."""

from datetime import datetime, timedelta

from builds.choices import DEFAULT_SOAK_DAYS
from builds.exceptions import PolicyRefused
from builds.maturity import Maturity
from builds.models import Channel
from builds.services.facts import one_decision_at_a_time
from releasemgr.lib.actors import Actor
from releasemgr.lib.history.services import difference, record, refuse_unless_seen, values_of

FIELDS = ("soak", "automatic")
LONGEST_SOAK = timedelta(days=365)


def ensure_channels() -> None:
    """Keeps the four channels; never touches a policy that someone set."""
    for name, days in DEFAULT_SOAK_DAYS.items():
        Channel.objects.get_or_create(name=name, defaults={"soak": timedelta(days=days)})


def set_channel_policy(
    channel: Maturity, *, actor: Actor, now: datetime, soak: timedelta | None = None, automatic: bool | None = None,
    reason: str = "", seen: int | None = None,
) -> tuple[Channel, bool]:  # fmt: skip
    """Changes how long a build soaks before it enters (R6), and whether the night promotes into it (R10).

    None leaves as it is. Answers with the channel, and whether anything changed. Raises PolicyRefused,
    ChangedMeanwhile.
    """
    if soak is not None and not timedelta(0) <= soak <= LONGEST_SOAK:
        raise PolicyRefused("soak", f"A soak time is between 0 and {LONGEST_SOAK.days} days.")
    with one_decision_at_a_time():
        row = Channel.objects.get(name=channel.channel)
        old = values_of(row, FIELDS)
        row.soak = row.soak if soak is None else soak
        row.automatic = row.automatic if automatic is None else automatic
        before, after = difference(old, values_of(row, FIELDS))
        if not after:
            return row, False
        refuse_unless_seen(row, seen)
        row.save(update_fields=FIELDS)
        record("channel.changed", row, actor=actor, now=now, before=before, after=after, reason=reason)
    return row, True
