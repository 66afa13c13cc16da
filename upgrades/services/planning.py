"""Gathers the facts and asks the plan (P1): tonight, one site, and previews of changes not yet made."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import QuerySet

from builds.maturity import BuildFacts, Maturity, channel_named, resolve
from builds.models import Build
from builds.services import gather_builds
from instances.choices import Kind
from instances.models import Instance, Target
from upgrades.models import Run, Schedule, Upgrade
from upgrades.night import Night
from upgrades.plan import Decision, Facts, SiteFacts, fingerprint, plan


def gather_facts(instances: Iterable[Instance] | None = None, *, starting: Upgrade | None = None) -> Facts:
    """What the plan depends on, for these sites or for all. Seven queries, whatever the number of sites.

    Sites are read anew, whatever the caller's objects say. For an upgrade that is `starting`, other upgrades of
    its site count as under way only once they have begun.
    """
    sites = Instance.objects.for_list()
    if instances is not None:
        sites = sites.filter(pk__in=[instance.pk for instance in instances])
    running = Upgrade.objects.begun().exclude(pk=starting.pk) if starting else Upgrade.objects.active()
    numbers = _by_site(running), _by_site(Upgrade.objects.awaiting_a_person())
    return Facts(tuple(_site_facts(site, *numbers) for site in sites), gather_builds())


def _by_site(upgrades: QuerySet[Upgrade]) -> dict[int, int]:
    """The upgrade's number by its site's id. One query."""
    return dict(upgrades.order_by("pk").values_list("instance_id", "pk"))


def _site_facts(site: Instance, running: dict[int, int], stuck: dict[int, int]) -> SiteFacts:
    return SiteFacts(
        id=site.pk,
        slug=site.slug,
        live=site.kind == Kind.LIVE,
        channel=channel_named(site.target_channel_id) if site.target_channel_id else None,
        pin=site.target_build_id,
        reported=site.reported_version,
        key=site.reported_key,
        host=site.host.name,
        host_enabled=site.host.enabled,
        host_key_trusted=site.host.key_trusted,
        running=running.get(site.pk),
        needs_a_person=stuck.get(site.pk),
    )


def next_night(now: datetime) -> Night:
    """The first night that has not started, and was not run by hand ahead of its time."""
    timetable = Schedule.objects.get().timetable
    night = timetable.next(now)
    while Run.objects.filter(date=night.date).exists():
        night = timetable.next(night.starts_at)
    return night


def plan_night(now: datetime, at: datetime | None = None) -> tuple[Night, list[Decision]]:
    """The next night after `now` (or the one that starts at `at`), and what it does to every site."""
    night = next_night(now)
    return night, plan(gather_facts(), at or night.starts_at)


def decide_site(instance: Instance, *, at: datetime) -> Decision:
    """What happens to one site in the night that starts at `at`."""
    return plan(gather_facts([instance]), at)[0]


def preview_target(instance: Instance, target: Target, *, at: datetime) -> Decision:
    """What that night would do to the site if it had this target (T3). Changes nothing."""
    facts = gather_facts([instance])
    site = replace(
        facts.sites[0],
        channel=channel_named(target.channel) if target.channel else None,
        pin=target.build.pk if target.build else None,
    )
    return plan(replace(facts, sites=(site,)), at)[0]


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
        """Whether the target means another build now, or the site gets another decision."""
        versions = [decision.to.version if decision.to else None for decision in (self.before, self.after)]
        return versions[0] != versions[1] or self.before.code != self.after.code


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


def preview_move(build: Build, to: Maturity, *, at: datetime, facts: Facts | None = None) -> MovePreview:
    """What the night that starts at `at` would do if the build were there. Changes nothing.

    `facts` are those of the whole fleet, if the caller has them: then it asks nothing.
    """
    facts = facts or gather_facts()
    moved = replace(facts.builds[build.pk], maturity=to)
    return _preview(facts, moved, to, at)


def preview_withdrawal(build: Build, *, at: datetime) -> MovePreview:
    """What the night that starts at `at` would do if the build were withdrawn. Changes nothing."""
    facts = gather_facts()
    return _preview(facts, replace(facts.builds[build.pk], withdrawn=True), build.stage, at)


def _preview(facts: Facts, changed: BuildFacts, to: Maturity, at: datetime) -> MovePreview:
    after = replace(facts, builds={**facts.builds, changed.id: changed})
    pairs = zip(plan(facts, at), plan(after, at), strict=True)
    replaces = resolve(facts.builds.values(), to) if to else None
    return MovePreview(changed, to, replaces, tuple(Effect(*pair) for pair in pairs))


def decide_at_start(upgrade: Upgrade, instance: Instance, *, now: datetime) -> Decision:
    """Asks once more, when an upgrade starts (P9). The caller holds the site's row."""
    return plan(gather_facts([instance], starting=upgrade), now)[0]
