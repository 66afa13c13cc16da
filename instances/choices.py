"""The words for sites."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Kind(models.TextChoices):
    LIVE = "live", _("LIVE")
    TEST = "test", _("TEST")
