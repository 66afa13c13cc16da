"""Builds, the channels they mature through, and the record of each promotion."""

from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from builds.choices import ChannelName, MaturityChoice, Smoke
from builds.exceptions import BuildChanged
from builds.maturity import BuildFacts, Maturity, channel_named
from builds.querysets import BuildQuerySet
from releasemgr.lib.actors import Actor, Origin, name_of


class Channel(models.Model):
    """alpha, beta, release and stable exist always; only their policy changes."""

    name = models.CharField(primary_key=True, max_length=10, choices=ChannelName.choices)
    soak = models.DurationField(
        default=timedelta(0), help_text=_("How long a build must have been in the channel before (R6).")
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
        ]
        permissions = [
            ("promote_build", "Can promote and demote builds"),
            ("withdraw_build", "Can withdraw builds"),
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

    def facts(self) -> BuildFacts:
        """What the pure rules need. Looks for the artefact's file; no query."""
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
