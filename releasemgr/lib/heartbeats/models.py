"""When what works in the background last showed that it lives."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Heartbeat(models.Model):
    """One row for each that is watched, by the database's time."""

    name = models.CharField(max_length=40, primary_key=True)
    at = models.DateTimeField(null=True, help_text=_("Empty before its first sign of life."))

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
