"""What was changed: who, when, from, to, why, from where. Rows are added and never touched again.

The database itself refuses an UPDATE or DELETE of them (see the migration).
"""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from releasemgr.lib.actors import Origin, name_of


class Change(models.Model):
    """One change of one thing. `kind` is a word such as hold.opened; a page words it."""

    at = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    origin = models.CharField(max_length=10, choices=Origin.choices)
    kind = models.CharField(max_length=40)
    subject_type = models.CharField(max_length=40, help_text=_("The model's name, in lower case."))
    subject_id = models.CharField(max_length=40)
    subject_name = models.CharField(max_length=200, help_text=_("What it was called then."))
    before = models.JSONField(default=dict, blank=True, help_text=_("The fields that changed, as plain values."))
    after = models.JSONField(default=dict, blank=True)
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-pk"]
        default_permissions = ("view",)
        indexes = [models.Index(fields=["subject_type", "subject_id", "-id"]), models.Index(fields=["-at"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_name}"

    @property
    def who(self) -> str:
        """Needs `by`."""
        return name_of(self.by, self.origin)
