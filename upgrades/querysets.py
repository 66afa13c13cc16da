"""The words for many runs and upgrades."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from django.apps import apps
from django.db import models
from django.db.models import Case, Count, Exists, F, OuterRef, Q, Subquery, Sum, When
from django.db.models.functions import Coalesce

from upgrades.choices import (
    ACTIVE,
    BEGUN,
    BROKE,
    CONNECTION_TROUBLE,
    EXCUSED,
    FAILED,
    GOOD,
    PARKING,
    PARKS_NOTHING,
    UNTOUCHED,
    EndCode,
    HaltEnd,
    Outcome,
    RunKind,
    UpgradeState,
)
from upgrades.log_keeping import Stretch
from upgrades.log_lines import Piece

if TYPE_CHECKING:
    from upgrades.models import LogChunk, Run, RunHalt, Upgrade  # noqa: F401 - named in a base class, which ruff reads as text


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
            failed=Count("upgrades", filter=Q(upgrades__outcome__in=FAILED) & ~Q(upgrades__end_code__in=EXCUSED)),
            stopped=Count("upgrades", filter=Q(upgrades__end_code__in=EXCUSED)),
            untouched=Count("upgrades", filter=Q(upgrades__outcome__in=UNTOUCHED)),
            active=Count("upgrades", filter=Q(upgrades__state__in=ACTIVE)),
            is_halted=Exists(_halts().standing().filter(run=OuterRef("pk"))),
        )

    def halted(self) -> RunQuerySet:
        """Runs that a person has to decide about (P5)."""
        return self.filter(Exists(_halts().standing().filter(run=OuterRef("pk"))))

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

    def in_the_way(self, moment: datetime) -> UpgradeQuerySet:
        """Under way, or waiting in a run that lasts beyond that moment: its site has no other turn then."""
        return self.filter(Q(state__in=BEGUN) | Q(state=UpgradeState.WAITING, run__ends_at__gt=moment))

    def failed(self) -> UpgradeQuerySet:
        """Without what was stopped or cancelled, which is nobody's failure."""
        return self.filter(outcome__in=FAILED).exclude(end_code__in=EXCUSED)

    def broke(self) -> UpgradeQuerySet:
        """What counts as failed where a run is judged (P5)."""
        return self.filter(outcome__in=BROKE).exclude(end_code__in=EXCUSED)

    def troubled(self) -> UpgradeQuerySet:
        """What a run is judged by: what broke, and what could not be reached (P5)."""
        unreached = Q(end_code__in=(EndCode.UNREACHABLE, EndCode.JUMP_HOST))
        return self.filter(Q(outcome__in=BROKE) | unreached).exclude(end_code__in=EXCUSED)

    def awaiting_a_person(self) -> UpgradeQuerySet:
        """The site is locked until somebody decides (U1, U2)."""
        return self.filter(outcome=Outcome.NEEDS_A_PERSON, decided_at=None)

    def parking(self) -> UpgradeQuerySet:
        """The same build is not tried again on the same site by itself, until a person lets it (P11)."""
        ends = self.filter(outcome__in=PARKING, retried_at=None).exclude(end_code__in=PARKS_NOTHING)
        return ends.exclude(outcome=Outcome.BLOCKED, end_code__in=CONNECTION_TROUBLE)

    def news_for(self, watched: Collection[int], hosts: Collection[int]) -> UpgradeQuerySet:
        """What people decided about these upgrades, or about others on these hosts.

        A person cancelled it (U4), its build may not be installed any more (R2, R9), it has ended without its
        supervisor, or it is to go back again.
        """
        barred = Q(build__withdrawn_at__isnull=False) | Q(build__quarantined_at__isnull=False)
        ends = barred | Q(cancel_asked_at__isnull=False) | Q(state=UpgradeState.ENDED)
        again = Q(state=UpgradeState.ROLLING_BACK, instance__host__in=hosts) & ~Q(pk__in=watched)
        return self.filter(Q(pk__in=watched) & ends | again)

    def due(self, now: datetime) -> UpgradeQuerySet:
        """Waiting in a run whose time has come, is not over and which is not halted, with its own turn open.

        In the run's order. Whether its wave has come is asked of the wave (P4).
        """
        earlier_legs = self.model.objects.filter(
            run=OuterRef("run"), instance=OuterRef("instance"), leg__lt=OuterRef("leg")
        ).exclude(outcome__in=GOOD)
        stopped = _halts().stopping().filter(run=OuterRef("run"))
        return (
            self.waiting()
            .filter(run__starts_at__lte=now, run__ends_at__gt=now, opens_at__lte=now)
            .exclude(Exists(stopped))
            .exclude(Exists(earlier_legs))
            .order_by("run_id", "position")
        )

    def for_list(self) -> UpgradeQuerySet:
        return (
            self.select_related("run", "build", "wave", "instance__customer", "instance__host")
            .defer("journal")
            .order_by("run_id", "position")
        )


class RunHaltQuerySet(models.QuerySet["RunHalt"]):
    def undecided(self) -> RunHaltQuerySet:
        """Nothing of their runs begins."""
        return self.filter(ended_at=None)

    def stopping(self) -> RunHaltQuerySet:
        """Undecided, or a person ended the run: nothing of it begins, also what comes back to it."""
        return self.filter(Q(ended_at=None) | Q(end=HaltEnd.ENDED))

    def unreleased(self) -> RunHaltQuerySet:
        """Their builds are offered to nobody (P5). Withdrawing a build decides about it too."""
        return self.filter(released_at=None, builds__isnull=False, builds__withdrawn_at=None).distinct()

    def standing(self) -> RunHaltQuerySet:
        """What a person still has to decide: a run that stands still, or builds that nobody is offered."""
        over = Q(end=HaltEnd.RUN_OVER, released_at=None, builds__isnull=False, builds__withdrawn_at=None)
        return self.filter(Q(ended_at=None) | over).distinct()

    def for_page(self) -> RunHaltQuerySet:
        """Oldest first, with all that is told of them."""
        people = ("by", "ended_by", "released_by")
        return self.select_related("run", "wave", *people).prefetch_related("builds").order_by("pk")


def _halts() -> RunHaltQuerySet:
    halts = apps.get_model("upgrades", "RunHalt")._default_manager.all()
    assert isinstance(halts, RunHaltQuerySet)  # noqa: S101 - for the type checker
    return halts


class LogChunkQuerySet(models.QuerySet["LogChunk"]):
    def reaching_beyond(self, byte: int) -> LogChunkQuerySet:
        """Those of one log that end after this byte."""
        return self.annotate(end=F("offset") + F("size")).filter(end__gt=byte)

    def pieces(self, most: int) -> list[Piece]:
        """The first ones, in order, with their data. One query, so that lines are counted as of one moment."""
        earlier = self.model._default_manager.filter(upgrade=OuterRef("upgrade"), offset__lt=OuterRef("offset"))
        feeds = earlier.order_by().values("upgrade").annotate(feeds=Sum("feeds")).values("feeds")
        rows = self.annotate(before=Case(When(data=b"", then=Coalesce(Subquery(feeds), 0)), default=0))
        found = rows.order_by("offset").values_list("offset", "at", "data", "size", "feeds", "before")[:most]
        return [
            Piece(offset, at, bytes(data)) if data else Piece(offset, at, b"", size, feeds, before)
            for offset, at, data, size, feeds, before in found
        ]

    def stretches(self) -> list[Stretch]:
        """All of one log, in order, without their data."""
        rows = self.annotate(is_gap=Q(data=b"")).order_by("offset")
        return [Stretch(*row) for row in rows.values_list("offset", "size", "feeds", "is_gap")]
