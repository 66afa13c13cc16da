"""Runs, the decision for each site in them, and upgrades with their steps, events and log."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Length
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from builds.models import Build
from instances.models import Host, Instance
from releasemgr.lib.actors import Origin
from upgrades.choices import (
    ACTIVE,
    BEGUN,
    EXCUSED,
    FAILED,
    TRANSITIONS,
    EndCode,
    HaltChoice,
    HaltEnd,
    Outcome,
    RunKind,
    RunState,
    StepState,
    UpgradeState,
    WaveChoice,
)
from upgrades.exceptions import UpgradeChanged
from upgrades.halting import Limits
from upgrades.log_lines import Piece
from upgrades.night import Timetable
from upgrades.plan import Code
from upgrades.querysets import LogChunkQuerySet, RunHaltQuerySet, RunQuerySet, UpgradeQuerySet
from upgrades.waves import Rollout, parse_sizes

WAY_BACK_PLACE = 1000
"""The steps of the way back are numbered from here."""
PIECES_AT_ONCE = 32
"""Of a log, in memory: at most 8 MiB."""
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def sizes_parse(text: str) -> None:
    """For a field that holds sizes of waves."""
    try:
        parse_sizes(text)
    except ValueError as error:
        raise ValidationError(str(error)) from error


class Schedule(models.Model):
    """When nights start and end, in the installation's time zone. One row; nights before `since` never were."""

    start = models.TimeField()
    end = models.TimeField()
    since = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(pk=1), name="schedule_is_one"),
            models.CheckConstraint(condition=~Q(start=models.F("end")), name="schedule_start_is_not_end"),
        ]

    def __str__(self) -> str:
        return f"{self.start:%H:%M} to {self.end:%H:%M}"

    @property
    def timetable(self) -> Timetable:
        return Timetable(self.start, self.end, ZoneInfo(settings.TIME_ZONE))

    @property
    def cron(self) -> str:
        return f"{self.start.minute} {self.start.hour} * * *"


class Policy(models.Model):
    """How nights go about their upgrades: waves, limits, halting (P4, P5). One row, with a page and a history."""

    canary_share = models.PositiveSmallIntegerField(
        _("canaries, in per cent"), default=10, validators=[MaxValueValidator(100)],
        help_text=_("Of the live sites of each window, rounded up. Tagged canaries come first and always count."),
    )  # fmt: skip
    canary_tag = models.SlugField(_("tag of canaries"), max_length=60, default="canary", blank=True)
    wave_sizes = models.CharField(
        _("waves after the canaries"), max_length=200, default="25 %", blank=True, validators=[sizes_parse],
        help_text=_("Numbers of sites or shares, such as “5, 25 %”. What is left is the last wave."),
    )  # fmt: skip
    wave_pause_min = models.PositiveSmallIntegerField(
        _("pause between waves, in minutes"), default=0, validators=[MaxValueValidator(720)]
    )
    max_parallel = models.PositiveSmallIntegerField(
        _("upgrades at once"), default=20, validators=[MinValueValidator(1), MaxValueValidator(500)]
    )
    halt_share = models.PositiveSmallIntegerField(
        _("halt above, in per cent"), default=Limits.share, validators=[MaxValueValidator(100)],
        help_text=_("A wave halts the run when strictly more than this share of its upgrades failed."),
    )  # fmt: skip
    halt_minimum = models.PositiveSmallIntegerField(
        _("and at least, failed upgrades"), default=Limits.minimum, validators=[MinValueValidator(1)]
    )
    halt_canaries = models.PositiveSmallIntegerField(
        _("failed canaries that halt"), default=Limits.canaries, validators=[MinValueValidator(1)]
    )
    halt_same = models.PositiveSmallIntegerField(
        _("equal failures that halt"), default=Limits.same, validators=[MinValueValidator(2)]
    )
    hold_on_blockers = models.BooleanField(
        _("hold upgrades to builds with an open blocker"), default=True,
        help_text=_("Until somebody acknowledges the problem for that build."),
    )  # fmt: skip
    nights_off_since = models.DateTimeField(null=True, blank=True)
    nights_off_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    nights_off_reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(pk=1), name="policy_is_one"),
            models.CheckConstraint(condition=Q(canary_share__lte=100), name="policy_canary_share_to_100"),
            models.CheckConstraint(condition=Q(halt_share__lte=100), name="policy_halt_share_to_100"),
            models.CheckConstraint(condition=Q(max_parallel__gte=1), name="policy_at_least_one_at_once"),
            models.CheckConstraint(
                condition=Q(halt_minimum__gte=1, halt_canaries__gte=1, halt_same__gte=2),
                name="policy_limits_are_limits",
            ),
            models.CheckConstraint(
                condition=Q(nights_off_since=None) | ~Q(nights_off_reason=""), name="policy_nights_off_with_reason"
            ),
        ]
        default_permissions = ("view", "change")

    def __str__(self) -> str:
        return str(_("policy of nights"))

    @property
    def rollout(self) -> Rollout:
        return Rollout(self.canary_share, parse_sizes(self.wave_sizes), timedelta(minutes=self.wave_pause_min))

    @property
    def limits(self) -> Limits:
        return Limits(self.halt_share, self.halt_minimum, self.halt_canaries, self.halt_same)


class Run(models.Model):
    """One execution of a plan. `date` is the night's date, and None for a manual run (P7)."""

    kind = models.CharField(max_length=10, choices=RunKind.choices)
    date = models.DateField(null=True, blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(help_text=_("Nothing of it begins from then on."))
    planned_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    missed = models.BooleanField(default=False)
    switched_off = models.BooleanField(default=False, help_text=_("A person had switched the nights off."))
    waived = models.JSONField(default=list, blank=True, help_text=_("Rules of the plan that a person set aside."))
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    origin = models.CharField(max_length=10, choices=Origin.choices)
    reason = models.TextField(blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-starts_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["date"], name="run_one_per_night"),
            models.CheckConstraint(
                condition=Q(kind=RunKind.NIGHTLY, date__isnull=False) | ~Q(kind=RunKind.NIGHTLY) & Q(date=None),
                name="run_night_has_date",
            ),
            models.CheckConstraint(
                condition=Q(waived=[]) | ~Q(kind=RunKind.NIGHTLY) & ~Q(reason=""), name="run_waives_with_a_reason"
            ),
        ]
        permissions = [
            ("start_upgrade", "Can start upgrades now"),
            ("set_aside", "Can upgrade through a hold, a freeze or outside the window"),
            ("halt_run", "Can halt, resume and end runs, and switch nights off"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("run", args=[self.pk])

    @property
    def state(self) -> RunState:
        """Needs `failed` and `is_halted` from RunQuerySet.for_list(), or asks for each."""
        if self.missed or self.switched_off:
            return RunState.MISSED if self.missed else RunState.SWITCHED_OFF
        halted = self.is_halted if hasattr(self, "is_halted") else self.halts.standing().exists()
        if halted:
            return RunState.HALTED
        if self.ended_at is None:
            return RunState.RUNNING
        failed = self.failed if hasattr(self, "failed") else self.upgrades.failed().exists()
        return RunState.WITH_FAILURES if failed else RunState.ENDED


class Wave(models.Model):
    """One stage of one window opening in a run (P4). It waits for earlier stages whose windows have opened."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="waves")
    number = models.PositiveSmallIntegerField()
    stage = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=6, choices=WaveChoice.choices)
    opens_at = models.DateTimeField()
    planned = models.PositiveIntegerField(help_text=_("Its upgrades, every leg counted."))

    class Meta:
        ordering = ["run", "number"]
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="wave_one_per_number")]

    def __str__(self) -> str:
        return f"{self.run} {self.number}"


class RunHalt(models.Model):
    """One stop of a run: why, by whom, and how it went on (P5).

    Its builds are offered to nobody until `released_at`.
    """

    run = models.ForeignKey(Run, models.CASCADE, related_name="halts")
    wave = models.ForeignKey(Wave, models.CASCADE, null=True, related_name="halts")
    at = models.DateTimeField()
    code = models.CharField(max_length=16, choices=HaltChoice.choices)
    values = models.JSONField(default=dict, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    reason = models.TextField(blank=True)
    builds = models.ManyToManyField(Build, related_name="halts")
    end = models.CharField(max_length=10, choices=HaltEnd.choices, blank=True)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    end_reason = models.TextField(blank=True)
    released_at = models.DateTimeField(null=True)
    released_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    release_reason = models.TextField(blank=True)

    objects = RunHaltQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["run"], condition=Q(ended_at=None), name="run_halt_one_open"),
            models.CheckConstraint(
                condition=Q(ended_at=None, end="") | Q(ended_at__isnull=False) & ~Q(end=""),
                name="run_halt_ends_somehow",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.run}: {self.code}"


class Decision(models.Model):
    """What a run's plan decided for one site (P2), kept as codes; `sentences` words them."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="decisions")
    instance = models.ForeignKey(Instance, models.CASCADE, related_name="+")
    code = models.CharField(max_length=30, choices=[(code.value, code.value) for code in Code])
    from_version = models.CharField(max_length=200, blank=True)
    build = models.ForeignKey(Build, models.PROTECT, null=True, related_name="+")
    checks = models.JSONField(help_text=_("A list of {rule, code, values}, in order."))

    class Meta:
        ordering = ["run", "pk"]
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["run", "instance"], name="decision_one_per_site")]

    def __str__(self) -> str:
        return f"{self.instance}: {self.code}"


class Upgrade(models.Model):
    """One site's way from one version to a build (U1). Its number never changes."""

    run = models.ForeignKey(Run, models.PROTECT, related_name="upgrades")
    instance = models.ForeignKey(Instance, models.PROTECT, related_name="upgrades")
    build = models.ForeignKey(Build, models.PROTECT, related_name="upgrades")
    from_version = models.CharField(max_length=200)
    recipe = models.SlugField(max_length=60)
    position = models.PositiveIntegerField(help_text=_("Its place in the run."))
    wave = models.ForeignKey(Wave, models.PROTECT, null=True, related_name="upgrades")
    leg = models.PositiveSmallIntegerField(default=1, help_text=_("Its place on the way over stepping stones (T8)."))
    opens_at = models.DateTimeField(help_text=_("Its turn does not come before."))

    state = models.CharField(max_length=12, choices=UpgradeState.choices, default=UpgradeState.WAITING)
    outcome = models.CharField(max_length=16, choices=Outcome.choices, null=True, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    end_code = models.CharField(max_length=20, choices=EndCode.choices, blank=True)
    end_values = models.JSONField(default=dict, blank=True, help_text=_("What the sentence of end_code names."))
    first_error = models.TextField(blank=True, help_text=_("The first error line of the log, as it is."))
    first_error_line = models.PositiveIntegerField(null=True, blank=True)
    fingerprint = models.CharField(max_length=32, blank=True, db_index=True, help_text=_("Equal for equal failures."))
    retried_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When a person let this build be tried again.")
    )
    retried_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    retry_note = models.TextField(blank=True)
    cancel_asked_at = models.DateTimeField(null=True, blank=True, help_text=_("When a person cancelled it (U4)."))
    cancel_asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    cancel_reason = models.TextField(blank=True)
    journal = models.BinaryField(default=bytes, blank=True, help_text=_("What the host's runner wrote of its steps."))

    secrets_digest = models.CharField(
        max_length=64, blank=True, help_text=_("Of the secrets that its host was given; says nothing of them.")
    )
    backs = models.PositiveSmallIntegerField(default=0, help_text=_("How often a person had its way back run again."))
    decided_at = models.DateTimeField(null=True, blank=True, help_text=_("When a person unlocked the site."))
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    decision_note = models.TextField(blank=True)

    objects = UpgradeQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["instance", "-id"]),
            models.Index(fields=["state"], condition=~Q(state="ended"), name="upgrade_not_ended"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["instance"],
                condition=Q(state__in=BEGUN) | Q(outcome=Outcome.NEEDS_A_PERSON, decided_at=None),
                name="upgrade_one_begun_per_site",
            ),
            models.UniqueConstraint(fields=["run", "instance", "leg"], name="upgrade_one_per_site_run_and_leg"),
            models.CheckConstraint(
                condition=Q(state=UpgradeState.ENDED, outcome__isnull=False, ended_at__isnull=False)
                | Q(state__in=ACTIVE, outcome=None, ended_at=None),
                name="upgrade_ended_with_one_outcome",
            ),
        ]
        permissions = [
            ("decide_upgrade", "Can decide on upgrades that need a person"),
            ("cancel_upgrade", "Can cancel upgrades"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("upgrade", args=[self.pk])

    @property
    def status(self) -> Outcome | UpgradeState:
        """What to show: the outcome once there is one."""
        return Outcome(self.outcome) if self.outcome else UpgradeState(self.state)

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    @property
    def has_failed(self) -> bool:
        return self.outcome in FAILED and not self.was_stopped

    @property
    def was_stopped(self) -> bool:
        """By a withdrawal or a person: nobody's failure (P5)."""
        return self.end_code in EXCUSED

    @property
    def took(self) -> timedelta | None:
        """None before it ended, or where nothing was begun."""
        return self.ended_at - self.started_at if self.ended_at and self.started_at else None

    def log_pieces(self, after: int = 0) -> Iterator[Piece]:
        """Its log in order, from the piece with the byte `after` on; a few are read at a time, however long it is.

        What was kept when reading began may be left out by the time that it is reached: then the last gap begins
        before the piece that was read last ends.
        """
        while pieces := self.log_chunks.reaching_beyond(after).pieces(PIECES_AT_ONCE):
            yield from pieces
            after = pieces[-1].end
            if len(pieces) < PIECES_AT_ONCE:
                return

    def move(self, to: UpgradeState, *, now: datetime, **changes: Any) -> None:
        """One transition (U1): a conditional UPDATE and its event. Raises UpgradeChanged if it is elsewhere."""
        if to not in TRANSITIONS[UpgradeState(self.state)]:
            raise UpgradeChanged(f"Upgrade {self.pk} cannot go from {self.state} to {to}.")
        with transaction.atomic():
            if not Upgrade.objects.filter(pk=self.pk, state=self.state).update(state=to, **changes):
                raise UpgradeChanged(f"Upgrade {self.pk} is not {self.state} any more.")
            UpgradeEvent.objects.create(
                upgrade_id=self.pk, at=now, from_state=self.state, to_state=to, outcome=changes.get("outcome")
            )
        self.state = to
        for name, value in changes.items():
            setattr(self, name, value)

    def end(self, outcome: Outcome, code: EndCode, *, now: datetime, shared: str = "", **values: Any) -> None:
        """The last transition. `values` are what the sentence of `code` names, beside `from` and `to`.

        `shared` is a fingerprint, where the trouble is not this site's own.
        """
        named = {"from": self.from_version, "to": self.build.version} | values
        changes = {"outcome": outcome, "ended_at": now, "end_code": code, "end_values": named}
        self.move(UpgradeState.ENDED, now=now, **changes, **({"fingerprint": shared} if shared else {}))


class UpgradeEvent(models.Model):
    """One change of an upgrade's state. Never edited."""

    upgrade = models.ForeignKey(Upgrade, models.CASCADE, related_name="events")
    at = models.DateTimeField()
    from_state = models.CharField(max_length=12, choices=UpgradeState.choices)
    to_state = models.CharField(max_length=12, choices=UpgradeState.choices)
    outcome = models.CharField(max_length=16, choices=Outcome.choices, null=True)

    class Meta:
        ordering = ["pk"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.upgrade_id}: {self.from_state} → {self.to_state}"


class Step(models.Model):
    """One step of an upgrade as the host's runner reported it. Offsets are bytes of the log."""

    upgrade = models.ForeignKey(Upgrade, models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField(help_text=_("Its place, the way back included."))
    name = models.CharField(max_length=60)
    title = models.CharField(max_length=120)
    phase = models.CharField(max_length=10)
    state = models.CharField(max_length=10, choices=StepState.choices, default=StepState.WAITING)
    exit_status = models.SmallIntegerField(null=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    log_start = models.PositiveBigIntegerField(null=True)
    log_end = models.PositiveBigIntegerField(null=True)

    class Meta:
        ordering = ["upgrade", "position"]
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["upgrade", "position"], name="step_one_per_place")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_way_back(self) -> bool:
        return self.position >= WAY_BACK_PLACE

    @property
    def took(self) -> timedelta | None:
        return self.ended_at - self.started_at if self.ended_at and self.started_at else None


class LogChunk(models.Model):
    """A piece of the log, equal to the host's file from `offset` on (U3); without data, what was left out (U9)."""

    upgrade = models.ForeignKey(Upgrade, models.CASCADE, related_name="log_chunks")
    offset = models.PositiveBigIntegerField()
    size = models.PositiveBigIntegerField(help_text=_("Bytes that it stands for."))
    feeds = models.PositiveBigIntegerField(help_text=_("Line feeds that it stands for."))
    at = models.DateTimeField()
    data = models.BinaryField(default=bytes, blank=True)

    objects = LogChunkQuerySet.as_manager()

    class Meta:
        ordering = ["upgrade", "offset"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["upgrade", "offset"], name="log_chunk_one_per_offset"),
            models.CheckConstraint(
                condition=Q(size__gt=0) & (Q(data=b"") | Q(size=Length("data"))), name="log_chunk_whole_or_left_out"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.upgrade_id} from {self.offset}"

    @classmethod
    def of(cls, upgrade: Upgrade, offset: int, data: bytes, at: datetime) -> Self:
        """One with data, not saved."""
        return cls(upgrade=upgrade, offset=offset, size=len(data), feeds=data.count(b"\n"), at=at, data=data)


class HostLease(models.Model):
    """Who may talk to a host now. Only the holder of `token` does, until `until` (the database's time)."""

    host = models.OneToOneField(Host, models.CASCADE, primary_key=True, related_name="lease")
    token = models.UUIDField(default=uuid.uuid4)
    until = models.DateTimeField(default=LONG_AGO)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.host_id} until {self.until}"


class Slot(models.Model):
    """One place for a supervising task. `stopping` asks its holder to leave within seconds."""

    number = models.PositiveSmallIntegerField(primary_key=True, validators=[MaxValueValidator(64)])
    token = models.UUIDField(default=uuid.uuid4)
    until = models.DateTimeField(default=LONG_AGO)
    stopping = models.BooleanField(default=False)
    woken_at = models.DateTimeField(default=LONG_AGO, help_text=_("When its task was last enqueued."))

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.number}"
