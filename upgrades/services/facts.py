"""Gathers what the plan depends on (P1). The number of queries is the same, whatever the number of sites."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db.models import DurationField, Exists, F, OuterRef
from django.db.models.aggregates import Aggregate

from builds.maturity import BuildFacts, Maturity, channel_named
from builds.services import channel_policies, gather_builds
from instances.choices import Kind
from instances.models import Instance
from instances.pauses import Pause
from instances.pins import PinEnd
from instances.services import pauses_for, windows_for
from instances.windows import Window
from upgrades.choices import GOOD, Outcome
from upgrades.exceptions import RecipeInvalid
from upgrades.models import Policy, RunHalt, Upgrade
from upgrades.night import Night
from upgrades.plan import Facts, Rule, SiteFacts
from upgrades.querysets import UpgradeQuerySet
from upgrades.recipes.reading import load_recipe
from upgrades.recipes.recipe import Recipe

USUAL = timedelta(minutes=15)
"""How long an upgrade takes where neither the site's past nor its recipe says (P6)."""
MARGIN = 1.5
REMEMBERED = timedelta(days=180)
LONGEST_RUN = timedelta(days=1)
LOOKED_AT = (
    "slug", "kind", "customer", "recipe", "recipe_values", "migrate_command", "migrate_undo_command", "target_channel",
    "target_build", "pin_ends", "pin_until", "pin_then", "downgrade_from_key", "reported_version", "reported_key",
    "host__name", "host__enabled", "host__host_key", "host__offered_key",
)  # fmt: skip
"""What of a site and its host the plan depends on."""
ALWAYS_WAIVED = frozenset({Rule.PARKED, Rule.BLOCKED})
"""A person who upgrades a site now has decided about its failures, and about a build that halted a run."""


def facts_of_night(
    night: Night, instances: Iterable[Instance] | None = None, *, builds: Mapping[int, BuildFacts] | None = None
) -> Facts:
    """For that night: for these sites, or for all. Sites are read anew, whatever the caller's objects say.

    `builds` are the facts of all builds, if the caller has just gathered them.
    """
    salt = night.date.isoformat()
    return _gather(instances, night.starts_at, night.ends_at, channels=True, salt=salt, builds=builds)


def facts_now(
    instances: Iterable[Instance] | None, now: datetime, *, waived: frozenset[Rule] = frozenset(),
    starting: bool = False,
) -> Facts:  # fmt: skip
    """For an upgrade now: nothing is promoted first. `waived` are the rules that a person sets aside.

    For upgrades that are `starting`, others of their sites count as under way only once they have begun.
    """
    return _gather(instances, now, now + LONGEST_RUN, waived=waived, starting=starting, salt=now.isoformat())


def _gather(
    instances: Iterable[Instance] | None,
    after: datetime,
    before: datetime,
    *,
    channels: bool = False,
    waived: frozenset[Rule] = frozenset(),
    starting: bool = False,
    salt: str = "",
    builds: Mapping[int, BuildFacts] | None = None,
) -> Facts:
    policy = Policy.objects.get()
    rows = Instance.objects.select_related("host").only(*LOOKED_AT).order_by("slug")
    if instances is not None:
        rows = rows.filter(pk__in=[instance.pk for instance in instances])
    sites = list(rows)
    around = _Around.of(sites, policy, after, before, starting=starting, every=instances is None)
    return Facts(
        sites=tuple(around.site_facts(site) for site in sites),
        builds=gather_builds() if builds is None else builds,
        channels=channel_policies() if channels else {},
        halted=_halted(),
        hold_on_blockers=policy.hold_on_blockers,
        rollout=policy.rollout,
        waived=waived,
        salt=salt,
    )


@dataclass(frozen=True)
class _Around:
    """What stands around the sites' own rows, by the site's id."""

    unended: "_Unended"
    parked: Mapping[int, Mapping[int, int]]
    pauses: Mapping[int, tuple[Pause, ...]]
    windows: Mapping[int, tuple[Window, ...]]
    medians: Mapping[int, timedelta]
    canaries: frozenset[int]
    recipes: Mapping[str, Recipe]

    @classmethod
    def of(
        cls, sites: Sequence[Instance], policy: Policy, after: datetime, before: datetime, *, starting: bool,
        every: bool,
    ) -> "_Around":  # fmt: skip
        """`every` says that these are all sites there are, so that nothing has to be asked by their ids."""
        upgrades = Upgrade.objects.all() if every else Upgrade.objects.filter(instance__in=[one.pk for one in sites])
        return cls(
            unended=_unended(upgrades, upgrades.begun() if starting else upgrades.in_the_way(after)),
            parked=_parked(upgrades),
            pauses=pauses_for(sites, after, before, every=every),
            windows=windows_for(sites, every=every),
            medians=_medians(upgrades, after),
            canaries=canaries(policy.canary_tag, None if every else sites),
            recipes=_recipes({site.recipe for site in sites}),
        )

    def site_facts(self, site: Instance) -> SiteFacts:
        return SiteFacts(
            id=site.pk,
            slug=site.slug,
            live=site.kind == Kind.LIVE,
            channel=_channel(site.target_channel_id),
            pin=site.target_build_id,
            reported=site.reported_version,
            key=site.reported_key,
            host=site.host.name,
            host_enabled=site.host.enabled,
            host_key_trusted=site.host.key_trusted,
            running=self.unended.running.get(site.pk),
            needs_a_person=self.unended.stuck.get(site.pk),
            pin_ends=PinEnd(site.pin_ends or PinEnd.NEVER),
            pin_until=site.pin_until,
            pin_then=_channel(site.pin_then_id),
            consent=site.downgrade_from_key,
            goes_down=self._goes_down(site),
            windows=self.windows.get(site.pk, ()),
            pauses=self.pauses.get(site.pk, ()),
            needs=MARGIN * (self.medians.get(site.pk) or self._usual(site)),
            parked=self.parked.get(site.pk, {}),
            canary=site.pk in self.canaries,
        )

    def _usual(self, site: Instance) -> timedelta:
        recipe = self.recipes.get(site.recipe)
        return (recipe and recipe.usually) or USUAL

    def _goes_down(self, site: Instance) -> bool:
        """Whether the recipe has a way down, and the site's own migrations can be undone (T4)."""
        recipe = self.recipes.get(site.recipe)
        if recipe is None or not recipe.way_down:
            return False
        values = {**recipe.values, **site.own_values}
        migrates = site.migrate_command or values.get("MIGRATE_COMMAND")
        return not migrates or bool(site.migrate_undo_command or values.get("MIGRATE_UNDO_COMMAND"))


def _channel(name: str | None) -> Maturity | None:
    return channel_named(name) if name else None


class _Unended(NamedTuple):
    """Numbers of upgrades by their site's id: those in the way, and those that a person has to decide about."""

    running: Mapping[int, int]
    stuck: Mapping[int, int]


def _unended(upgrades: UpgradeQuerySet, in_the_way: UpgradeQuerySet) -> _Unended:
    """One query for both: they have no upgrade in common."""
    found = (in_the_way | upgrades.awaiting_a_person()).order_by("pk").values_list("instance_id", "pk", "outcome")
    rows = list(found)
    return _Unended(
        {site: number for site, number, outcome in rows if outcome is None},
        {site: number for site, number, outcome in rows if outcome is not None},
    )


def _parked(upgrades: UpgradeQuerySet) -> dict[int, dict[int, int]]:
    """By site and build, the last upgrade that failed and that neither a success nor a person made good (P11)."""
    later = Upgrade.objects.filter(instance=OuterRef("instance"), build=OuterRef("build"), outcome__in=GOOD)
    failed = upgrades.parking().exclude(Exists(later.filter(pk__gt=OuterRef("pk"))))
    parked: dict[int, dict[int, int]] = defaultdict(dict)
    for site, build, number in failed.order_by("pk").values_list("instance_id", "build_id", "pk"):
        parked[site][build] = number
    return parked


def _halted() -> dict[int, int]:
    """By build, the run that its failures halted, while no person has decided (P5)."""
    return dict(RunHalt.objects.unreleased().order_by("pk").values_list("builds", "run_id"))


class _Median(Aggregate):
    """The middle of the values, computed by the database."""

    function = "PERCENTILE_CONT"
    template = "%(function)s(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = DurationField()


def _medians(upgrades: UpgradeQuerySet, now: datetime) -> dict[int, timedelta]:
    """How long the upgrades of each site took that succeeded of late (P6)."""
    succeeded = upgrades.filter(outcome=Outcome.SUCCEEDED, ended_at__gt=now - REMEMBERED).order_by()
    took = _Median(F("ended_at") - F("started_at"), output_field=DurationField())
    return dict(succeeded.values_list("instance_id").annotate(median=took))


def canaries(tag: str, sites: Collection[Instance] | None = None) -> frozenset[int]:
    """The ids of the sites with that tag, of these or of all."""
    if not tag:
        return frozenset()
    tagged = Instance.objects.filter(tags__name=tag)
    if sites is not None:
        tagged = tagged.filter(pk__in=[site.pk for site in sites])
    return frozenset(tagged.values_list("pk", flat=True))


def _recipes(names: Collection[str]) -> dict[str, Recipe]:
    """Read anew; one that cannot be read ends its upgrades as blocked, and says why there."""
    found = {}
    for name in sorted(names):
        with suppress(RecipeInvalid):
            found[name] = load_recipe(name, settings.RECIPE_DIRS)
    return found
