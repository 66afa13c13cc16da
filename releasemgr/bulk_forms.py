"""What a person says when changing many sites at once (T9)."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from builds.choices import ChannelName
from builds.forms import LONGEST_REASON, RowsField
from builds.models import Build
from instances.choices import PinEndChoice
from instances.forms import PIN
from instances.models import Tag, Target
from instances.pins import PinEnd

MOMENT = {"invalid": gettext_lazy("This is not a time. It looks like 2026-11-24 01:00.")}


class MomentField(forms.DateTimeField):
    """A time in the installation's zone, from the browser's own field."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"})

    def __init__(self, **options: Any) -> None:
        super().__init__(error_messages=MOMENT | options.pop("error_messages", {}), **options)


class SeenOfAllField(forms.RegexField):
    """The last change of each site, by the site's id, written “12:345,13:0” (T7)."""

    widget = forms.HiddenInput

    def __init__(self, **options: Any) -> None:
        super().__init__(r"\A[0-9]{1,18}:[0-9]{1,18}(,[0-9]{1,18}:[0-9]{1,18})*\Z", max_length=200_000, **options)

    def clean(self, value: Any) -> dict[int, int]:
        pairs = (pair.split(":") for pair in super().clean(value).split(","))
        return {int(site): int(change) for site, change in pairs}

    @staticmethod
    def text(seen: Mapping[int, int]) -> str:
        return ",".join(f"{site}:{change}" for site, change in seen.items())


class BulkForm(forms.Form):
    """The sites by id, the last change of each that the page showed (T7), and the effect that it showed.

    `shown` is the fingerprint of the effect and `rows` its rows, to mark what differs; `query` the list to go back to.
    """

    needs_reason: ClassVar[str | Promise] = ""
    CHOICE: ClassVar[tuple[str, ...]] = ()
    """The fields that decide on the effect."""

    sites = forms.RegexField(r"\A[0-9]{1,18}(,[0-9]{1,18})*\Z", max_length=100_000)
    seen = SeenOfAllField()
    shown = forms.CharField(required=False, max_length=64)
    rows = RowsField(required=False)
    query = forms.CharField(required=False, max_length=4000)
    reason = forms.CharField(required=False, max_length=LONGEST_REASON, label=gettext_lazy("Reason"))
    typed = forms.CharField(required=False)

    def ids(self) -> list[int]:
        """For a form whose `sites` are valid."""
        return [int(text) for text in self.cleaned_data["sites"].split(",")]

    @property
    def says_what(self) -> bool:
        """Whether what was chosen is enough for its effect to be shown."""
        return self.is_bound and not any(name in self.errors for name in ("sites", "seen", *self.CHOICE))

    def require(self, text: str) -> None:
        """Asks for the reason, and for this text, if any, to have been typed."""
        if self.wants_reason() and not self.cleaned_data.get("reason", "").strip():
            self.add_error("reason", ValidationError(str(self.needs_reason)))
        if text and self.cleaned_data.get("typed", "").strip() != text:
            self.add_error("typed", ValidationError(_("Type %(text)s to confirm.") % {"text": text}))

    def wants_reason(self) -> bool:
        return bool(self.needs_reason)


class BulkTargetForm(BulkForm):
    needs_reason = gettext_lazy("Pinning sites needs a reason.")
    CHOICE = ("target", "build", "ends", "until", "then", "downgrade")

    target = forms.ChoiceField(
        choices=[*ChannelName.choices, (PIN, gettext_lazy("pin"))],
        error_messages={"required": gettext_lazy("Choose a channel or a pin.")},
    )
    build = forms.ModelChoiceField(
        Build.objects.all(), to_field_name="version", required=False,
        error_messages={"invalid_choice": gettext_lazy("There is no build %(value)s.")},
    )  # fmt: skip
    ends = forms.ChoiceField(choices=PinEndChoice.choices, required=False)
    until = MomentField(required=False)
    then = forms.ChoiceField(choices=[("", ""), *ChannelName.choices], required=False)
    downgrade = forms.BooleanField(required=False)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("target") != PIN:
            for name in ("build", "ends", "until", "then", "downgrade"):
                self.errors.pop(name, None)  # hidden, and without a meaning
            return values
        if not values.get("build") and "build" not in self.errors:
            self.add_error("build", _("Choose the version to pin."))
        if values.get("ends") == PinEndChoice.ON_DATE and not values.get("until") and "until" not in self.errors:
            self.add_error("until", _("Choose when the pin ends."))
        return values

    def wants_reason(self) -> bool:
        return self.cleaned_data.get("target") == PIN

    def chosen(self) -> Target:
        """For a form that says what."""
        said = self.cleaned_data
        if said["target"] != PIN:
            return Target(channel=said["target"])
        ends = PinEnd(said["ends"] or PinEnd.NEVER)
        until = said["until"] if ends is PinEnd.ON_DATE else None
        then = None if ends is PinEnd.NEVER else said["then"] or None
        return Target(build=said["build"], ends=ends, until=until, then=then)


class BulkHoldForm(BulkForm):
    needs_reason = gettext_lazy("Holding sites needs a reason.")
    CHOICE = ("until", "begins")

    until = MomentField(error_messages={"required": gettext_lazy("Choose until when.")})
    begins = MomentField(required=False)


class BulkEndHoldsForm(BulkForm):
    pass


class BulkTagsForm(BulkForm):
    CHOICE = ("add", "remove")

    add = forms.CharField(required=False, max_length=600)
    remove = forms.CharField(required=False, max_length=600)

    def clean_add(self) -> list[str]:
        return _tags(self.cleaned_data["add"])

    def clean_remove(self) -> list[str]:
        return _tags(self.cleaned_data["remove"])

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if not values.get("add") and not values.get("remove") and not self.errors:
            self.add_error("add", _("Name a tag to add or to remove."))
        if both := set(values.get("add") or ()) & set(values.get("remove") or ()):
            self.add_error("remove", _("Added and removed at once: %(tags)s.") % {"tags": ", ".join(sorted(both))})
        return values


def _tags(text: str) -> list[str]:
    """The words of a line. Raises ValidationError for what is no tag."""
    names = list(dict.fromkeys(text.replace(",", " ").lower().split()))
    for name in names:
        try:
            Tag(name=name).clean_fields()
        except ValidationError as error:
            words = _("“%(tag)s” is not a tag: letters, digits, hyphens, underscores.") % {"tag": name}
            raise ValidationError(words) from error
    return names


class UndoForm(BulkForm):
    pass
