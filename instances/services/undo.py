"""Takes back an act on many sites, where nobody has changed them again: as another act, recorded like any (T9)."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from instances.exceptions import NothingToUndo, Overtaken
from instances.models import Hold, Instance, TargetChange
from instances.services.fleet import change_tags
from instances.services.input import locked
from instances.services.pauses import end_these_holds, open_holds
from instances.services.seen import refuse_unless_all_seen
from instances.services.targets import Aim, set_aims
from instances.windows import Span
from releasemgr.lib.actors import Actor
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import type_of

TARGET, HELD, RELEASED, TAGS = "target.changed", "hold.opened", "hold.ended", "tags.changed"
UNDOABLE = (TARGET, HELD, RELEASED, TAGS)


@dataclass(frozen=True)
class Undo:
    """An act, and what of it can be taken back. `sites` are those; `changes` has each site's of the act, by its id.

    `overtaken` says by the name of each other site what has happened to it since.
    """

    kind: str
    at: datetime
    first: int
    last: int
    changes: Mapping[int, Sequence[Change]]
    sites: list[Instance]
    overtaken: Mapping[str, str]

    def aims(self) -> list[Aim]:
        """The targets that the sites had before, with the owner and the reason of a pin. Two queries."""
        numbers = {site.pk: site for site in self.sites}
        before = TargetChange.objects.filter(
            instance__in=numbers, at=self.at, by=self._any.by_id, origin=self._any.origin
        ).select_related("from_build")
        pins = _pins_before([change for change in before if change.from_build_id])
        return [
            _aim_back(numbers[change.instance_id], change, pins.get(change.pk), self.changes[change.instance_id])
            for change in before
            if change.before
        ]  # fmt: skip

    def holds(self) -> list[Hold]:
        """Those that the act opened or ended. One query."""
        chosen = [change for site in self.sites for change in self.changes[site.pk]]
        numbers = [(change.after or change.before)["hold"] for change in chosen]
        return list(Hold.objects.filter(pk__in=numbers).select_related("instance").order_by("pk"))

    def spans(self) -> dict[int, list[Span]]:
        """When each site would be held again, for the holds that the act ended."""
        found: dict[int, list[Span]] = defaultdict(list)
        for hold in self.holds():
            found[hold.instance_id].append(Span(hold.starts_at, hold.ends_at))
        return found

    def tags(self) -> tuple[dict[int, set[str]], dict[int, set[str]]]:
        """What each site gets back and what it loses."""
        back, lost = {}, {}
        for site in self.sites:
            [change] = self.changes[site.pk]
            before, after = set(change.before["tags"]), set(change.after["tags"])
            back[site.pk], lost[site.pk] = before - after, after - before
        return back, lost

    @property
    def _any(self) -> Change:
        return next(iter(self.changes.values()))[0]


def undo_of(
    sites: Collection[Instance], kind: str, *, actor: Actor, now: datetime, after: int = 0
) -> tuple[int, int] | None:
    """The numbers between which the history has what was just done to these sites; None for nothing.

    `after` is the number of the last change before it.
    """
    numbers = (
        Change.objects.filter(
            kind=kind, at=now, by=actor.user, origin=actor.origin, subject_type=type_of(Instance()),
            subject_id__in=[str(site.pk) for site in sites], pk__gt=after,
        )
        .order_by("pk")
        .values_list("pk", flat=True)
    )  # fmt: skip
    found = list(numbers)
    return (found[0], found[-1]) if found else None


def undo_between(first: int, last: int, now: datetime) -> Undo:
    """What can be taken back of the act whose changes have the numbers from `first` to `last`.

    Raises NothingToUndo. Four queries, whatever the number of sites.
    """
    one = Change.objects.filter(pk=first, kind__in=UNDOABLE, subject_type=type_of(Instance())).first()
    if one is None or last < first:
        raise NothingToUndo("There is nothing that could be taken back.")
    acts = Change.objects.filter(
        pk__range=(first, last), kind=one.kind, at=one.at, by=one.by_id, origin=one.origin,
        subject_type=one.subject_type,
    )  # fmt: skip
    changes: dict[int, list[Change]] = defaultdict(list)
    for change in acts.order_by("pk"):
        changes[int(change.subject_id)].append(change)
    later = _later(changes, one.kind, last) | _over(changes, one.kind, now)
    rows = list(Instance.objects.for_list().filter(pk__in=changes))
    gone = {
        found[0].subject_name: f"{found[0].subject_name} is not there any more."
        for pk, found in changes.items()
        if pk not in {row.pk for row in rows}
    }
    return Undo(
        one.kind, one.at, first, last, changes, [row for row in rows if row.pk not in later],
        gone | {row.slug: later[row.pk] for row in rows if row.pk in later},
    )  # fmt: skip


def _later(changes: Mapping[int, Sequence[Change]], kind: str, last: int) -> dict[int, str]:
    """What was changed of the same kind of thing after the act, by the site's id."""
    family = kind.partition(".")[0]
    found = Change.objects.filter(
        subject_type=type_of(Instance()), subject_id__in=[str(pk) for pk in changes], pk__gt=last,
        kind__startswith=f"{family}.",
    ).select_related("by")  # fmt: skip
    return {
        int(theirs.subject_id): f"{theirs.who} changed it again at {theirs.at:%H:%M on %-d %b}." for theirs in found
    }


def _over(changes: Mapping[int, Sequence[Change]], kind: str, now: datetime) -> dict[int, str]:
    """Holds that are over by themselves: nothing is left to take back."""
    if kind not in (HELD, RELEASED):
        return {}
    numbers = [(change.after or change.before)["hold"] for found in changes.values() for change in found]
    over = Hold.objects.filter(pk__in=numbers, ends_at__lte=now).values_list("instance_id", flat=True)
    return dict.fromkeys(over, "Its hold is over by itself.")


def take_back(
    undo: Undo, sites: Collection[Instance], *, actor: Actor, now: datetime, reason: str = "",
    seen: Mapping[int, int] | None = None,
) -> None:  # fmt: skip
    """Takes the act back on these of its sites, on all of them or on none.

    Raises Overtaken where one was changed again, ChangedMeanwhile, and what the verbs themselves refuse with.
    """
    with transaction.atomic():
        refuse_unless_all_seen(locked(sites), seen)
        fresh = undo_between(undo.first, undo.last, now)
        still = {site.pk: site for site in fresh.sites}
        if left := [site.slug for site in sites if site.pk not in still]:
            raise Overtaken(left)
        chosen = {site.pk for site in sites}
        part = Undo(
            fresh.kind, fresh.at, fresh.first, fresh.last, fresh.changes,
            [site for site in fresh.sites if site.pk in chosen], {},
        )  # fmt: skip
        WAYS_BACK[undo.kind](part, actor, now, reason)


def _targets_back(undo: Undo, actor: Actor, now: datetime, reason: str) -> None:
    set_aims(undo.aims(), actor=actor, now=now, reason=reason)


def _pins_before(changes: Sequence[TargetChange]) -> dict[int, TargetChange]:
    """The change that made the pin which each of these replaced, by the number of the latter. One query."""
    made = TargetChange.objects.filter(
        instance__in=[change.instance_id for change in changes],
        to_build__in=[change.from_build_id for change in changes],
    ).select_related("by")  # fmt: skip
    by_pin: dict[tuple[int, int | None], list[TargetChange]] = defaultdict(list)
    for one in made.order_by("pk"):
        by_pin[one.instance_id, one.to_build_id].append(one)
    found = {}
    for change in changes:
        earlier = [one for one in by_pin[change.instance_id, change.from_build_id] if one.pk < change.pk]
        if earlier:
            found[change.pk] = earlier[-1]
    return found


def _aim_back(
    site: Instance, change: TargetChange, pin: TargetChange | None, history: Sequence[Change]
) -> Aim:  # fmt: skip
    """Consent to a downgrade comes back where it still is for the version that the site runs (T4)."""
    assert change.before  # noqa: S101 - its caller looked
    consent = history[0].before.get("downgrade_from")
    return Aim(
        site,
        change.before,
        downgrade=consent is not None and consent == site.reported_version,
        owner=pin.by if pin else None,
        reason=pin.reason if pin else "",
    )


def _holds_ended(undo: Undo, actor: Actor, now: datetime, reason: str) -> None:
    end_these_holds(undo.holds(), actor=actor, now=now, reason=reason)


def _holds_opened(undo: Undo, actor: Actor, now: datetime, reason: str) -> None:
    """One act for each hold that differs: a hold says until when and why."""
    alike: dict[tuple[datetime, datetime, str], list[Instance]] = defaultdict(list)
    for hold in undo.holds():
        alike[hold.starts_at, hold.ends_at, hold.reason].append(hold.instance)
    for (starts_at, ends_at, why), sites in alike.items():
        open_holds(sites, starts_at=starts_at, ends_at=ends_at, reason=why, actor=actor, now=now)


def _tags_back(undo: Undo, actor: Actor, now: datetime, reason: str) -> None:
    alike: dict[tuple[frozenset[str], frozenset[str]], list[Instance]] = defaultdict(list)
    back, lost = undo.tags()
    for site in undo.sites:
        alike[frozenset(back[site.pk]), frozenset(lost[site.pk])].append(site)
    for (add, remove), sites in alike.items():
        change_tags(sites, add=add, remove=remove, actor=actor, now=now, reason=reason)


WAYS_BACK: dict[str, Callable[[Undo, Actor, datetime, str], None]] = {
    TARGET: _targets_back,
    HELD: _holds_ended,
    RELEASED: _holds_opened,
    TAGS: _tags_back,
}
