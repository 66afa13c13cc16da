"""The words for many builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from builds.choices import Smoke
from builds.maturity import Maturity

if TYPE_CHECKING:
    from builds.models import Build  # noqa: F401 - named in a base class, which ruff reads as text


class BuildQuerySet(models.QuerySet["Build"]):
    def eligible(self) -> BuildQuerySet:
        """What any channel may resolve to (R3, R4)."""
        return self.filter(smoke=Smoke.PASSED, withdrawn_at=None, quarantined_at=None)

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
