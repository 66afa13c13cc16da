"""Asks the plan (P1): about tonight, one site, and previews of changes not yet made."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from builds.maturity import BuildFacts, Maturity, channel_named, judge, resolve
from builds.models import Build
from instances.choices import Kind
from instances.models import Instance, Target
from instances.pins import PinEnd
from instances.services import DEFAULT_CHANNEL, pauses_for, windows_for
from instances.windows import Span
from upgrades.choices import RunKind
from upgrades.models import Run, Schedule, Upgrade
from upgrades.night import Night, Timetable
from upgrades.plan import Decision, Facts, Rule, SiteFacts, fingerprint, plan
from upgrades.services.facts import ALWAYS_WAIVED, facts_now, facts_of_night
from upgrades.turns import next_turn

FORESEEN = timedelta(days=62)


def due_night(now: datetime, schedule: Schedule | None = None) -> Night | None:
    """The night that is on and has no run yet; nights before the installation never were (P7)."""
    schedule = schedule or Schedule.objects.get()
    night = schedule.timetable.latest(now)
    if not night.covers(now) or night.starts_at <= schedule.since:
        return None
    return None if Run.objects.filter(date=night.date).exists() else night


def next_night(now: datetime, timetable: Timetable | None = None) -> Night:
    """The night that is planned next: what is left of one that is due, else the first that has not started.

    One that was run by hand ahead of its time is over. By the schedule, or what another `timetable` has first.
    """
    if timetable is None:
        schedule = Schedule.objects.get()
        if due := due_night(now, schedule):
            return Night(due.date, now, due.ends_at)
        timetable = schedule.timetable
    night = timetable.next(now)
    while Run.objects.filter(date=night.date).exists():
        night = timetable.next(night.starts_at)
    return night


def rest_of_tonight(now: datetime) -> Night:
    """What is left of the night that is under way, else the next one: what a person means by tonight."""
    latest = Schedule.objects.get().timetable.latest(now)
    if latest.covers(now) and Run.objects.nightly().open().filter(date=latest.date).exists():
        return Night(latest.date, now, latest.ends_at)
    return next_night(now)


def plan_night(now: datetime, at: datetime | None = None) -> tuple[Night, list[Decision]]:
    """The next night after `now` (or one that starts at `at`), and what it does to every site."""
    night = night_from(at, now) if at else next_night(now)
    return night, decisions_of(facts_of_night(night), night)


def night_from(at: datetime, now: datetime) -> Night:
    """A night of the usual length that starts then."""
    usual = Schedule.objects.get().timetable.night(next_night(now).date)
    return Night(usual.date, at, at + (usual.ends_at - usual.starts_at))


def decisions_of(facts: Facts, night: Night) -> list[Decision]:
    return plan(facts, night.starts_at, night.ends_at)


def decide_sites(instances: Iterable[Instance], night: Night) -> dict[int, Decision]:
    """What that night does to these sites, by id."""
    return {decision.site.id: decision for decision in decisions_of(facts_of_night(night, instances), night)}


def decide_site(instance: Instance, night: Night) -> Decision:
    return decide_sites([instance], night)[instance.pk]


def with_target(facts: Facts, target: Target, *, consent: bool = False) -> Facts:
    """The same with every site having this target. `consent` lets each leave its current version downwards (T4)."""
    return replace(facts, sites=tuple(aimed(site, target, consent=consent) for site in facts.sites))


def aimed(site: SiteFacts, target: Target, *, consent: bool = False) -> SiteFacts:
    """What the target leaves open is filled in as when it is saved; consent once given stays while the build does."""
    if target.channel:
        channel = channel_named(target.channel)
        return replace(
            site, channel=channel, pin=None, pin_ends=PinEnd.NEVER, pin_until=None, pin_then=None, consent=None
        )
    pin = target.build.pk if target.build else None
    usual = channel_named(DEFAULT_CHANNEL[Kind.LIVE if site.live else Kind.TEST])
    then = channel_named(target.then) if target.then else site.channel or site.pin_then or usual
    return replace(
        site, channel=None, pin=pin, pin_ends=target.ends, pin_until=target.until,
        pin_then=None if target.ends is PinEnd.NEVER else then,
        consent=site.key if consent else site.consent if pin == site.pin else None,
    )  # fmt: skip


@dataclass(frozen=True)
class Effect:
    """What a change does to one site: its decision without and with it."""

    before: Decision
    after: Decision

    @property
    def site(self) -> SiteFacts:
        return self.after.site

    @property
    def changed(self) -> bool:
        """Whether the target means another build now, the site gets another decision, or another way there."""
        return _gist(self.before) != _gist(self.after)


def _gist(decision: Decision) -> tuple[str, str, tuple[str, ...]]:
    return decision.code, decision.to.version if decision.to else "", tuple(leg.version for leg in decision.legs)


def preview_of(facts: Facts, change: Callable[[Facts], Facts], night: Night) -> list[Effect]:
    """What a change of the facts does to each site that night, in the order of the plan after it. Changes nothing."""
    before = {decision.site.id: decision for decision in decisions_of(facts, night)}
    return [Effect(before[after.site.id], after) for after in decisions_of(change(facts), night)]


def preview_target(instance: Instance, target: Target, night: Night, *, consent: bool = False) -> Effect:
    """What that night would do to the site if it had this target (T3). Changes nothing."""
    return preview_targets([instance], target, night, consent=consent)[0]


def preview_targets(
    instances: Iterable[Instance], target: Target, night: Night, *, consent: bool = False
) -> list[Effect]:
    """The same for many (T9)."""
    facts = facts_of_night(night, instances)
    return preview_of(facts, lambda facts: with_target(facts, target, consent=consent), night)


@dataclass(frozen=True)
class MovePreview:
    """What moving a build to another channel does to the night: every site's effect, in the night's order."""

    build: BuildFacts
    to: Maturity
    replaces: BuildFacts | None
    effects: tuple[Effect, ...]

    @property
    def changed(self) -> list[Effect]:
        return [effect for effect in self.effects if effect.changed]

    @property
    def upgrading(self) -> list[Effect]:
        return [effect for effect in self.changed if effect.after.upgrades]

    @property
    def waiting(self) -> list[Effect]:
        """Sites whose target changes, but which stay where they are tonight."""
        return [effect for effect in self.changed if not effect.after.upgrades]

    @property
    def fingerprint(self) -> str:
        """Of what changes, so that a form can carry what its reader saw."""
        return fingerprint(effect.after for effect in self.changed)

    @property
    def untouched(self) -> int:
        return len(self.effects) - len(self.changed)

    @property
    def upgrades_before(self) -> int:
        return sum(effect.before.upgrades for effect in self.effects)

    @property
    def upgrades_after(self) -> int:
        return sum(effect.after.upgrades for effect in self.effects)


def preview_move(build: Build, to: Maturity, night: Night, *, now: datetime, facts: Facts | None = None) -> MovePreview:
    """What that night would do if the build were there from now on. Changes nothing.

    Where only an override can bring it there, the problems that it goes through are accepted for it then (R8).
    `facts` are those of the whole fleet that night, if the caller has them: then it asks nothing.
    """
    facts = facts or facts_of_night(night)
    moved = _accepting(facts.builds[build.pk], to, facts, now).moved(to, now)
    return _preview(facts, moved, to, night)


def _accepting(build: BuildFacts, to: Maturity, facts: Facts, now: datetime) -> BuildFacts:
    """With the problems acknowledged that stand in the way of this promotion."""
    judgement = judge(build, to, facts.channels, now, facts.builds.values())
    return build.accepting(judgement.in_the_way)


def preview_withdrawal(build: Build, night: Night, *, replacement: Build | None = None) -> MovePreview:
    """What that night would do if the build were withdrawn. Changes nothing.

    A stepping stone is none any more then; its `replacement`, if any, becomes one (T8).
    """
    facts = facts_of_night(night)
    if replacement:
        stone = replace(facts.builds[replacement.pk], stepping_stone=True)
        facts = replace(facts, builds={**facts.builds, stone.id: stone})
    return _preview(facts, replace(facts.builds[build.pk], withdrawn=True, stepping_stone=False), build.stage, night)


def _preview(facts: Facts, changed: BuildFacts, to: Maturity, night: Night) -> MovePreview:
    after = replace(facts, builds={**facts.builds, changed.id: changed})
    replaces = resolve(facts.builds.values(), to) if to else None
    return MovePreview(changed, to, replaces, tuple(preview_of(facts, lambda _facts: after, night)))


def decide_at_start(upgrade: Upgrade, instance: Instance, *, now: datetime) -> Decision:
    """Asks once more, when an upgrade starts (P9). The caller holds the site's row."""
    return decide_at_starts(upgrade.run, [instance], now=now)[instance.pk]


def decide_at_starts(run: Run, instances: Iterable[Instance], *, now: datetime) -> dict[int, Decision]:
    """The same for several upgrades of a run, by the site's id.

    Their turns may come later in the same run: then `opens_at` of a decision is not `now`.
    """
    facts = facts_now(instances, now, waived=waived_in(run), starting=True)
    return {decision.site.id: decision for decision in plan(facts, now, run.ends_at)}


def waived_in(run: Run) -> frozenset[Rule]:
    """Which rules a person set aside for this run."""
    return frozenset() if run.kind == RunKind.NIGHTLY else ALWAYS_WAIVED | {Rule(name) for name in run.waived}


def next_chances(
    instances: Iterable[Instance], now: datetime, needs: timedelta | Mapping[int, timedelta]
) -> dict[int, datetime | None]:
    """When each site may be upgraded next, by its windows, holds and freezes alone; None: not within two months.

    `needs` is how long an upgrade takes, of every site or by the site's key. Three queries, whatever their number.
    """
    sites = list(instances)
    nights = _nights(now)
    pauses, windows = pauses_for(sites, now, nights[-1].ends_at), windows_for(sites)
    return {
        site.pk: next_turn(
            windows.get(site.pk, ()), pauses.get(site.pk, ()),
            needs if isinstance(needs, timedelta) else needs[site.pk], nights,
        )
        for site in sites
    }  # fmt: skip


def _nights(now: datetime) -> list[Span]:
    timetable = Schedule.objects.get().timetable
    return [Span(night.starts_at, night.ends_at) for night in timetable.started_between(now, now + FORESEEN)]
