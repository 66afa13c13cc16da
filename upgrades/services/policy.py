"""How nights go about their upgrades, and when: changed by people, with a history (P4, P5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction

from instances.services import default_subject, set_windows
from instances.windows import Window
from releasemgr.lib import queue
from releasemgr.lib.actors import Actor
from releasemgr.lib.history.services import difference, last_seen, record, refuse_unless_seen, values_of
from upgrades.exceptions import PolicyRefused, ReasonMissing
from upgrades.models import Policy, Schedule
from upgrades.night import DAY
from upgrades.services.runs import NIGHT_TASK, record_missed_nights

POLICY_FIELDS = (
    "canary_share", "canary_tag", "wave_sizes", "wave_pause_min", "max_parallel", "halt_share", "halt_minimum",
    "halt_canaries", "halt_same", "hold_on_blockers",
)  # fmt: skip
SCHEDULE_FIELDS = ("start", "end")


def change_policy(
    values: Mapping[str, Any], *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None
) -> Policy:
    """Sets fields of POLICY_FIELDS. It acts on what has not begun. Raises PolicyRefused or ChangedMeanwhile."""
    with transaction.atomic():
        policy = Policy.objects.select_for_update().get()
        _change("policy.changed", policy, POLICY_FIELDS, values, actor=actor, now=now, reason=reason, seen=seen)
    return policy


def change_schedule(
    values: Mapping[str, Any], *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None
) -> Schedule:
    """Sets when nights start and end, and when the queue wakes them. Raises PolicyRefused or ChangedMeanwhile."""
    with transaction.atomic():
        schedule = Schedule.objects.select_for_update().get()
        if values.get("start", schedule.start) == values.get("end", schedule.end):
            raise PolicyRefused({"end": ["A night ends at another time than it starts."]})
        record_missed_nights(now)
        _change("schedule.changed", schedule, SCHEDULE_FIELDS, values, actor=actor, now=now, reason=reason, seen=seen)
        _forget_nights_that_never_were(schedule, now)
        queue.ensure_schedule("night", NIGHT_TASK, schedule.cron)
    return schedule


@dataclass(frozen=True)
class Seen:
    """The last change of each that the page showed, 0 for none (T7)."""

    policy: int
    schedule: int
    windows: int

    @classmethod
    def now(cls) -> "Seen":
        rows = (Policy.objects.get(), Schedule.objects.get(), default_subject())
        return cls(*(last_seen(row) for row in rows))


def change_rules(
    *, policy: Mapping[str, Any], schedule: Mapping[str, Any], windows: Sequence[Window], actor: Actor, now: datetime,
    reason: str = "", seen: Seen | None = None,
) -> bool:  # fmt: skip
    """Policy, schedule and default windows together or not at all, and whether anything changed.

    Raises PolicyRefused, InvalidInput for the windows, or ChangedMeanwhile.
    """
    said: dict[str, Any] = {"actor": actor, "now": now, "reason": reason}
    with transaction.atomic():
        before = Seen.now()
        change_schedule(schedule, **said, seen=seen.schedule if seen else None)
        set_windows(None, windows, **said, seen=seen.windows if seen else None)
        change_policy(policy, **said, seen=seen.policy if seen else None)
        return Seen.now() != before


def _forget_nights_that_never_were(schedule: Schedule, now: datetime) -> None:
    """A night that would be over by the new hours was not missed by them (P7)."""
    night = schedule.timetable.latest(now)
    if night.covers(now):
        night = schedule.timetable.night(night.date - DAY)
    if night.starts_at > schedule.since:
        schedule.since = night.starts_at
        schedule.save(update_fields=["since"])


def _change(
    kind: str, row: models.Model, fields: tuple[str, ...], values: Mapping[str, Any], *, actor: Actor, now: datetime,
    reason: str, seen: int | None,
) -> None:  # fmt: skip
    """One change of a row that is held; none where nothing differs."""
    refuse_unless_seen(row, seen)
    before = values_of(row, fields)
    for name in fields:
        if name in values:
            setattr(row, name, values[name])
    try:
        row.full_clean()
    except ValidationError as error:
        raise PolicyRefused(error.message_dict) from error
    was, is_now = difference(before, values_of(row, fields))
    if is_now:
        row.save(update_fields=list(is_now))
        record(kind, row, actor=actor, now=now, before=was, after=is_now, reason=reason)


def switch_nights_off(*, actor: Actor, now: datetime, reason: str, seen: int | None = None) -> bool:
    """No night plans anything until they are switched on again, and whether this call did it (P5).

    Raises ReasonMissing or ChangedMeanwhile.
    """
    if not reason.strip():
        raise ReasonMissing("Switching the nights off needs a reason.")
    with transaction.atomic():
        policy = Policy.objects.select_for_update().get()
        if policy.nights_off_since:
            return False
        refuse_unless_seen(policy, seen)
        policy.nights_off_since, policy.nights_off_by, policy.nights_off_reason = now, actor.user, reason.strip()
        policy.save(update_fields=["nights_off_since", "nights_off_by", "nights_off_reason"])
        record("nights.switched_off", policy, actor=actor, now=now, reason=reason)
    return True


def switch_nights_on(*, actor: Actor, now: datetime, reason: str = "", seen: int | None = None) -> bool:
    """Lets nights run again, and whether this call did it. Raises ChangedMeanwhile."""
    with transaction.atomic():
        policy = Policy.objects.select_for_update().get()
        if policy.nights_off_since is None:
            return False
        refuse_unless_seen(policy, seen)
        policy.nights_off_since, policy.nights_off_by, policy.nights_off_reason = None, None, ""
        policy.save(update_fields=["nights_off_since", "nights_off_by", "nights_off_reason"])
        record("nights.switched_on", policy, actor=actor, now=now, reason=reason)
    return True
