"""What releasemgr itself keeps of the people who use it."""

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from releasemgr.choices import Theme


class SavedView(models.Model):
    """A filter of the page Sites under a name, for its owner or for everyone. `query` is as in an address."""

    name = models.CharField(_("name"), max_length=60)
    query = models.CharField(max_length=2000)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="saved_views")
    shared = models.BooleanField(_("shown to everyone"), default=False)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "name"], name="saved_view_one_per_name",
                violation_error_message=_("You have a view of this name already."),
            ),
            models.CheckConstraint(condition=~Q(name=""), name="saved_view_has_a_name"),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return f"{reverse('sites')}?{self.query or 'all=1'}"

    def may_be_changed_by(self, user: User) -> bool:
        """Its owner, and whoever keeps order among the people."""
        return user.pk == self.owner_id or user.has_perm("releasemgr.change_savedview")


class Profile(models.Model):
    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="profile")
    theme = models.CharField(_("theme"), max_length=6, choices=Theme, default=Theme.SYSTEM)
    single_keys = models.BooleanField(
        _("single-key shortcuts"),
        default=True,
        help_text=_("Keys such as j, k and g s act while no field has the focus. Ctrl K always searches."),
    )
    first_view = models.ForeignKey(
        SavedView, models.SET_NULL, null=True, blank=True, related_name="+",
        help_text=_("What the page Sites shows at first."),
    )  # fmt: skip

    def __str__(self) -> str:
        return f"settings of {self.user}"


def profile_of(user: User) -> Profile:
    """One query. Not yet saved for someone who never changed anything."""
    return Profile.objects.filter(user_id=user.pk).first() or Profile(user_id=user.pk)


class Sent(models.Model):
    """A form that makes something, sent once: whoever sends it again is led to what it made."""

    token = models.UUIDField()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    at = models.DateTimeField(db_index=True)
    location = models.CharField(max_length=2000, blank=True)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["token", "user"], name="sent_once")]

    def __str__(self) -> str:
        return self.location


class Snooze(models.Model):
    """An entry of “Needs a decision” that a person put off for all, until then. `key` names its cause."""

    title = models.CharField(max_length=200)
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
        return self.title
