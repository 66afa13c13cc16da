"""What a freeze, or another policy, schedule or default window, would do to a night (P1). Changes nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from instances.models import Freeze
from instances.pauses import Pause, PauseKind
from instances.services import sites_of, sites_with_windows
from instances.windows import Span, Window
from upgrades.halting import Limits
from upgrades.models import Policy, Schedule
from upgrades.night import Night, Timetable
from upgrades.plan import Code, Decision, Facts, SiteFacts, plan_with_waves
from upgrades.services.facts import canaries, facts_of_night
from upgrades.services.planning import Effect, next_night, preview_of
from upgrades.turns import next_turn
from upgrades.waves import Wave

NOT_SAVED = 0
A_WEEK = timedelta(days=8)
"""So many nights hold every weekday's, whatever the clocks do."""


def preview_freeze(freeze: Freeze, night: Night) -> list[Effect]:
    """What that night does to each site if the freeze is as given; one that is saved takes its own place."""
    frozen = sites_of(freeze)
    return preview_of(facts_of_night(night), lambda facts: _with_freeze(facts, freeze, frozen, night), night)


def _with_freeze(facts: Facts, freeze: Freeze, frozen: set[int], night: Night) -> Facts:
    number = freeze.pk or NOT_SAVED
    times = tuple(replace(each, number=number) for each in freeze.pauses(night.starts_at, night.ends_at))
    sites = [
        replace(site, pauses=(*_others(site.pauses, number), *(times if site.id in frozen else ())))
        for site in facts.sites
    ]
    return replace(facts, sites=tuple(sites))


def _others(pauses: Iterable[Pause], number: int) -> list[Pause]:
    return [pause for pause in pauses if (pause.kind, pause.number) != (PauseKind.FREEZE, number)]


@dataclass(frozen=True)
class PlannedNight:
    """A night with what it does, its waves, and the limits at which it halts. `timetable` makes the nights after it."""

    night: Night
    decisions: Sequence[Decision]
    waves: Sequence[Wave]
    limits: Limits
    timetable: Timetable

    @cached_property
    def upgrading(self) -> list[Decision]:
        return [decision for decision in self.decisions if decision.upgrades]

    @cached_property
    def outside(self) -> list[Decision]:
        """Sites that would go, but whose window does not open then or is too short."""
        return [one for one in self.decisions if one.code in (Code.OUTSIDE_WINDOW, Code.WINDOW_TOO_SHORT)]

    def next_chance(self, site: SiteFacts) -> datetime | None:
        """When its windows give it a turn in the nights of a week; None where they never do."""
        nights = self.timetable.started_between(self.night.starts_at, self.night.starts_at + A_WEEK)
        return next_turn(site.windows, (), site.needs, (Span(night.starts_at, night.ends_at) for night in nights))


@dataclass(frozen=True)
class NightPreview:
    before: PlannedNight
    after: PlannedNight

    @cached_property
    def effects(self) -> list[Effect]:
        before = {decision.site.id: decision for decision in self.before.decisions}
        return [Effect(before[after.site.id], after) for after in self.after.decisions]

    @cached_property
    def losing(self) -> list[Effect]:
        """Sites that were to be upgraded, and are not any more."""
        return [one for one in self.effects if one.before.upgrades and not one.after.upgrades]

    @cached_property
    def winning(self) -> list[Effect]:
        return [one for one in self.effects if one.after.upgrades and not one.before.upgrades]

    @property
    def same_night(self) -> bool:
        return self.before.night == self.after.night

    @property
    def same_waves(self) -> bool:
        return self.before.waves == self.after.waves


def preview_rules(
    policy: Policy, schedule: Schedule, windows: tuple[Window, ...] | None, now: datetime
) -> NightPreview:
    """The next night as it is, and as it were with this policy, schedule and default windows, none of them saved."""
    kept, present = Policy.objects.get(), Schedule.objects.get()
    night, other = next_night(now, present.timetable), next_night(now, schedule.timetable)
    facts = facts_of_night(night)
    changed = facts if other == night else facts_of_night(other)
    changed = replace(changed, rollout=policy.rollout, hold_on_blockers=policy.hold_on_blockers)
    if policy.canary_tag != kept.canary_tag:
        changed = _with_canaries(changed, policy.canary_tag)
    if windows is not None:
        changed = _with_default(changed, windows)
    return NightPreview(
        _planned(facts, night, kept.limits, present.timetable),
        _planned(changed, other, policy.limits, schedule.timetable),
    )


def planned_night(now: datetime) -> PlannedNight:
    """The next night as it is."""
    schedule = Schedule.objects.get()
    night = next_night(now, schedule.timetable)
    return _planned(facts_of_night(night), night, Policy.objects.get().limits, schedule.timetable)


def _planned(facts: Facts, night: Night, limits: Limits, timetable: Timetable) -> PlannedNight:
    decisions, waves = plan_with_waves(facts, night.starts_at, night.ends_at)
    return PlannedNight(night, decisions, waves, limits, timetable)


def _with_canaries(facts: Facts, tag: str) -> Facts:
    tagged = canaries(tag)
    return replace(facts, sites=tuple(replace(site, canary=site.id in tagged) for site in facts.sites))


def _with_default(facts: Facts, windows: tuple[Window, ...]) -> Facts:
    """A site without windows of its own takes the default ones."""
    own = sites_with_windows()
    sites = [site if site.id in own else replace(site, windows=windows) for site in facts.sites]
    return replace(facts, sites=tuple(sites))
