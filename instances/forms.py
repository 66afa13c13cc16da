"""What people write about sites, customers and hosts."""

from collections.abc import Sequence
from datetime import datetime, time
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from builds.choices import ChannelName
from builds.models import Build
from instances.choices import PinEndChoice
from instances.models import Customer, Host, Instance, Target
from instances.pins import PinEnd

PIN = "pin"
LONGEST_REASON = 500


class DayInput(forms.DateInput):
    """The browser's own calendar."""

    input_type = "date"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs, format="%Y-%m-%d")


class DayField(forms.DateField):
    """A day, as the moment at which it begins in the installation's time zone."""

    widget = DayInput

    def to_python(self, value: Any) -> Any:
        day = super().to_python(value)
        if day is None:
            return None
        try:
            return timezone.make_aware(datetime.combine(day, time.min))
        except OverflowError as error:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from error

    def prepare_value(self, value: Any) -> Any:
        return timezone.localtime(value).date() if isinstance(value, datetime) else value


def as_given(moment: datetime | None, before: datetime | None) -> datetime | None:
    """A day that was not changed keeps its hour."""
    if moment and before and timezone.localtime(before).date() == timezone.localtime(moment).date():
        return before
    return moment


class TargetChoiceForm(forms.Form):
    """A channel, or a pin with its build and how it ends. Enough for a preview (T3).

    `downgrade` is the consent to leave the present version for an older one (T4).
    """

    target = forms.ChoiceField(
        choices=[*ChannelName.choices, (PIN, gettext_lazy("pin"))],
        error_messages={"required": gettext_lazy("Choose a channel or a pin.")},
    )
    build = forms.ModelChoiceField(
        Build.objects.all(),
        to_field_name="version",
        required=False,
        error_messages={"invalid_choice": gettext_lazy("There is no build %(value)s.")},
    )
    ends = forms.ChoiceField(choices=PinEndChoice.choices, required=False)
    until = DayField(required=False)
    then = forms.ChoiceField(choices=ChannelName.choices, required=False)
    downgrade = forms.BooleanField(required=False)
    reason = forms.CharField(required=False, max_length=LONGEST_REASON)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("target") != PIN:
            for name in ("build", "ends", "until", "then"):  # what stands in hidden fields means nothing
                self.errors.pop(name, None)
            return values
        if not values.get("build") and "build" not in self.errors:
            self.add_error("build", _("Choose the version to pin."))
        if values.get("ends") == PinEnd.ON_DATE and not values.get("until") and "until" not in self.errors:
            self.add_error("until", _("Choose the day on which the pin ends."))
        return values

    def chosen(self, before: Target | None = None) -> Target:
        """For a valid form. A day that is the one of the target before keeps its hour."""
        values = self.cleaned_data
        if values["target"] != PIN:
            return Target(channel=values["target"])
        ends = PinEnd(values["ends"] or PinEnd.NEVER)
        then = values["then"] or None if ends is not PinEnd.NEVER else None
        until = as_given(values["until"], before.until if before else None) if ends is PinEnd.ON_DATE else None
        return Target(build=values["build"], ends=ends, until=until, then=then)


class TargetForm(TargetChoiceForm):
    """`seen` is the number of the last change that the page showed, 0 for none (T7)."""

    seen = forms.IntegerField(min_value=0)


class SeenForm(forms.Form):
    """With the last change that the page showed, 0 for none (T7), and a reason."""

    seen = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    reason = forms.CharField(
        required=False, max_length=LONGEST_REASON, label=gettext_lazy("Reason (optional, shown in the history)")
    )  # fmt: skip


class HoldForm(SeenForm):
    ends_at = DayField(
        label=gettext_lazy("Until"),
        help_text=gettext_lazy("The hold ends when that day begins."),
        error_messages={"required": gettext_lazy("Choose the day on which the hold ends.")},
    )
    reason = forms.CharField(
        max_length=LONGEST_REASON, label=gettext_lazy("Reason, shown to everyone"),
        error_messages={"required": gettext_lazy("A hold needs a reason.")},
    )  # fmt: skip
    field_order = ("ends_at", "reason")


class ExtendForm(SeenForm):
    ends_at = DayField(
        label=gettext_lazy("Until"),
        help_text=gettext_lazy("The hold ends when that day begins."),
        error_messages={"required": gettext_lazy("Choose the day on which the hold ends.")},
    )
    field_order = ("ends_at", "reason")


class DeletionForm(SeenForm):
    """What is deleted is gone: its name is typed."""

    reason = forms.CharField(
        required=False, max_length=LONGEST_REASON, label=gettext_lazy("Reason (optional, shown in the history)")
    )  # fmt: skip
    typed = forms.CharField(widget=forms.TextInput(attrs={"autocomplete": "off"}))
    field_order = ("reason", "typed")

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name
        self.fields["typed"].label = _("Type %(name)s to confirm") % {"name": name}

    def clean_typed(self) -> str:
        typed: str = self.cleaned_data["typed"]
        if typed != self.name:
            raise ValidationError(_("That is not %(name)s.") % {"name": self.name})
        return typed


class NamesAKey(SeenForm):
    """`identity` is the name of a key, of those that the environment has, or the one that it had before.

    `without` says what no name means.
    """

    without: Any

    identity = forms.ChoiceField(required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = {name for name in (*settings.SSH_IDENTITIES, self.initial.get("identity")) if name}
        field = self.fields["identity"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - it is declared so
        field.choices = [("", self.without), *((name, name) for name in sorted(names))]


class CustomerForm(NamesAKey):
    without = gettext_lazy("the default key")

    name = forms.CharField(max_length=120, label=gettext_lazy("Name"))
    slug = forms.SlugField(
        max_length=60, label=gettext_lazy("Short name"), help_text=gettext_lazy("Part of its page's address.")
    )  # fmt: skip
    identity = forms.ChoiceField(
        required=False, label=gettext_lazy("Key for its hosts"),
        help_text=gettext_lazy("For hosts that name none and have sites of this customer alone."),
    )  # fmt: skip
    field_order = ("name", "slug", "identity", "reason")


class HostForm(NamesAKey):
    without = gettext_lazy("the key of its customer, else the default key")

    name = forms.SlugField(max_length=120, label=gettext_lazy("Name"))
    address = forms.CharField(max_length=255, label=gettext_lazy("Address"))
    port = forms.IntegerField(min_value=1, max_value=65535, initial=22, label=gettext_lazy("Port"))
    user = forms.CharField(max_length=64, initial="releasemgr", label=gettext_lazy("User"))
    max_parallel = forms.IntegerField(
        min_value=1, max_value=8, initial=2, label=gettext_lazy("Upgrades at once"),
        help_text=gettext_lazy("1 to 8. sshd takes 10 channels a connection by default."),
    )  # fmt: skip
    enabled = forms.BooleanField(
        required=False, initial=True, label=gettext_lazy("Switched on"),
        help_text=gettext_lazy("Nothing runs on a host that is switched off."),
    )  # fmt: skip
    identity = forms.ChoiceField(required=False, label=gettext_lazy("Signs in with"))
    jump = forms.ModelChoiceField(
        Host.objects.all(), to_field_name="name", required=False, label=gettext_lazy("Reached over"),
        empty_label=gettext_lazy("no other host"), help_text=gettext_lazy("A jump host."),
    )  # fmt: skip
    max_connections = forms.IntegerField(
        min_value=1, max_value=500, initial=10, label=gettext_lazy("Hosts reached over it at once"),
        help_text=gettext_lazy("Where it is a jump host."),
    )  # fmt: skip
    field_order = (
        "name", "address", "port", "user", "identity", "jump", "max_parallel", "max_connections", "enabled", "reason",
    )  # fmt: skip


class SiteForm(forms.ModelForm, SeenForm):  # type: ignore[type-arg] # generic in the stubs alone
    """`recipes` are names and titles of those that exist."""

    recipe = forms.ChoiceField(label=gettext_lazy("Recipe"))
    customer = forms.ModelChoiceField(
        Customer.objects.all(), to_field_name="slug", label=gettext_lazy("Customer"),
        empty_label=gettext_lazy("Choose a customer"),
    )  # fmt: skip
    host = forms.ModelChoiceField(
        Host.objects.all(), to_field_name="name", label=gettext_lazy("Host"), empty_label=gettext_lazy("Choose a host")
    )
    tags = forms.CharField(
        required=False,
        max_length=1000,
        label=gettext_lazy("Tags"),
        help_text=gettext_lazy("Words, separated by commas."),
    )
    window = forms.CharField(
        required=False, max_length=2000, label=gettext_lazy("Windows"),
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "Mon-Fri 01:00-04:00 Europe/Dublin"}),
        help_text=gettext_lazy("One a line. None: the default windows."),
    )  # fmt: skip

    url = forms.URLField(required=False, max_length=500, assume_scheme="https", label=gettext_lazy("URL"))
    health_url = forms.URLField(
        required=False, max_length=500, assume_scheme="http", label=gettext_lazy("Health page")
    )  # fmt: skip
    version_url = forms.URLField(
        required=False, max_length=500, assume_scheme="http", label=gettext_lazy("Version page")
    )  # fmt: skip

    class Meta:
        model = Instance
        fields = (
            "slug", "kind", "customer", "host", "path", "url", "notes", "recipe", "recipe_values", "health_url",
            "health_timeout_s",
            "version_url", "version_command", "backup_command", "migrate_command", "migrate_undo_command",
            "restart_command", "min_free_mb",
        )  # fmt: skip
        labels = {
            "slug": gettext_lazy("Name"), "kind": gettext_lazy("Kind"), "path": gettext_lazy("Path"),
            "notes": gettext_lazy("Notes"), "health_timeout_s": gettext_lazy("Waits for health, in seconds"),
            "recipe_values": gettext_lazy("Values for the recipe"),
            "version_command": gettext_lazy("Version command"),
            "backup_command": gettext_lazy("Backup command"),
            "migrate_command": gettext_lazy("Migrate command"),
            "migrate_undo_command": gettext_lazy("Undo migrate command"),
            "restart_command": gettext_lazy("Restart command"),
            "min_free_mb": gettext_lazy("Free disk needed, in MB"),
        }  # fmt: skip
        widgets = {
            "notes": forms.Textarea(attrs={"rows": 3}),
            **{
                name: forms.TextInput(attrs={"class": "mono"})
                for name in (
                    "path", "recipe_values", "version_command", "backup_command", "migrate_command",
                    "migrate_undo_command", "restart_command",
                )
            },
        }  # fmt: skip

    def __init__(self, *args: Any, recipes: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial.update(customer=self.instance.customer, host=self.instance.host)
        field = self.fields["recipe"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - it is declared so
        field.choices = [*recipes, *self._gone(recipes)]

    def _gone(self, recipes: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """The recipe that the site names and nobody finds any more."""
        now = self.instance.recipe
        if not self.instance.pk or now in dict(recipes):
            return []
        return [(now, _("%(recipe)s, which is not there") % {"recipe": now})]

    def tag_names(self) -> list[str]:
        return [name for name in self.cleaned_data["tags"].split(",") if name.strip()]

    def _post_clean(self) -> None:
        """The verb checks the row: a form changes none."""


class ReasonForm(SeenForm):
    reason = forms.CharField(max_length=LONGEST_REASON, label=gettext_lazy("Reason, shown to everyone"))


class AuthorityForm(ReasonForm):
    names = forms.CharField(
        max_length=1000, label=gettext_lazy("On these hosts"),
        help_text=gettext_lazy("As in known_hosts: *.example.net,[gate.example.net]:2222"),
    )  # fmt: skip
    key = forms.CharField(
        max_length=8000, label=gettext_lazy("Its public key"),
        widget=forms.Textarea(attrs={"rows": 2, "class": "mono"}),
        help_text=gettext_lazy("What stands in its .pub file: ssh-ed25519 AAAAC3Nza…"),
    )  # fmt: skip
    field_order = ("names", "key", "reason")


class RemovalForm(ReasonForm):
    """`shown` has the names of the hosts that lose their approved key, with blanks between."""

    shown = forms.CharField(required=False, max_length=100_000, widget=forms.HiddenInput)

    def clean_shown(self) -> list[str]:
        return str(self.cleaned_data["shown"]).split()


class LimitForm(SeenForm):
    """How many of the sites with a tag are upgraded at once; nothing for no limit."""

    tag = forms.CharField(
        max_length=60, label=gettext_lazy("Tag"),
        widget=forms.TextInput(attrs={"list": "tags", "autocomplete": "off", "class": "max-16"}),
        help_text=gettext_lazy("Of the sites that share it, such as db-dublin-1."),
    )  # fmt: skip
    max_parallel = forms.IntegerField(
        required=False, min_value=1, max_value=1000, label=gettext_lazy("Upgrades at once"),
        widget=forms.NumberInput(attrs={"class": "max-16"}), help_text=gettext_lazy("Empty for no limit."),
    )  # fmt: skip
    field_order = ("tag", "max_parallel", "reason")


class ClaimForm(forms.Form):
    """`seen` is the mark that the person saw in the directory."""

    seen = forms.CharField(max_length=200, widget=forms.HiddenInput)
    reason = forms.CharField(max_length=LONGEST_REASON, label=gettext_lazy("Reason, shown to everyone"))


class RetryForm(forms.Form):
    seen = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    note = forms.CharField(
        max_length=2000, label=gettext_lazy("What has changed since it failed"),
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": gettext_lazy("Say what has changed.")},
    )  # fmt: skip
