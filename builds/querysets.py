"""The words for many builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from builds.choices import Smoke
from builds.maturity import Maturity

if TYPE_CHECKING:
    from builds.models import Build, GateOverride, Problem  # noqa: F401 - named in base classes, which ruff reads as text


class BuildQuerySet(models.QuerySet["Build"]):
    def eligible(self) -> BuildQuerySet:
        """What any channel may resolve to (R3, R4)."""
        return self.filter(smoke=Smoke.PASSED, withdrawn_at=None, quarantined_at=None, archived_at=None)

    def eligible_for(self, channel: Maturity) -> BuildQuerySet:
        """What this channel may resolve to, newest first: the first is its build (R4)."""
        return self.eligible().filter(maturity__gte=channel).newest_first()

    def newest_first(self) -> BuildQuerySet:
        """By version, not by date (R1); an index serves it."""
        return self.order_by("-version_key")

    def between(self, key: str, other: str) -> BuildQuerySet:
        """Those after the older of two versions up to and including the newer, newest first, whatever became of them.

        From the older version on the way up they come with the newer one; on the way down they are lost.
        """
        older, newer = sorted((key, other))
        return self.filter(version_key__gt=older, version_key__lte=newer).newest_first()

    def pinnable(self) -> BuildQuerySet:
        """What a new pin may name: passed, not withdrawn, not quarantined (R3, T2)."""
        return self.eligible().newest_first()

    def for_list(self) -> BuildQuerySet:
        return self.select_related("withdrawn_by").newest_first()

    def stepping_stones(self) -> BuildQuerySet:
        """What every site must pass through, in the order in which it does (T8)."""
        return self.filter(stepping_stone=True).order_by("version_key")


class ProblemQuerySet(models.QuerySet["Problem"]):
    def open(self) -> ProblemQuerySet:
        """Neither fixed in any build nor dismissed."""
        return self.filter(fixed_in=None, dismissed_at=None)

    def fixed(self) -> ProblemQuerySet:
        """Those before the fix are affected still."""
        return self.exclude(fixed_in=None)

    def dismissed(self) -> ProblemQuerySet:
        return self.exclude(dismissed_at=None)

    def affecting(self, build: Build) -> ProblemQuerySet:
        """Those that this build has, whether a later one fixes them or not (R7)."""
        key = build.version_key
        before_fix = Q(fixed_in=None) | Q(fixed_in__version_key__gt=key)
        return self.filter(before_fix, dismissed_at=None, first_affected__version_key__lte=key)

    def with_versions(self) -> ProblemQuerySet:
        """With both builds, but for their long texts."""
        both = self.select_related("first_affected", "fixed_in")
        return both.defer("first_affected__changelog", "fixed_in__changelog")

    def for_list(self) -> ProblemQuerySet:
        """Newest first, with what a row shows."""
        return self.with_versions().select_related("opened_by", "dismissed_by").order_by("-pk")


class GateOverrideQuerySet(models.QuerySet["GateOverride"]):
    def of(self, build: Build) -> GateOverrideQuerySet:
        """All that this build was ever promoted through, with who did it (R8)."""
        return self.filter(promotion__build=build).select_related("promotion__by", "problem").order_by("pk")
