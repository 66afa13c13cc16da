"""How much a build has been out in the world: what stands beside its soak clock (R6)."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import OuterRef, QuerySet, Subquery

from builds.models import Build
from instances.choices import Kind
from instances.models import Instance
from upgrades.choices import BROKE, EXCUSED, GOOD, Outcome
from upgrades.models import Upgrade

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Exposure:
    """`days` counts from each upgrade that brought the build to a site until the site's next good one, or now.

    So sites that had the build before they were known here count as sites, but with no days. `upgrades` are those
    that touched a site: one that was blocked says nothing of the build (P5). `median` is of those that succeeded;
    None without one.
    """

    sites: int = 0
    live: int = 0
    days: float = 0.0
    upgrades: int = 0
    failed: int = 0
    median: timedelta | None = None


def exposure_of(build: Build, now: datetime) -> Exposure:
    return exposures([build], now)[build.pk]


def exposures(builds: Sequence[Build], now: datetime) -> dict[int, Exposure]:
    """By the build's id. Two queries, whatever the number of builds."""
    upgrades: dict[int, list[Upgrade]] = defaultdict(list)
    for upgrade in _ended_upgrades(builds):
        upgrades[upgrade.build_id].append(upgrade)
    running: dict[str | None, dict[int, str]] = defaultdict(dict)
    keys = [build.version_key for build in builds]
    for key, site, kind in Instance.objects.filter(reported_key__in=keys).values_list("reported_key", "pk", "kind"):
        running[key][site] = kind
    return {build.pk: _exposure(upgrades[build.pk], running[build.version_key], now) for build in builds}


def _ended_upgrades(builds: Iterable[Build]) -> QuerySet[Upgrade]:
    """Those that tried, with when the site's next good upgrade ended."""
    later = Upgrade.objects.filter(
        instance=OuterRef("instance"), outcome__in=GOOD, ended_at__gt=OuterRef("ended_at")
    ).order_by("ended_at")
    tried = Upgrade.objects.filter(build__in=builds, outcome__in=(*GOOD, *BROKE))
    tried = tried.exclude(end_code__in=EXCUSED)
    return tried.annotate(left_at=Subquery(later.values("ended_at")[:1])).select_related("instance").only(
        "build", "outcome", "started_at", "ended_at", "instance__kind"
    )  # fmt: skip


def _exposure(upgrades: Sequence[Upgrade], running: dict[int, str], now: datetime) -> Exposure:
    arrived = [upgrade for upgrade in upgrades if upgrade.outcome in GOOD]
    took = [upgrade.took for upgrade in upgrades if upgrade.outcome == Outcome.SUCCEEDED and upgrade.took]
    kinds = {upgrade.instance_id: upgrade.instance.kind for upgrade in arrived} | running
    return Exposure(
        sites=len(kinds),
        live=sum(kind == Kind.LIVE for kind in kinds.values()),
        days=sum((_stay(upgrade, now) for upgrade in arrived), timedelta(0)) / DAY,
        upgrades=sum(upgrade.outcome != Outcome.ALREADY_THERE for upgrade in upgrades),
        failed=sum(upgrade.outcome in BROKE for upgrade in upgrades),
        median=timedelta(seconds=statistics.median(one.total_seconds() for one in took)) if took else None,
    )


def _stay(upgrade: Upgrade, now: datetime) -> timedelta:
    assert upgrade.ended_at is not None  # noqa: S101 - a constraint: what has an outcome has ended
    left_at: datetime | None = getattr(upgrade, "left_at", None)
    return max((left_at or now) - upgrade.ended_at, timedelta(0))
