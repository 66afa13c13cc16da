"""Selections of sites (T9): which a filter means, what an act on all of them does to the night, and doing it."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import TypeVar

from django.db import transaction

from builds.models import Problem
from instances.choices import FreezeScope
from instances.models import Freeze, Hold, Instance, Target
from instances.pauses import Pause, PauseKind
from instances.services import pauses_for
from instances.services.input import locked
from instances.windows import Span
from upgrades.exceptions import PlanChanged
from upgrades.models import Policy
from upgrades.night import Night
from upgrades.plan import Decision, Facts, SiteFacts, fingerprint
from upgrades.selection import Candidate, Criteria
from upgrades.services.facts import facts_of_night
from upgrades.services.planning import Effect, aimed, next_night, plan_night, preview_of

T = TypeVar("T")
Change = Callable[[Facts], Facts]


def candidates(decisions: Iterable[Decision], night: Night, now: datetime) -> list[Candidate]:
    """These sites as a filter sees them, in that order. Up to seven queries, whatever their number."""
    rows = Instance.objects.values_list(
        "pk", "customer__slug", "customer__name", "url", "pin_owner__username", named=True
    ).order_by()
    of_site = {row.pk: row for row in rows}
    tags = _tags_by_site()
    affected = _problems_by_key()
    held = set(Hold.objects.not_over(now).values_list("instance_id", flat=True))
    pauses = pauses_for(None, now, night.ends_at)
    frozen = {pk for pk, found in pauses.items() if any(pause.kind is PauseKind.FREEZE for pause in found)}
    return [
        Candidate(
            decision, row.customer__slug, row.customer__name, row.url, frozenset(tags[row.pk]),
            row.pin_owner__username or "", row.pk in held, row.pk in frozen, affected(decision.site.key),
        )
        for decision in decisions
        if (row := of_site.get(decision.site.id))
    ]  # fmt: skip


def _tags_by_site() -> Mapping[int, set[str]]:
    links = Instance.tags.through.objects.values_list("instance_id", "tag__name")
    tags: dict[int, set[str]] = defaultdict(set)
    for site, name in links:
        tags[site].add(name)
    return tags


def _problems_by_key() -> Callable[[str | None], frozenset[int]]:
    """The problems of a version, by its sort key; those that were dismissed are none (R7). One query."""
    spans = list(
        Problem.objects.filter(dismissed_at=None).values_list(
            "pk", "first_affected__version_key", "fixed_in__version_key"
        )
    )  # fmt: skip

    @cache
    def affected(key: str | None) -> frozenset[int]:
        if key is None:
            return frozenset()
        return frozenset(number for number, first, fix in spans if first <= key and (fix is None or key < fix))

    return affected


def sites_meant(criteria: Criteria, now: datetime) -> list[Instance]:
    """The sites that a filter means now, by name."""
    night, decisions = plan_night(now)
    found = [one.id for one in candidates(decisions, night, now) if criteria.take(one)]
    return list(Instance.objects.for_list().filter(pk__in=found))


# What an act does to the night


def preview_change(sites: Collection[Instance], change: Change, night: Night) -> list[Effect]:
    """What that night would do to each of these sites after a change of the facts. Changes nothing."""
    return preview_of(facts_of_night(night, sites), change, night)


def effects_print(effects: Iterable[Effect]) -> str:
    """A fingerprint of what was shown: each site without and with the change."""
    shown = list(effects)
    return fingerprint(one.before for one in shown) + fingerprint(one.after for one in shown)


def as_shown(
    sites: Collection[Instance], change: Change, act: Callable[[], T], *, shown: str, now: datetime
) -> T:  # fmt: skip
    """Acts, if the effect on the next night is still the one with this fingerprint; all in one transaction.

    Raises PlanChanged, UnknownSite for a site that is gone, and what `act` raises; then nothing is done.
    """
    with transaction.atomic():
        rows = locked(sites)
        if effects_print(preview_change(rows, change, next_night(now))) != shown:
            raise PlanChanged("What this does is not any more what was shown. Nothing was changed.")
        return act()


def _each(change: Callable[[SiteFacts], SiteFacts]) -> Change:
    return lambda facts: replace(facts, sites=tuple(change(site) for site in facts.sites))


def with_targets(targets: Mapping[int, Target], consents: Collection[int] = ()) -> Change:
    """The sites get these targets, by their id. `consents` are those that may leave their version downwards (T4)."""
    return _each(
        lambda site: aimed(site, targets[site.id], consent=site.id in consents) if site.id in targets else site
    )


def with_holds(spans: Mapping[int, Iterable[Span]], reason: str) -> Change:
    """The sites are held for these times, by their id."""

    def held(site: SiteFacts) -> SiteFacts:
        more = [Pause(PauseKind.HOLD, 0, span, reason) for span in spans.get(site.id, ())]
        return replace(site, pauses=(*site.pauses, *more))

    return _each(held)


def without_holds(numbers: Collection[int] | None = None) -> Change:
    """All holds are over, or these."""

    def ended(pause: Pause) -> bool:
        return pause.kind is PauseKind.HOLD and (numbers is None or pause.number in numbers)

    return _each(lambda site: replace(site, pauses=tuple(pause for pause in site.pauses if not ended(pause))))


def with_tags(gained: Mapping[int, Collection[str]], lost: Mapping[int, Collection[str]], night: Night) -> Change:
    """The sites gain and lose tags, by their id: freezes and canaries follow them. Two queries."""
    names = {name for found in (*gained.values(), *lost.values()) for name in found}
    frozen = _freezes_by_tag(names, night)
    canary = Policy.objects.get().canary_tag
    numbers = {name: {pause.number for pause in pauses} for name, pauses in frozen.items()}

    def retagged(site: SiteFacts) -> SiteFacts:
        new, old = gained.get(site.id, ()), lost.get(site.id, ())
        gone = {number for name in old for number in numbers.get(name, ())}
        kept = [pause for pause in site.pauses if pause.kind is not PauseKind.FREEZE or pause.number not in gone]
        more = [pause for name in new for pause in frozen.get(name, ())]
        is_canary = canary in new or (site.canary and canary not in old)
        return replace(site, pauses=(*kept, *more), canary=is_canary)

    return _each(retagged)


def _freezes_by_tag(names: Collection[str], night: Night) -> dict[str, Sequence[Pause]]:
    freezes = Freeze.objects.for_list().that_may_meet(night.starts_at, night.ends_at)
    found: dict[str, list[Pause]] = defaultdict(list)
    for freeze in freezes.filter(scope=FreezeScope.TAG, tag__name__in=names):
        found[str(freeze.tag)] += freeze.pauses(night.starts_at, night.ends_at)
    return dict(found)
