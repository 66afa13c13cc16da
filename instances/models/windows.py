"""The hours in which a site may be upgraded (P6)."""

from datetime import timedelta

from django.db import models
from django.db.models import F, Q
from django.db.models.lookups import GreaterThanOrEqual, LessThan
from django.utils.translation import gettext_lazy as _

from instances.models.fleet import Instance
from instances.window_text import format_window
from instances.windows import DAY, SHORTEST, Window, zone_named

WEEKDAYS = range(7)
LENGTH = models.ExpressionWrapper(F("end") - F("start"), output_field=models.DurationField())
LONG_ENOUGH = Q(GreaterThanOrEqual(LENGTH, SHORTEST)) | Q(
    Q(LessThan(LENGTH, timedelta(0))), Q(GreaterThanOrEqual(LENGTH, SHORTEST - DAY))
)  # a window that ends earlier than it starts crosses midnight


class SiteWindow(models.Model):
    """One window of a site, or one of the default, which holds for sites without a window of their own."""

    instance = models.ForeignKey(Instance, models.CASCADE, null=True, blank=True, related_name="windows")
    weekdays = models.PositiveSmallIntegerField(help_text=_("One bit a weekday of its start; Monday is 1."))
    start = models.TimeField()
    end = models.TimeField()
    zone = models.CharField(max_length=60)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(condition=Q(weekdays__range=(1, 127)), name="window_has_a_weekday"),
            models.CheckConstraint(condition=LONG_ENOUGH, name="window_is_15_minutes_long"),
            models.CheckConstraint(condition=~Q(zone=""), name="window_has_a_zone"),
        ]

    def __str__(self) -> str:
        return format_window(self.window) if self.weekdays else str(_("default windows"))

    @classmethod
    def of(cls, window: Window, instance: Instance | None) -> "SiteWindow":
        """Not saved yet."""
        weekdays = sum(1 << day for day in window.weekdays)
        return cls(instance=instance, weekdays=weekdays, start=window.start, end=window.end, zone=window.zone.key)

    @property
    def window(self) -> Window:
        """Raises ValueError for a zone that the installed zone database does not know any more."""
        days = frozenset(day for day in WEEKDAYS if self.weekdays & 1 << day)
        return Window(days, self.start, self.end, zone_named(self.zone))
