"""The words for many runs and upgrades."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Count, Q

from upgrades.choices import ACTIVE, BEGUN, FAILED, GOOD, UNTOUCHED, Outcome, RunKind, UpgradeState

if TYPE_CHECKING:
    from upgrades.models import Run, Upgrade  # noqa: F401 - named in a base class, which ruff reads as text


class RunQuerySet(models.QuerySet["Run"]):
    def nightly(self) -> RunQuerySet:
        return self.filter(kind=RunKind.NIGHTLY)

    def open(self) -> RunQuerySet:
        return self.filter(ended_at=None)

    def for_list(self) -> RunQuerySet:
        """Newest first, with how many upgrades ended how."""
        return self.select_related("requested_by").annotate(
            planned=Count("upgrades"),
            succeeded=Count("upgrades", filter=Q(upgrades__outcome__in=GOOD)),
            failed=Count("upgrades", filter=Q(upgrades__outcome__in=FAILED)),
            untouched=Count("upgrades", filter=Q(upgrades__outcome__in=UNTOUCHED)),
            active=Count("upgrades", filter=Q(upgrades__state__in=ACTIVE)),
        )

    def before(self, run: Run) -> RunQuerySet:
        """Older runs, the nearest first."""
        older = Q(starts_at__lt=run.starts_at) | Q(starts_at=run.starts_at, pk__lt=run.pk)
        return self.filter(older).order_by("-starts_at", "-pk")

    def after(self, run: Run) -> RunQuerySet:
        """Newer runs, the nearest first."""
        newer = Q(starts_at__gt=run.starts_at) | Q(starts_at=run.starts_at, pk__gt=run.pk)
        return self.filter(newer).order_by("starts_at", "pk")


class UpgradeQuerySet(models.QuerySet["Upgrade"]):
    def waiting(self) -> UpgradeQuerySet:
        return self.filter(state=UpgradeState.WAITING)

    def begun(self) -> UpgradeQuerySet:
        """Begun and not ended: the host may be at work."""
        return self.filter(state__in=BEGUN)

    def active(self) -> UpgradeQuerySet:
        return self.filter(state__in=ACTIVE)

    def failed(self) -> UpgradeQuerySet:
        return self.filter(outcome__in=FAILED)

    def awaiting_a_person(self) -> UpgradeQuerySet:
        """The site is locked until somebody decides (U1, U2)."""
        return self.filter(outcome=Outcome.NEEDS_A_PERSON, decided_at=None)

    def claimable(self, now: datetime) -> UpgradeQuerySet:
        """Waiting in a run whose time has come and is not over, in the run's order."""
        return self.waiting().filter(run__starts_at__lte=now, run__ends_at__gt=now).order_by("run_id", "position")

    def for_list(self) -> UpgradeQuerySet:
        return (
            self.select_related("run", "build", "instance__customer", "instance__host")
            .defer("journal")
            .order_by("run_id", "position")
        )
