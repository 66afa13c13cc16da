"""The words of a person's settings."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Theme(models.TextChoices):
    SYSTEM = "system", _("As the system")
    LIGHT = "light", _("Light")
    DARK = "dark", _("Dark")

    @property
    def icon(self) -> str:
        return {Theme.SYSTEM: "sun-moon", Theme.LIGHT: "sun", Theme.DARK: "moon"}[self]

    @property
    def next(self) -> "Theme":
        """The one the theme button changes to."""
        members = list(Theme)
        return members[(members.index(self) + 1) % len(members)]
