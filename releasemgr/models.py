"""What releasemgr itself keeps of the people who use it."""

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.utils.translation import gettext_lazy as _

from releasemgr.choices import Theme


class Profile(models.Model):
    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="profile")
    theme = models.CharField(_("theme"), max_length=6, choices=Theme, default=Theme.SYSTEM)
    single_keys = models.BooleanField(
        _("single-key shortcuts"),
        default=True,
        help_text=_("Keys such as j, k and g s act while no field has the focus. Ctrl K always searches."),
    )

    def __str__(self) -> str:
        return f"settings of {self.user}"


def profile_of(user: User) -> Profile:
    """One query. Not yet saved for someone who never changed anything."""
    return Profile.objects.filter(user_id=user.pk).first() or Profile(user_id=user.pk)


class Snooze(models.Model):
    """An entry of “Needs a decision” that a person put off for all, until then. `key` names its cause."""

    key = models.CharField(max_length=200, unique=True)
    until = models.DateTimeField()
    at = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")

    class Meta:
        default_permissions = ("add",)
        constraints = [
            models.CheckConstraint(condition=models.Q(until__gt=models.F("at")), name="snooze_ends_after_it_begins")
        ]

    def __str__(self) -> str:
        return self.key
