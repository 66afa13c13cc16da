"""The input of a manual run, and what a person writes about an upgrade."""

from collections.abc import Sequence

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from upgrades.plan import Rule

THROUGH = {"through_holds": Rule.PAUSE, "outside_window": Rule.WINDOW}


def live_to_type(live: Sequence[str]) -> str:
    """What a person types before these live sites are upgraded: the one's name, or how many. Empty for none."""
    return live[0] if len(live) == 1 else str(len(live) or "")


def _require_typed(form: forms.Form, text: str) -> None:
    if text and form.cleaned_data.get("typed", "").strip() != text:
        form.add_error("typed", ValidationError(gettext("Type %(text)s to confirm.") % {"text": text}))


class UpgradeNowForm(forms.Form):
    """The sites by id, the plan that was shown, and what has to be typed where live sites are among them.

    What a person sets aside, holds and freezes or windows, needs a reason (P8).
    """

    sites = forms.RegexField(r"\A[0-9]{1,18}(,[0-9]{1,18})*\Z", max_length=100_000)
    seen = forms.CharField()
    reason = forms.CharField(required=False, max_length=500, label=_("Reason"))
    typed = forms.CharField(required=False)
    through_holds = forms.BooleanField(required=False)
    outside_window = forms.BooleanField(required=False)

    @property
    def waived(self) -> frozenset[Rule]:
        """The rules that are set aside."""
        return frozenset(rule for name, rule in THROUGH.items() if self.cleaned_data.get(name))

    def ids(self) -> list[int]:
        """For a form whose `sites` are valid."""
        return [int(text) for text in self.cleaned_data["sites"].split(",")]

    def require(self, text: str) -> None:
        """Asks for this text, if any, to have been typed, and for the reason where something is set aside."""
        if self.waived and not self.cleaned_data.get("reason", "").strip():
            self.add_error("reason", ValidationError(gettext("Setting a rule aside needs a reason.")))
        _require_typed(self, text)


class UnlockForm(forms.Form):
    """With the last change of the site that the page showed, and the version that it then reported (T7)."""

    seen = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    reported = forms.CharField(required=False, strip=False, max_length=200, widget=forms.HiddenInput)
    note = forms.CharField(
        label=_("What you found on the site"),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("It stays with this upgrade, with your name."),
    )


class ReasonForm(forms.Form):
    """Why somebody does something about a run or an upgrade, and the last change that they saw (T7)."""

    reason = forms.CharField(
        label=_("Reason, shown to everyone"), max_length=1000, widget=forms.Textarea(attrs={"rows": 2})
    )
    seen = forms.IntegerField(min_value=0, widget=forms.HiddenInput)


class RetryForm(forms.Form):
    """Why what failed is tried again, and the fingerprint of the plan that was shown."""

    reason = forms.CharField(
        label=_("Reason: what has changed since it failed"), max_length=500, widget=forms.Textarea(attrs={"rows": 2})
    )
    seen = forms.CharField(widget=forms.HiddenInput, max_length=64)
    typed = forms.CharField(required=False)

    def require(self, text: str) -> None:
        """Asks for this text, if any, to have been typed."""
        _require_typed(self, text)


class NightsForm(forms.Form):
    """What the page was shown to do, and why; switching them on needs no reason."""

    seen = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    switch = forms.ChoiceField(choices=[("on", "on"), ("off", "off")], widget=forms.HiddenInput)
    reason = forms.CharField(
        label=_("Reason, shown to everyone"), required=False, max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
    )  # fmt: skip

    def clean(self) -> dict[str, object]:
        cleaned = super().clean() or {}
        if cleaned.get("switch") == "off" and not cleaned.get("reason"):
            self.add_error("reason", gettext("Switching the nights off needs a reason."))
        return cleaned
