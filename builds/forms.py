"""What a person says about a build, a known problem or a channel."""

from datetime import timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from builds.choices import SeverityChoice
from builds.maturity import Severity
from builds.models import Build, Channel, Problem
from builds.services import UNANSWERED, Unanswered

LONGEST_REASON = 2000
NOBODY = "none"


class RowsField(forms.JSONField):
    """The rows of a preview by the site's id. What cannot be read is as if nothing had been shown."""

    def to_python(self, value: Any) -> Any:
        try:
            rows = super().to_python(value)
        except (ValidationError, ValueError, RecursionError):
            return {}
        return {str(site): str(said) for site, said in rows.items()} if isinstance(rows, dict) else {}


class SeenField(forms.IntegerField):
    """The number of a thing's last change that the page showed, 0 for none (T7)."""

    def __init__(self) -> None:
        super().__init__(min_value=0, max_value=2**63 - 1, widget=forms.HiddenInput)


class ReasonField(forms.CharField):
    """`required` has the sentence for whoever gives none; without one it is optional."""

    def __init__(self, required: Any = "", label: Any = "") -> None:
        named = (
            gettext_lazy("Reason, shown to everyone") if required else gettext_lazy("Note for the record (optional)")
        )
        super().__init__(
            label=label or named, required=bool(required), max_length=LONGEST_REASON,
            widget=forms.Textarea(attrs={"rows": 2}), error_messages={"required": required},
        )  # fmt: skip


class BuildField(forms.ModelChoiceField):  # type: ignore[type-arg] # generic in the stubs alone
    """A build by its version, newest first."""

    def __init__(self, **more: Any) -> None:
        builds = Build.objects.newest_first().defer("changelog")
        super().__init__(
            builds, to_field_name="version",
            error_messages={
                "invalid_choice": gettext_lazy("There is no build %(value)s."),
                "required": gettext_lazy("Choose a build."),
            }, **more,
        )  # fmt: skip


class MoveForm(forms.Form):
    """`seen` is the fingerprint of the effect that the page showed, `shown` its rows, to mark what differs.

    Going back needs a reason (R5).
    """

    reason = forms.CharField(required=False, max_length=LONGEST_REASON, strip=True)
    seen = forms.CharField(max_length=64, widget=forms.HiddenInput)
    shown = RowsField(required=False, widget=forms.HiddenInput)
    last_change = SeenField()

    def __init__(self, *args: Any, demotes: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        reason = self.fields["reason"]
        reason.required = demotes
        reason.label = _("Reason, shown to everyone") if demotes else _("Note for the record (optional)")
        reason.widget.attrs["placeholder"] = reason.label
        reason.error_messages["required"] = _("Going back needs a reason.")


class TypedVersionForm(forms.Form):
    """What is wide or final asks for the build's version, typed."""

    version = forms.CharField(
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "off", "class": "mono max-16"}),
        error_messages={"required": gettext_lazy("Type the version.")},
    )

    def __init__(self, *args: Any, build: Build, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.build = build
        self.fields["version"].label = _("Type %(version)s to confirm") % {"version": build.version}

    def clean_version(self) -> str:
        typed: str = self.cleaned_data["version"]
        if typed != self.build.version:
            raise ValidationError(_("That is not %(version)s.") % {"version": self.build.version})
        return typed


class OverrideForm(TypedVersionForm):
    """Promotes through the gates that the person saw fail: `keys`, as `Judgement.keys` names them (R8)."""

    reason = ReasonField(gettext_lazy("Promoting through a failing gate needs a reason."))
    keys = forms.CharField(max_length=10_000, widget=forms.HiddenInput)
    seen = forms.CharField(max_length=64, widget=forms.HiddenInput)
    shown = RowsField(required=False, widget=forms.HiddenInput)
    last_change = SeenField()

    field_order = ("reason", "version")

    def gates(self) -> frozenset[str]:
        """What the page showed, also where the form is refused."""
        return frozenset(str(self.data.get("keys", "")).split())


class WithdrawalForm(TypedVersionForm):
    """A withdrawal is for ever (R9). What takes the place of a stepping stone is answered, if only with none (T8)."""

    reason = ReasonField(gettext_lazy("Withdrawing needs a reason."))
    replacement = forms.ChoiceField(
        label=gettext_lazy("What takes its place as a stepping stone"),
        help_text=gettext_lazy("Every site must pass through this build on its way to a later one."),
        error_messages={
            "required": gettext_lazy("Say which build takes its place, or that none does."),
            "invalid_choice": gettext_lazy("%(value)s cannot take its place."),
        },
    )
    seen = forms.CharField(max_length=64, widget=forms.HiddenInput)
    shown = RowsField(required=False, widget=forms.HiddenInput)
    last_change = SeenField()

    field_order = ("reason", "replacement", "version")

    def __init__(self, *args: Any, build: Build, **kwargs: Any) -> None:
        super().__init__(*args, build=build, **kwargs)
        if build.stepping_stone:
            self.fields["replacement"].choices = _replacements(build)  # type: ignore[attr-defined] # a ChoiceField
        else:
            del self.fields["replacement"]

    def chosen(self) -> Build | Unanswered | None:
        """For a valid form."""
        version = self.cleaned_data.get("replacement", "")
        if not version:
            return UNANSWERED
        return None if version == NOBODY else Build.objects.get(version=version)


def _replacements(build: Build) -> list[tuple[str, Any]]:
    others = Build.objects.pinnable().exclude(pk=build.pk).values_list("version", flat=True)
    return [("", _("Choose…")), (NOBODY, _("No build takes its place")), *((one, one) for one in others)]


class ReplacementForm(forms.Form):
    """Enough for a preview of a withdrawal: what is not understood is as if nothing took its place."""

    replacement = BuildField(required=False)


class BuildActForm(forms.Form):
    reason = ReasonField()
    seen = SeenField()


class ProblemForm(forms.Form):
    """What is known of a problem. Enough for a preview where `severity` and `first_affected` are right."""

    severity = forms.ChoiceField(
        label=gettext_lazy("Severity"),
        choices=[
            (SeverityChoice.BLOCKER, gettext_lazy("Blocker: keeps its builds out of release and stable")),
            (SeverityChoice.MINOR, gettext_lazy("Minor: shown, and acknowledged by name for stable")),
        ],
        widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy("Choose how bad it is.")},
    )
    title = forms.CharField(
        label=gettext_lazy("What goes wrong"), max_length=200,
        error_messages={"required": gettext_lazy("Say what goes wrong.")},
    )  # fmt: skip
    first_affected = BuildField(
        label=gettext_lazy("First affected build"),
        help_text=gettext_lazy("It and every build after it have the problem, until one fixes it."),
    )
    url = forms.URLField(
        label=gettext_lazy("Link to where it is worked on (optional)"), required=False, max_length=500,
        assume_scheme="https", validators=[URLValidator(["http", "https"])],
    )  # fmt: skip
    reason = ReasonField()

    def as_problem(self, problem: Problem) -> Problem | None:
        """The problem as this form says it, not saved. None while too little of it can be understood."""
        values = self.cleaned_data
        if not values.get("severity") or not values.get("first_affected"):
            return None
        problem.severity, problem.first_affected = values["severity"], values["first_affected"]
        problem.title = values.get("title", "")
        return problem

    def said(self) -> dict[str, Any]:
        """For a valid form, as the services take it."""
        values = self.cleaned_data
        return {
            "severity": Severity(values["severity"]), "title": values["title"], "url": values["url"],
            "first_affected": values["first_affected"], "reason": values["reason"],
        }  # fmt: skip


class ProblemChangeForm(ProblemForm):
    seen = SeenField()


class FixForm(forms.Form):
    fixed_in = BuildField(
        label=gettext_lazy("Fixed in"),
        help_text=gettext_lazy("This build and those after it are without the problem. The ones before keep it."),
    )
    reason = ReasonField()
    seen = SeenField()


class DismissalForm(forms.Form):
    reason = ReasonField(gettext_lazy("Dismissing a problem needs a reason."))
    seen = SeenField()


class ReopeningForm(forms.Form):
    reason = ReasonField()
    seen = SeenField()


class AcknowledgementForm(forms.Form):
    reason = ReasonField(gettext_lazy("Acknowledging a problem needs a reason."))
    seen = SeenField()


class ReleaseForm(forms.Form):
    """Offers the builds of a halt again."""

    reason = ReasonField(gettext_lazy("Offering a build again needs a reason."))
    seen = SeenField()


class ChannelPolicyForm(forms.Form):
    """How long a build soaks before it enters a channel (R6), and whether the night promotes into it (R10)."""

    UNITS = {"days": timedelta(days=1), "hours": timedelta(hours=1), "minutes": timedelta(minutes=1)}

    amount = forms.IntegerField(
        label=gettext_lazy("Soak time"), min_value=0, max_value=365 * 24 * 60,
        error_messages={"required": gettext_lazy("Say how long, 0 for not at all.")},
    )  # fmt: skip
    unit = forms.ChoiceField(
        label=gettext_lazy("Unit"),
        choices=[
            ("days", gettext_lazy("days")), ("hours", gettext_lazy("hours")), ("minutes", gettext_lazy("minutes")),
        ],
    )  # fmt: skip
    automatic = forms.BooleanField(label=gettext_lazy("Promote by itself"), required=False)
    reason = ReasonField()
    seen = SeenField()

    @classmethod
    def initial_of(cls, channel: Channel) -> dict[str, Any]:
        """In the largest unit of which it is a whole number."""
        unit = next((name for name, one in cls.UNITS.items() if not channel.soak % one), "minutes")
        return {"amount": channel.soak // cls.UNITS[unit], "unit": unit, "automatic": channel.automatic}

    def soak(self) -> timedelta | None:
        """None while it cannot be understood."""
        amount: int | None = self.cleaned_data.get("amount")
        unit = self.UNITS.get(self.cleaned_data.get("unit", ""))
        return None if amount is None or unit is None else amount * unit
