"""Holds and freezes: a site, or many, are left alone between two times, for a reason (P8)."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from instances.choices import FreezeScope, FreezeState
from instances.models.fleet import Customer, Instance, Tag, one_line
from instances.pauses import Pause, PauseKind
from instances.querysets import FreezeQuerySet, HoldQuerySet
from instances.recurrence import Recurrence
from instances.sentences import repeat_words, scope_words
from instances.windows import Span, zone_named
from releasemgr.lib.actors import Origin, name_of

LONGEST = timedelta(days=366)
"""No hold or freeze lasts longer without being renewed."""

ENDS_AFTER_ITS_START = Q(ends_at__gt=F("starts_at"))
IS_NOT_TOO_LONG = Q(renewed_at__gte=F("starts_at"), ends_at__lte=F("renewed_at") + LONGEST)
SCOPE_IS_ONE = (
    Q(scope__in=[FreezeScope.ALL, FreezeScope.LIVE, FreezeScope.TEST], customer=None, tag=None)
    | Q(scope=FreezeScope.CUSTOMER, customer__isnull=False, tag=None)
    | Q(scope=FreezeScope.TAG, customer=None, tag__isnull=False)
)  # fmt: skip


class PauseRow(models.Model):
    """What holds and freezes have in common. The start is inside, the end is not."""

    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    renewed_at = models.DateTimeField(help_text=_("From when its length counts: its start, or when its end was set."))
    reason = models.TextField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    origin = models.CharField(max_length=10, choices=Origin.choices)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True, help_text=_("When a person ended it."))
    ended_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        abstract = True

    @property
    def made_by(self) -> str:
        """Needs `by`."""
        return name_of(self.by, self.origin)

    def _cut(self, span: Span) -> Span | None:
        """What is left of a span of it where a person ended it; None where it never began."""
        if self.ended_at is None or self.ended_at >= span.ends_at:
            return span
        return Span(span.starts_at, self.ended_at) if self.ended_at > span.starts_at else None


class Hold(PauseRow):
    """This site is left alone until a date, for a reason."""

    instance = models.ForeignKey(Instance, models.CASCADE, related_name="holds")

    objects = HoldQuerySet.as_manager()

    class Meta:
        ordering = ["starts_at", "pk"]
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(condition=ENDS_AFTER_ITS_START, name="hold_ends_after_its_start"),
            models.CheckConstraint(condition=IS_NOT_TOO_LONG, name="hold_is_renewed_within_a_year"),
            models.CheckConstraint(condition=~Q(reason=""), name="hold_has_a_reason"),
        ]
        indexes = [models.Index(fields=["instance", "ends_at"])]

    def __str__(self) -> str:
        return f"{self.instance}: {self.reason}"

    def pauses(self, after: datetime, before: datetime) -> Iterator[Pause]:
        """One, or none where it does not share a moment with the given span."""
        span = self._cut(Span(self.starts_at, self.ends_at))
        if span and span.meets(after, before):
            yield Pause(PauseKind.HOLD, self.pk, span, self.reason)


class Freeze(PauseRow):
    """A group of sites is left alone between two times, once or again and again."""

    name = models.CharField(max_length=80, validators=[one_line])
    scope = models.CharField(max_length=10, choices=FreezeScope.choices)
    customer = models.ForeignKey(Customer, models.PROTECT, null=True, blank=True, related_name="freezes")
    tag = models.ForeignKey(Tag, models.PROTECT, null=True, blank=True, related_name="freezes")
    repeats = models.CharField(max_length=200, blank=True, help_text=_("A rule of iCalendar; empty for once."))
    zone = models.CharField(max_length=60, help_text=_("Whose hours are kept when it comes again."))

    objects = FreezeQuerySet.as_manager()

    class Meta:
        ordering = ["starts_at", "pk"]
        constraints = [
            models.CheckConstraint(condition=ENDS_AFTER_ITS_START, name="freeze_ends_after_its_start"),
            models.CheckConstraint(condition=IS_NOT_TOO_LONG, name="freeze_is_renewed_within_a_year"),
            models.CheckConstraint(condition=~Q(reason=""), name="freeze_has_a_reason"),
            models.CheckConstraint(condition=~Q(name=""), name="freeze_has_a_name"),
            models.CheckConstraint(condition=~Q(zone=""), name="freeze_has_a_zone"),
            models.CheckConstraint(condition=SCOPE_IS_ONE, name="freeze_scope_matches_its_column"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("freeze", args=[self.pk])

    @property
    def recurrence(self) -> Recurrence:
        """Raises ValueError for a zone that the installed zone database does not know any more."""
        return Recurrence(self.starts_at, self.ends_at, self.repeats, zone_named(self.zone))

    def time_at(self, now: datetime) -> Span | None:
        """The time that runs, else the next one; None when it is over."""
        return None if self.ended_at else next(iter(self.recurrence.coming(now, 1)), None)

    def state(self, now: datetime) -> FreezeState:
        time = self.time_at(now)
        if time is None:
            return FreezeState.OVER
        return FreezeState.RUNNING if time.covers(now) else FreezeState.COMING

    @property
    def repeat_words(self) -> str:
        """“once”, “every week on Mon and Fri”."""
        return repeat_words(self.repeats)

    @property
    def scope_words(self) -> str:
        """“all sites”, “customer Acme”, “tag healthcare”. Needs `customer` and `tag`."""
        return scope_words(self.scope, self.customer, self.tag)

    def pauses(self, after: datetime, before: datetime) -> Iterator[Pause]:
        """Every time it comes that shares a moment with the given span, in order."""
        for span in map(self._cut, self.recurrence.spans(after, before)):
            if span and span.meets(after, before):
                yield Pause(PauseKind.FREEZE, self.pk, span, self.reason, self.scope_words)
