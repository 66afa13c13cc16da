"""Holds and freezes: opening, moving and ending them, and what they mean for each site (P8)."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from instances.choices import FreezeScope, Kind
from instances.exceptions import InvalidInput
from instances.models import Freeze, Hold, Instance
from instances.pauses import Pause
from instances.repeats import pattern_of
from instances.services.input import check_row, checked_again, locked, reason_fault, refuse, span_faults
from instances.services.seen import refuse_unless_all_seen
from instances.windows import union, zone_named
from releasemgr.lib.actors import Actor
from releasemgr.lib.history.services import (
    change_of,
    difference,
    record,
    record_all,
    refuse_unless_seen,
    values_of,
)

FREEZE_FIELDS = ("name", "scope", "customer", "tag", "starts_at", "ends_at", "repeats", "zone", "reason")
TOO_LONG_ALONE = timedelta(days=90)

# Holds


def open_hold(
    instance: Instance, *, ends_at: datetime, reason: str, actor: Actor, now: datetime,
    starts_at: datetime | None = None, seen: int | None = None,
) -> Hold:  # fmt: skip
    """Leaves a site alone, from now on where no later start is given. Raises InvalidInput or ChangedMeanwhile.

    `seen` is the site's last change that the person saw, as with a target.
    """
    [hold] = open_holds(
        [instance], ends_at=ends_at, reason=reason, actor=actor, now=now, starts_at=starts_at,
        seen=None if seen is None else {instance.pk: seen},
    )  # fmt: skip
    return hold


def open_holds(
    instances: Collection[Instance], *, ends_at: datetime, reason: str, actor: Actor, now: datetime,
    starts_at: datetime | None = None, seen: Mapping[int, int] | None = None,
) -> list[Hold]:  # fmt: skip
    """The same for many, all of them or none (T9). One hold for each site."""
    begins = max(starts_at or now, now)
    refuse(span_faults(begins, ends_at, now) | {"reason": reason_fault(reason)})
    with transaction.atomic():
        rows = locked(instances)
        refuse_unless_all_seen(rows, seen)
        holds = Hold.objects.bulk_create([
            Hold(
                instance=row, starts_at=begins, ends_at=ends_at, renewed_at=begins, reason=reason.strip(),
                by=actor.user, origin=actor.origin, created_at=now,
            )
            for row in rows
        ])  # fmt: skip
        record_all(
            change_of("hold.opened", hold.instance, actor=actor, now=now, after=_hold_values(hold), reason=reason)
            for hold in holds
        )
    return holds


def extend_hold(
    hold: Hold, ends_at: datetime, *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None
) -> bool:
    """Moves the end of a hold, which renews it; whether it was moved. Raises InvalidInput or ChangedMeanwhile."""
    with transaction.atomic():
        row = _locked_hold(hold)
        refuse_unless_seen(row.instance, seen)
        if row.ended_at or row.ends_at <= now:
            raise InvalidInput({"": [f"This hold of {row.instance} is over."]})
        begins = max(row.starts_at, now)
        refuse(span_faults(begins, ends_at, now))
        if row.ends_at == ends_at:
            return False
        before = _hold_values(row)
        row.ends_at, row.renewed_at = ends_at, begins
        row.save(update_fields=["ends_at", "renewed_at"])
        record(
            "hold.changed", row.instance, actor=actor, now=now, before=before, after=_hold_values(row), reason=reason
        )  # fmt: skip
    hold.ends_at, hold.renewed_at = row.ends_at, row.renewed_at
    return True


def end_hold(hold: Hold, *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None) -> bool:
    """Ends a hold before its time; whether this call did it."""
    with transaction.atomic():
        row = _locked_hold(hold)
        refuse_unless_seen(row.instance, seen)
        ended = _end_holds([row], actor, now, reason)
    hold.ended_at, hold.ended_by = row.ended_at, row.ended_by
    return bool(ended)


def end_holds(
    instances: Collection[Instance], *, actor: Actor, now: datetime, reason: str = "",
    seen: Mapping[int, int] | None = None,
) -> list[Hold]:  # fmt: skip
    """Ends every hold of these sites that runs or is to come (T9). Those that it ended."""
    with transaction.atomic():
        rows = locked(instances)
        refuse_unless_all_seen(rows, seen)
        holds = Hold.objects.not_over(now).filter(instance__in=rows).select_related("instance")
        return _end_holds(list(holds), actor, now, reason)


def end_these_holds(
    holds: Collection[Hold], *, actor: Actor, now: datetime, reason: str = "", seen: Mapping[int, int] | None = None
) -> list[Hold]:
    """Ends these holds and no other of their sites. Those that it ended."""
    with transaction.atomic():
        rows = locked([hold.instance for hold in holds])
        refuse_unless_all_seen(rows, seen)
        fresh = Hold.objects.filter(pk__in=[hold.pk for hold in holds]).select_related("instance")
        return _end_holds(list(fresh), actor, now, reason)


def _locked_hold(hold: Hold) -> Hold:
    """With its site, which is locked: whoever changes holds of a site waits for the other."""
    locked([hold.instance])
    return Hold.objects.select_for_update(of=("self",)).select_related("instance").get(pk=hold.pk)


def _end_holds(holds: Iterable[Hold], actor: Actor, now: datetime, reason: str) -> list[Hold]:
    ended = [hold for hold in holds if hold.ended_at is None and hold.ends_at > now]
    for hold in ended:
        hold.ended_at, hold.ended_by = now, actor.user
    Hold.objects.bulk_update(ended, ["ended_at", "ended_by"])
    record_all(
        change_of("hold.ended", hold.instance, actor=actor, now=now, before=_hold_values(hold), reason=reason)
        for hold in ended
    )
    return ended


def _hold_values(hold: Hold) -> dict[str, Any]:
    return {"hold": hold.pk, "starts_at": hold.starts_at, "ends_at": hold.ends_at}


# Freezes


def open_freeze(values: Mapping[str, Any], *, actor: Actor, now: datetime) -> Freeze:
    """Leaves many sites alone. `values` are those of FREEZE_FIELDS. Raises InvalidInput."""
    freeze = Freeze(by=actor.user, origin=actor.origin, created_at=now)
    _take(freeze, values)
    check_freeze(freeze, now)
    with checked_again(freeze):
        freeze.save()
        after = values_of(freeze, FREEZE_FIELDS)
        record("freeze.opened", freeze, actor=actor, now=now, after=after, reason=freeze.reason)
    return freeze


def change_freeze(
    freeze: Freeze, values: Mapping[str, Any], *, actor: Actor, now: datetime, reason: str = "",
    seen: int | None = None,
) -> bool:  # fmt: skip
    """Changes some of FREEZE_FIELDS, and whether that said something new. Raises InvalidInput or ChangedMeanwhile."""
    with transaction.atomic():
        row = _locked_freeze(freeze)
        refuse_unless_seen(row, seen)
        if row.ended_at:
            raise InvalidInput({"": [f"{row} was ended already."]})
        before = values_of(row, FREEZE_FIELDS)
        _take(row, values)
        old, new = difference(before, values_of(row, FREEZE_FIELDS))
        if not new:
            return False
        check_freeze(row, now)
        with checked_again(row):
            row.save()
        record("freeze.changed", row, actor=actor, now=now, before=old, after=new, reason=reason)
    freeze.refresh_from_db()
    return True


def end_freeze(freeze: Freeze, *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None) -> bool:
    """Ends a freeze, and that it comes again; whether this call did it."""
    with transaction.atomic():
        row = _locked_freeze(freeze)
        refuse_unless_seen(row, seen)
        if row.ended_at or (not row.repeats and row.ends_at <= now):
            return False
        row.ended_at, row.ended_by = now, actor.user
        row.save(update_fields=["ended_at", "ended_by"])
        before = values_of(row, ("starts_at", "ends_at", "repeats"))
        record("freeze.ended", row, actor=actor, now=now, before=before, reason=reason)
    freeze.ended_at, freeze.ended_by = row.ended_at, row.ended_by
    return True


def end_freeze_on(
    freeze: Freeze, at: datetime, *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None
) -> bool:
    """Lets a freeze end at a later moment; one that comes again does not begin after that day. As change_freeze."""
    return change_freeze(freeze, ended_on(freeze, at), actor=actor, now=now, reason=reason, seen=seen)


def ended_on(freeze: Freeze, at: datetime) -> dict[str, Any]:
    """Which of FREEZE_FIELDS become what, so that the freeze ends then. Raises InvalidInput."""
    if not freeze.repeats:
        return {"ends_at": at}
    day = at.astimezone(zone_named(freeze.zone)).date()
    if day < freeze.starts_at.astimezone(zone_named(freeze.zone)).date():
        raise InvalidInput({"ends_at": ["It has not begun by then. End it now instead."]})
    rule = replace(pattern_of(freeze.repeats), last_day=day).as_rule
    shorter = replace(freeze.recurrence, rule=rule)
    return {"repeats": "" if shorter.fault else rule}  # a fault: it comes only once until then


def _locked_freeze(freeze: Freeze) -> Freeze:
    """What it points at is read once it is held: a join would not see what was set while it was waited for."""
    return Freeze.objects.select_for_update().prefetch_related("customer", "tag").get(pk=freeze.pk)


def _take(freeze: Freeze, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name not in FREEZE_FIELDS:
            raise TypeError(f"A freeze has no {name}.")
        setattr(freeze, name, value.strip() if isinstance(value, str) else value)


def check_freeze(freeze: Freeze, now: datetime) -> None:
    """Raises InvalidInput with all that is wrong."""
    if freeze.starts_at is None or freeze.ends_at is None:
        raise InvalidInput({"starts_at" if freeze.starts_at is None else "ends_at": ["The time is missing."]})
    freeze.renewed_at = freeze.starts_at if freeze.repeats else max(freeze.starts_at, now)
    faults = span_faults(freeze.starts_at, freeze.ends_at, freeze.renewed_at)
    if not faults and not freeze.repeats and freeze.ends_at <= now:
        faults = {"ends_at": "The end is over."}
    refuse(faults | _scope_faults(freeze) | _repeat_faults(freeze, faults) | {"reason": reason_fault(freeze.reason)})
    check_row(freeze)


def _scope_faults(freeze: Freeze) -> dict[str, str]:
    """The scope says which of the columns is needed; the other has to be empty."""
    needed = {FreezeScope.CUSTOMER: "customer", FreezeScope.TAG: "tag"}
    faults = {}
    for scope, name in needed.items():
        if freeze.scope == scope and getattr(freeze, name) is None:
            faults[name] = f"A freeze of {FreezeScope(scope).label} needs one."
        if freeze.scope != scope and getattr(freeze, name) is not None:
            faults[name] = "Does not belong to this scope."
    return faults


def _repeat_faults(freeze: Freeze, span: Mapping[str, str]) -> dict[str, str]:
    try:
        zone_named(freeze.zone)
    except ValueError as fault:
        return {"zone": str(fault)}
    return {"repeats": freeze.recurrence.fault} if not span else {}


# What they mean for each site


def pauses_for(
    instances: Collection[Instance] | None, after: datetime, before: datetime, *, every: bool = False
) -> dict[int, tuple[Pause, ...]]:
    """Every hold and freeze of each site that shares a moment with the given span, by the site's key, in order.

    None means all sites, and `every` that these are all. At most four queries, whatever the number of sites, holds and
    freezes; one less where the sites are given.
    """
    holds = Hold.objects.meeting(after, before)
    freezes = Freeze.objects.for_list().that_may_meet(after, before)
    if instances is None:
        sites = list(Instance.objects.order_by().values_list("pk", "kind", "customer_id"))
    else:
        sites = [(site.pk, site.kind, site.customer_id) for site in instances]
    if instances is not None and not every:
        holds = holds.filter(instance__in=[pk for pk, _kind, _customer in sites])
    pauses: dict[int, list[Pause]] = {pk: [] for pk, _kind, _customer in sites}
    for hold in holds:
        pauses[hold.instance_id] += hold.pauses(after, before)
    found = [(freeze, times) for freeze in freezes if (times := list(freeze.pauses(after, before)))]
    tagged = _tagged([freeze.tag_id for freeze, _times in found if freeze.tag_id], pauses)
    for freeze, times in found:
        for pk, kind, customer in sites:
            if _covers(freeze, pk, kind, customer, tagged):
                pauses[pk] += times
    return {pk: tuple(sorted(all_of_it, key=_order)) for pk, all_of_it in pauses.items()}


def sites_of(freeze: Freeze) -> set[int]:
    """The ids of the sites that a freeze, saved or not, leaves alone. At most two queries."""
    sites = Instance.objects.order_by().values_list("pk", "kind", "customer_id")
    tagged = _tagged([freeze.tag_id] if freeze.tag_id else [], {pk: None for pk, _kind, _customer in sites})
    return {pk for pk, kind, customer in sites if _covers(freeze, pk, kind, customer, tagged)}


def _tagged(tags: Collection[int], sites: Collection[int]) -> set[tuple[int, int]]:
    """Pairs of a tag and a site that has it."""
    if not tags:
        return set()
    links = Instance.tags.through.objects.filter(tag__in=tags)
    return {(tag, site) for tag, site in links.values_list("tag_id", "instance_id") if site in sites}


def _covers(freeze: Freeze, site: int, kind: str, customer: int, tagged: set[tuple[int, int]]) -> bool:
    match freeze.scope:
        case FreezeScope.ALL:
            return True
        case FreezeScope.LIVE | FreezeScope.TEST:
            return kind == (Kind.LIVE if freeze.scope == FreezeScope.LIVE else Kind.TEST)
        case FreezeScope.CUSTOMER:
            return customer == freeze.customer_id
        case _:
            return (freeze.tag_id, site) in tagged


def _order(pause: Pause) -> tuple[Any, ...]:
    return pause.span, pause.kind, pause.number


@dataclass(frozen=True)
class LeftAlone:
    """A site that holds and freezes have left alone since then without a break, until then at least."""

    site: Instance
    since: datetime
    until: datetime


def left_alone(now: datetime) -> list[LeftAlone]:
    """The sites that holds and freezes have left alone for over 90 days, the longest first. At most five queries."""
    found, moment = {}, timedelta(microseconds=1)
    for pk, pauses in pauses_for(None, now - TOO_LONG_ALONE - moment, now + moment).items():
        for span in union([pause.span for pause in pauses]):
            if span.covers(now) and now - span.starts_at > TOO_LONG_ALONE:
                found[pk] = span
    sites = Instance.objects.for_list().in_bulk(found)
    alone = [LeftAlone(sites[pk], span.starts_at, span.ends_at) for pk, span in found.items()]
    return sorted(alone, key=lambda one: (one.since, one.site.slug))
