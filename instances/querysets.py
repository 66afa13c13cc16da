"""The words for many sites and hosts."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce

from builds.models import Build
from instances.choices import Kind, PinEndChoice

if TYPE_CHECKING:
    from instances.models import Freeze, Hold, Host, Instance  # noqa: F401 - named in a base class, which ruff reads as text


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

    def pins_that_end(self) -> InstanceQuerySet:
        """Those whose pin ends on a date, or when its channel catches up (T2)."""
        return self.pinned().exclude(pin_ends=PinEndChoice.NEVER)

    def for_pins(self) -> InstanceQuerySet:
        """Pinned ones with all that the list of pins says; `followed` is the channel before the pin, if any."""
        changes = self.model._meta.get_field("target_changes").related_model._default_manager
        before = changes.filter(instance=models.OuterRef("pk")).exclude(from_channel=None).order_by("-at", "-pk")
        return (
            self.pinned().for_list().select_related("customer", "host", "target_build", "pin_owner")
            .annotate(followed=models.Subquery(before.values("from_channel")[:1]))
        )  # fmt: skip

    def pins_ending(self, after: datetime, before: datetime) -> InstanceQuerySet:
        """Those whose pin ends on a date between these two, the next one first."""
        return self.filter(pin_until__gt=after, pin_until__lte=before).order_by("pin_until", "slug")

    def never_reported(self) -> InstanceQuerySet:
        """Sites whose version is unknown: never reported, or not a version (P3, P10)."""
        return self.filter(reported_key=None)

    def in_doubt_whose(self) -> InstanceQuerySet:
        """Those whose directory says that it is another site's, while no person has said whose it is."""
        return self.exclude(foreign_mark="").exclude(mark_given_up=models.F("foreign_mark"))

    def running_between(self, first: str, before: str | None) -> InstanceQuerySet:
        """Those whose version's key is at or past the first, and earlier than the other where there is one."""
        found = self.filter(reported_key__gte=first)
        return found.filter(reported_key__lt=before) if before else found

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

    def in_shared_trouble(self) -> HostQuerySet:
        """Those in a trouble that may be that of other hosts as well: they refuse a key, or are jump hosts and fail."""
        behind = self.model._default_manager.filter(jump=models.OuterRef("pk"))
        return self.filter(Q(refused_since__isnull=False) | Q(failing_since__isnull=False) & models.Exists(behind))

    def failing_jump_hosts(self) -> HostQuerySet:
        """Those that could not be used, and over which others are reached."""
        return self.exclude(failing_since=None).exclude(behind=None).distinct().order_by("name")

    def asking_for_a_person(self) -> HostQuerySet:
        """Those that do not answer, and those that offer a key which nobody has approved (U6)."""
        return self.filter(Q(failing_since__isnull=False) | ~Q(offered_key=""))


class HoldQuerySet(models.QuerySet["Hold"]):
    def not_over(self, now: datetime) -> HoldQuerySet:
        """Those that run or are to come."""
        return self.filter(ended_at=None, ends_at__gt=now)

    def meeting(self, after: datetime, before: datetime) -> HoldQuerySet:
        """Those that share a moment with the given span."""
        return self.filter(Q(ended_at=None) | Q(ended_at__gt=after), starts_at__lt=before, ends_at__gt=after)


class FreezeQuerySet(models.QuerySet["Freeze"]):
    def for_list(self) -> FreezeQuerySet:
        """With all that a row, or a pause, says."""
        return self.select_related("customer", "tag", "by")

    def not_over(self, now: datetime) -> FreezeQuerySet:
        """Those that run, are to come or come again."""
        return self.filter(~Q(repeats="") | Q(ends_at__gt=now), ended_at=None)

    def ended(self, now: datetime) -> FreezeQuerySet:
        """Those that a person ended, and those that came once; newest end first."""
        return self.filter(Q(ended_at__isnull=False) | Q(repeats="", ends_at__lte=now)).order_by(
            Coalesce("ended_at", "ends_at").desc(), "-pk"
        )

    def that_may_meet(self, after: datetime, before: datetime) -> FreezeQuerySet:
        """Those that can share a moment with the given span; one that comes again need not."""
        return self.filter(
            ~Q(repeats="") | Q(ends_at__gt=after), Q(ended_at=None) | Q(ended_at__gt=after), starts_at__lt=before
        )
