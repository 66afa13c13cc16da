"""The words for many sites and hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from builds.models import Build
from instances.choices import Kind

if TYPE_CHECKING:
    from instances.models import Host, Instance  # noqa: F401 - named in a base class, which ruff reads as text


class InstanceQuerySet(models.QuerySet["Instance"]):
    def for_list(self) -> InstanceQuerySet:
        """With all that a row on a page, or the plan, looks at."""
        return self.select_related("customer", "host", "target_build").order_by("slug")

    def with_current_build(self) -> InstanceQuerySet:
        """With `current_build`: the version of the build that a site reports, None where no build has it."""
        build = Build.objects.filter(version_key=models.OuterRef("reported_key")).values("version")[:1]
        return self.annotate(current_build=models.Subquery(build))

    def live(self) -> InstanceQuerySet:
        return self.filter(kind=Kind.LIVE)

    def test(self) -> InstanceQuerySet:
        return self.filter(kind=Kind.TEST)

    def following(self, channel: str) -> InstanceQuerySet:
        return self.filter(target_channel=channel)

    def pinned(self) -> InstanceQuerySet:
        return self.exclude(target_build=None)

    def never_reported(self) -> InstanceQuerySet:
        """Sites whose version is unknown: never reported, or not a version (P3, P10)."""
        return self.filter(reported_key=None)

    def matching(self, text: str) -> InstanceQuerySet:
        """Each word must occur in the slug, the customer, the host or the URL."""
        found = self
        for word in text.split():
            found = found.filter(
                Q(slug__icontains=word) | Q(customer__name__icontains=word)
                | Q(host__name__icontains=word) | Q(url__icontains=word)
            )  # fmt: skip
        return found


class HostQuerySet(models.QuerySet["Host"]):
    def for_list(self) -> HostQuerySet:
        """With how many sites of each kind it carries."""
        return self.annotate(
            live_sites=models.Count("instances", filter=Q(instances__kind=Kind.LIVE)),
            test_sites=models.Count("instances", filter=Q(instances__kind=Kind.TEST)),
        ).order_by("name")

    def asking_for_a_person(self) -> HostQuerySet:
        """Those that do not answer, and those that offer a key which nobody has approved (U6)."""
        return self.filter(Q(failing_since__isnull=False) | ~Q(offered_key=""))
