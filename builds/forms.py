"""What a person says when moving or withdrawing a build."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from builds.models import Build

LONGEST_REASON = 2000


class RowsField(forms.JSONField):
    """The rows of a preview by the site's id. What cannot be read is as if nothing had been shown."""

    def to_python(self, value: Any) -> Any:
        try:
            rows = super().to_python(value)
        except (ValidationError, ValueError, RecursionError):
            return {}
        return {str(site): str(said) for site, said in rows.items()} if isinstance(rows, dict) else {}


class MoveForm(forms.Form):
    """`seen` is the fingerprint of the effect that the page showed, `shown` its rows, to mark what differs.

    Going back needs a reason (R5).
    """

    reason = forms.CharField(required=False, max_length=LONGEST_REASON, strip=True)
    seen = forms.CharField(max_length=64, widget=forms.HiddenInput)
    shown = RowsField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, demotes: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        reason = self.fields["reason"]
        reason.required = demotes
        reason.label = _("Reason, shown to everyone") if demotes else _("Note for the record (optional)")
        reason.widget.attrs["placeholder"] = reason.label
        reason.error_messages["required"] = _("Going back needs a reason.")


class WithdrawalForm(forms.Form):
    """A withdrawal is for ever (R9): the version is typed."""

    reason = forms.CharField(
        label=gettext_lazy("Reason, shown to everyone"),
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": gettext_lazy("Withdrawing needs a reason.")},
    )
    version = forms.CharField(widget=forms.TextInput(attrs={"autocomplete": "off", "class": "mono"}))

    def __init__(self, *args: Any, build: Build, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.build = build
        self.fields["version"].label = _("Type %(version)s to confirm") % {"version": build.version}

    def clean_version(self) -> str:
        typed: str = self.cleaned_data["version"]
        if typed != self.build.version:
            raise ValidationError(_("That is not %(version)s.") % {"version": self.build.version})
        return typed
