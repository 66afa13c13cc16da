"""Builds, the channels they mature through, the record of each promotion, and known problems."""

from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.core.validators import ProhibitNullCharactersValidator, URLValidator
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from builds.choices import ChannelName, GateChoice, MaturityChoice, ProblemState, SeverityChoice, Smoke
from builds.exceptions import BuildChanged
from builds.maturity import BuildFacts, ChannelPolicy, Maturity, ProblemFacts, Severity, channel_named, problem_name
from builds.querysets import BuildQuerySet, GateOverrideQuerySet, ProblemQuerySet
from releasemgr.lib.actors import Actor, Origin, name_of


class Channel(models.Model):
    """alpha, beta, release and stable exist always; only their policy changes."""

    name = models.CharField(primary_key=True, max_length=10, choices=ChannelName.choices)
    soak = models.DurationField(
        default=timedelta(0), help_text=_("How long a build must have been in the channel before (R6).")
    )
    automatic = models.BooleanField(
        default=False, help_text=_("Whether the night promotes the newest build that passes every gate (R10).")
    )

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(soak__gte=timedelta(0)), name="channel_soak_not_negative"),
            models.CheckConstraint(condition=models.Q(name__in=ChannelName.values), name="channel_name_known"),
        ]
        permissions = [("change_policy", "Can change the policy")]

    def __str__(self) -> str:
        return self.name

    @property
    def maturity(self) -> Maturity:
        return channel_named(self.name)

    @property
    def policy(self) -> ChannelPolicy:
        return ChannelPolicy(self.soak, self.automatic)


class Build(models.Model):
    """One immutable artefact with a version (R2)."""

    version = models.CharField(max_length=100, unique=True)
    version_key = models.CharField(max_length=400, unique=True, db_collation="C")
    commit = models.CharField(max_length=64, blank=True)
    sha256 = models.CharField(max_length=64)
    artifact_size = models.BigIntegerField(help_text=_("Bytes"))
    changelog = models.TextField(blank=True, help_text=_("Markdown"))
    registered_at = models.DateTimeField()

    maturity = models.PositiveSmallIntegerField(choices=MaturityChoice.choices, default=Maturity.CANDIDATE)
    channel_since = models.DateTimeField(help_text=_("When its unbroken stay in its channel began (R6)."))
    smoke = models.CharField(max_length=10, choices=Smoke.choices, default=Smoke.PENDING)
    smoke_reported_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    withdrawn_reason = models.TextField(blank=True)
    quarantined_at = models.DateTimeField(null=True, blank=True)
    stepping_stone = models.BooleanField(default=False, help_text=_("Every site must pass through this (T8)."))
    archived_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When its artefact was removed, because nothing needs it any more.")
    )

    objects = BuildQuerySet.as_manager()

    class Meta:
        ordering = ["-version_key"]
        constraints = [
            models.CheckConstraint(condition=models.Q(sha256__regex=r"^[0-9a-f]{64}$"), name="build_sha256_is_one"),
            models.CheckConstraint(condition=models.Q(maturity__in=MaturityChoice.values), name="build_maturity_known"),
            models.CheckConstraint(
                condition=models.Q(maturity=Maturity.CANDIDATE) | ~models.Q(smoke=Smoke.PENDING),
                name="build_in_channel_was_smoke_tested",
            ),
            models.CheckConstraint(
                condition=models.Q(withdrawn_at=None) | ~models.Q(withdrawn_reason=""),
                name="build_withdrawn_with_reason",
            ),
            models.CheckConstraint(
                condition=models.Q(stepping_stone=False) | models.Q(withdrawn_at=None, archived_at=None),
                name="build_stepping_stone_is_installable",
            ),
        ]
        permissions = [
            ("promote_build", "Can promote and demote builds"),
            ("override_gate", "Can promote a build through a failing gate"),
            ("withdraw_build", "Can withdraw builds"),
            ("mark_stepping_stone", "Can mark builds that every site must pass through"),
        ]

    def __str__(self) -> str:
        return self.version

    def get_absolute_url(self) -> str:
        return reverse("build", args=[self.version])

    @property
    def stage(self) -> Maturity:
        return Maturity(self.maturity)

    @property
    def smoke_state(self) -> Smoke:
        return Smoke(self.smoke)

    @property
    def is_withdrawn(self) -> bool:
        return self.withdrawn_at is not None

    @property
    def artifact_path(self) -> Path:
        return settings.ARTIFACT_DIR / self.sha256

    @property
    def is_archived(self) -> bool:
        return self.archived_at is not None

    def facts(
        self, problems: tuple[ProblemFacts, ...] = (), *, was_dismissed: bool = False, sent_back: bool = False
    ) -> BuildFacts:
        """What the pure rules need, with what other rows say of it (`services.gather_builds` asks them).

        Looks for the artefact's file; no query.
        """
        return BuildFacts(
            id=self.pk,
            version=self.version,
            key=self.version_key,
            maturity=self.stage,
            since=self.channel_since,
            smoke_passed=self.smoke == Smoke.PASSED,
            withdrawn=self.is_withdrawn,
            quarantined=self.quarantined_at is not None,
            artifact_present=self.artifact_path.is_file(),
            problems=problems,
            was_dismissed=was_dismissed,
            sent_back=sent_back,
            stepping_stone=self.stepping_stone,
            archived=self.is_archived,
        )

    def move(self, to: Maturity, *, actor: Actor, reason: str, now: datetime) -> "Promotion":
        """Moves it to a channel (or back) and records that (R5). Judges nothing.

        Raises BuildChanged when it is not any more where this object says.
        """
        unchanged = Build.objects.filter(pk=self.pk, maturity=self.maturity, channel_since=self.channel_since)
        if not unchanged.update(maturity=to, channel_since=now):
            raise BuildChanged(f"{self.version} was changed by someone else. Nothing was done.")
        promotion = Promotion.objects.create(
            build=self, from_maturity=self.maturity, to_maturity=to, at=now, by=actor.user, origin=actor.origin,
            reason=reason,
        )  # fmt: skip
        self.maturity, self.channel_since = to, now
        return promotion


class Promotion(models.Model):
    """One move of a build, up or down. Never edited (R5)."""

    build = models.ForeignKey(Build, models.PROTECT, related_name="promotions")
    from_maturity = models.PositiveSmallIntegerField(choices=MaturityChoice.choices)
    to_maturity = models.PositiveSmallIntegerField(choices=MaturityChoice.choices)
    at = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    origin = models.CharField(max_length=10, choices=Origin.choices)
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-at", "-pk"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.build} {self.get_from_maturity_display()} → {self.get_to_maturity_display()}"

    @property
    def who(self) -> str:
        """Needs `by`."""
        return name_of(self.by, self.origin)

    @property
    def is_demotion(self) -> bool:
        return self.to_maturity < self.from_maturity


class GateOverride(models.Model):
    """A gate that a promotion went through although it failed, one for each problem (R8). Kept for ever."""

    promotion = models.ForeignKey(Promotion, models.PROTECT, related_name="overrides")
    gate = models.CharField(max_length=20, choices=GateChoice.choices)
    into = models.PositiveSmallIntegerField(choices=MaturityChoice.choices)
    problem = models.ForeignKey("Problem", models.PROTECT, null=True, blank=True, related_name="overrides")
    text = models.TextField(help_text=_("What the gate said then."))
    reason = models.TextField()

    objects = GateOverrideQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(condition=models.Q(gate__in=GateChoice.values), name="override_gate_known"),
            models.CheckConstraint(condition=~models.Q(reason=""), name="override_with_reason"),
            models.CheckConstraint(
                condition=models.Q(gate=GateChoice.SOAK, problem=None)
                | ~models.Q(gate=GateChoice.SOAK) & models.Q(problem__isnull=False),
                name="override_names_its_problem",
            ),
            models.UniqueConstraint(
                fields=["promotion", "gate", "into", "problem"], nulls_distinct=False, name="override_once"
            ),
        ]

    def __str__(self) -> str:
        return self.text


class Problem(models.Model):
    """A known problem. It affects every build from `first_affected` up to the one that fixes it (R7)."""

    severity = models.CharField(max_length=10, choices=SeverityChoice.choices)
    title = models.CharField(max_length=200, validators=[ProhibitNullCharactersValidator()])
    url = models.URLField(
        max_length=500, blank=True, validators=[URLValidator(["http", "https"])], help_text=_("Where it is worked on.")
    )
    first_affected = models.ForeignKey(Build, models.PROTECT, related_name="problems_begun")
    fixed_in = models.ForeignKey(Build, models.PROTECT, null=True, blank=True, related_name="problems_fixed")
    opened_at = models.DateTimeField()
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    opened_origin = models.CharField(max_length=10, choices=Origin.choices)
    dismissed_at = models.DateTimeField(null=True, blank=True)
    dismissed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    dismissed_reason = models.TextField(blank=True)

    objects = ProblemQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        default_permissions = ("view", "add", "change")
        constraints = [
            models.CheckConstraint(condition=models.Q(severity__in=SeverityChoice.values), name="problem_severity"),
            models.CheckConstraint(condition=~models.Q(title=""), name="problem_has_title"),
            models.CheckConstraint(
                condition=models.Q(dismissed_at=None, dismissed_by=None, dismissed_reason="")
                | models.Q(dismissed_at__isnull=False, fixed_in=None) & ~models.Q(dismissed_reason=""),
                name="problem_dismissed_with_reason_or_fixed",
            ),
            models.CheckConstraint(
                condition=models.Q(fixed_in=None) | ~models.Q(fixed_in=models.F("first_affected")),
                name="problem_not_fixed_where_it_begins",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("problem", args=[self.pk])

    @property
    def name(self) -> str:
        return problem_name(self.pk)

    @property
    def how_bad(self) -> SeverityChoice:
        return SeverityChoice(self.severity)

    @property
    def state(self) -> ProblemState:
        if self.dismissed_at:
            return ProblemState.DISMISSED
        return ProblemState.FIXED if self.fixed_in_id else ProblemState.OPEN

    @property
    def reporter(self) -> str:
        """Needs `opened_by`."""
        return name_of(self.opened_by, self.opened_origin)

    def affects(self, build: Build) -> bool:
        """Needs `first_affected` and `fixed_in`."""
        return not self.dismissed_at and self.covers(build.version_key)

    def covers(self, key: str) -> bool:
        """Whether a version lies where it was reported, dismissed or not. Needs `first_affected` and `fixed_in`."""
        before_fix = self.fixed_in is None or key < self.fixed_in.version_key
        return self.first_affected.version_key <= key and before_fix


class Acknowledgement(models.Model):
    """Somebody accepted a problem for one build, by its number (R7). Void once the problem is worse than it was."""

    problem = models.ForeignKey(Problem, models.PROTECT, related_name="acknowledgements")
    build = models.ForeignKey(Build, models.PROTECT, related_name="acknowledgements")
    severity = models.CharField(max_length=10, choices=SeverityChoice.choices, help_text=_("As it was then."))
    at = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    origin = models.CharField(max_length=10, choices=Origin.choices)
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["pk"]
        default_permissions = ("view", "add")
        constraints = [
            models.UniqueConstraint(fields=["problem", "build"], name="acknowledged_once_for_a_build"),
            models.CheckConstraint(
                condition=models.Q(severity__in=SeverityChoice.values), name="acknowledgement_severity"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.problem} {self.build}"

    @property
    def who(self) -> str:
        """Needs `by`."""
        return name_of(self.by, self.origin)

    def covers(self, severity: str) -> bool:
        """Whether it still holds for a problem that is this bad now."""
        return Severity(self.severity).covers(Severity(severity))
