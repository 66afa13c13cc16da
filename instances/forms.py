"""The input of a change of target."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from builds.choices import ChannelName
from builds.models import Build
from instances.models import Target

PIN = "pin"


class TargetChoiceForm(forms.Form):
    """A channel, or a pin with its build. Enough for a preview (T3)."""

    target = forms.ChoiceField(
        choices=[*ChannelName.choices, (PIN, _("pin"))],
        error_messages={"required": _("Choose a channel or a pin.")},
    )
    build = forms.ModelChoiceField(
        Build.objects.all(),
        to_field_name="version",
        required=False,
        error_messages={"invalid_choice": _("There is no build %(value)s.")},
    )
    reason = forms.CharField(required=False, max_length=500)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("target") == PIN and not values.get("build") and "build" not in self.errors:
            self.add_error("build", _("Choose the version to pin."))
        return values

    def chosen(self) -> Target:
        """For a valid form."""
        if self.cleaned_data["target"] == PIN:
            return Target(build=self.cleaned_data["build"])
        return Target(channel=self.cleaned_data["target"])


class TargetForm(TargetChoiceForm):
    """`seen` is the number of the last change that the page showed, 0 for none (T7)."""

    seen = forms.IntegerField(min_value=0)
