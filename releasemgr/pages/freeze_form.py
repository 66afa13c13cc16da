"""The forms of a freeze: what a person chooses, and the freeze that it makes."""

from copy import copy
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from instances.choices import FreezeScope, RepeatChoice
from instances.exceptions import InvalidInput
from instances.models import Customer, Freeze, SiteWindow, Tag
from instances.recurrence import Recurrence
from instances.repeats import Pattern, Repeat, pattern_of
from instances.services import check_freeze
from instances.windows import moment_of, zone_named
from releasemgr.lib.actors import Origin
from releasemgr.lib.words import local_of

LOCAL = "%Y-%m-%dT%H:%M"
PREVIEW_NEEDS_NOT = ("name", "reason", "seen")


class LocalTimeField(forms.Field):
    """A time on a clock on the wall, whose zone another field names."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format=LOCAL)

    def to_python(self, value: Any) -> datetime | None:
        try:
            read = parse_datetime(value.strip()) if value else None
        except ValueError:
            read = None
        if value and (read is None or read.tzinfo or read.second or not 2000 <= read.year <= 2200):
            raise ValidationError(_("This is not a time. It looks like 2026-11-30 18:00."))
        return read


class ZoneField(forms.CharField):
    """An IANA zone by its exact name. The list offers those that are in use."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.TextInput(attrs={"list": "zones", "autocomplete": "off", "spellcheck": "false"})
        super().__init__(max_length=60, widget=widget, **kwargs)

    def clean(self, value: Any) -> str:
        name: str = super().clean(value)
        try:
            return zone_named(name).key
        except ValueError as fault:
            raise ValidationError(str(fault)) from fault


def zones_in_use() -> list[str]:
    """The installation's zone, and those of windows and freezes. Two queries."""
    found = set(SiteWindow.objects.values_list("zone", flat=True)) | set(Freeze.objects.values_list("zone", flat=True))
    return sorted(found | {settings.TIME_ZONE})


class FreezeForm(forms.Form):
    """`seen` is the freeze's last change that the page showed, 0 for none (T7)."""

    name = forms.CharField(
        max_length=80, label=gettext_lazy("Name"), help_text=gettext_lazy("Such as “Month end” or “December”.")
    )
    scope = forms.ChoiceField(choices=FreezeScope.choices, label=gettext_lazy("Which sites"), initial=FreezeScope.ALL)
    customer = forms.ModelChoiceField(
        Customer.objects.all(), to_field_name="slug", required=False, label=gettext_lazy("Customer"),
        empty_label=gettext_lazy("Choose a customer"),
    )  # fmt: skip
    tag = forms.ModelChoiceField(
        Tag.objects.all(), to_field_name="name", required=False, label=gettext_lazy("Tag"),
        empty_label=gettext_lazy("Choose a tag"),
    )  # fmt: skip
    starts_at = LocalTimeField(label=gettext_lazy("From"))
    ends_at = LocalTimeField(label=gettext_lazy("Until"))
    zone = ZoneField(label=gettext_lazy("Time zone"), help_text=gettext_lazy("Whose clock the times are on."))
    repeats = forms.ChoiceField(choices=RepeatChoice.choices, label=gettext_lazy("Repeats"), initial=RepeatChoice.ONCE)
    weekdays = forms.TypedMultipleChoiceField(
        choices=list(WEEKDAYS.items()), coerce=int, required=False, label=gettext_lazy("On"),
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("None chosen means the weekday on which it first begins."),
    )  # fmt: skip
    day = forms.IntegerField(
        min_value=1, max_value=31, required=False, label=gettext_lazy("Day of the month"),
        help_text=gettext_lazy("Empty means the day on which it first begins. Months without that day are left out."),
    )  # fmt: skip
    rule = forms.CharField(
        max_length=180, required=False, label=gettext_lazy("Rule"), widget=forms.TextInput(attrs={"class": "mono"}),
        help_text=gettext_lazy("Of iCalendar, such as FREQ=MONTHLY;BYDAY=-1FR. The first time has to fit it."),
    )  # fmt: skip
    last_day = forms.DateField(
        required=False, label=gettext_lazy("Repeats until"),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"), input_formats=["%Y-%m-%d"],
        help_text=gettext_lazy("The last day on which it may begin. Empty means without an end."),
    )  # fmt: skip
    reason = forms.CharField(
        max_length=500, label=gettext_lazy("Reason, shown to everyone"), widget=forms.TextInput,
        error_messages={"required": gettext_lazy("A freeze needs a reason.")},
    )  # fmt: skip
    seen = forms.IntegerField(min_value=0, widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, now: datetime, freeze: Freeze | None = None, preview: bool = False, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.now, self.freeze = now, freeze
        for name in PREVIEW_NEEDS_NOT if preview else ():
            self.fields[name].required = False

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        self._clean_scope(found)
        if not self.errors:
            self._clean_times(found)
        if not self.errors:
            self._clean_row()
        return found

    def _clean_scope(self, found: dict[str, Any]) -> None:
        missing = {FreezeScope.CUSTOMER: _("Choose the customer."), FreezeScope.TAG: _("Choose the tag.")}
        for scope, words in missing.items():
            if found.get("scope") != scope:
                found[scope.value] = None
                self.errors.pop(scope.value, None)  # what is not shown is not asked
            elif found.get(scope.value) is None and scope.value not in self.errors:
                self.add_error(scope.value, words)

    def _clean_times(self, found: dict[str, Any]) -> None:
        """The local times as moments, and how it repeats as a rule."""
        zone, first = ZoneInfo(found["zone"]), found["starts_at"]
        found["starts_at"], found["ends_at"] = moment_of(first, zone), moment_of(found["ends_at"], zone)
        pattern = _pattern(found, first)
        if pattern.repeat is Repeat.RULE and not pattern.rule:
            self.add_error("rule", _("Write the rule."))
        found["repeats"] = pattern.as_rule
        if pattern.repeat is not Repeat.RULE and not self.errors:
            self._clean_first(found, pattern, zone)

    def _clean_first(self, found: dict[str, Any], pattern: Pattern, zone: ZoneInfo) -> None:
        """A first time that its own rule does not name is refused, with the next one that fits."""
        rule = replace(pattern, last_day=None).as_rule
        fits = Recurrence(found["starts_at"], found["ends_at"], rule, zone).first_that_fits
        first = found["starts_at"].astimezone(zone).replace(tzinfo=None, fold=0)
        if fits and fits != first:
            next_one = local_of(moment_of(fits, zone), zone, self.now)
            self.add_error("starts_at", _("Its first time has to fit how it repeats. The next is %s.") % next_one)

    def _clean_row(self) -> None:
        """What the database and the rules say about it (P8)."""
        try:
            check_freeze(self.row(), self.now)
        except InvalidInput as refused:
            self.refuse(refused)

    def refuse(self, refused: InvalidInput) -> None:
        """Puts each sentence beside its field."""
        places = {"repeats": "rule" if self.data.get("repeats") == RepeatChoice.RULE else "repeats"}
        for name, sentences in refused.errors.items():
            field = places.get(name, name)
            if field in self.fields and not self.fields[field].required and field in PREVIEW_NEEDS_NOT:
                continue  # a preview needs neither name nor reason
            self.add_error(field if field in self.fields else None, list(sentences))

    def values(self) -> dict[str, Any]:
        """Those of FREEZE_FIELDS. For a valid form."""
        names = ("name", "scope", "customer", "tag", "starts_at", "ends_at", "repeats", "zone", "reason")
        return {name: self.cleaned_data[name] for name in names}

    def row(self) -> Freeze:
        """The freeze as it would be, not saved; one that is changed keeps its number."""
        row = copy(self.freeze) if self.freeze else Freeze(origin=Origin.PAGE, created_at=self.now)
        for name, value in self.values().items():
            setattr(row, name, value)
        return row


def _pattern(found: dict[str, Any], first: datetime) -> Pattern:
    return Pattern(
        Repeat(found["repeats"]),
        weekdays=frozenset(found["weekdays"] or [first.weekday()]),
        day=found["day"] or first.day,
        rule=found["rule"].strip(),
        last_day=found["last_day"],
    )


def initial_of(freeze: Freeze) -> dict[str, Any]:
    """What the form shows of a freeze, without `seen`."""
    zone, pattern = ZoneInfo(freeze.zone), pattern_of(freeze.repeats)
    return {
        "name": freeze.name, "scope": freeze.scope, "zone": freeze.zone, "reason": freeze.reason,
        "customer": freeze.customer.slug if freeze.customer else None, "tag": freeze.tag.name if freeze.tag else None,
        "starts_at": _on_the_wall(freeze.starts_at, zone), "ends_at": _on_the_wall(freeze.ends_at, zone),
        "repeats": pattern.repeat.value, "weekdays": sorted(pattern.weekdays), "day": pattern.day,
        "rule": pattern.rule, "last_day": pattern.last_day,
    }  # fmt: skip


def _on_the_wall(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


class EndForm(forms.Form):
    """Ends a freeze now, or lets it end later: at a time where it comes once, after a day where it comes again."""

    NOW, LATER = "now", "later"

    when = forms.ChoiceField(
        choices=[(NOW, gettext_lazy("Now")), (LATER, gettext_lazy("Later"))], initial=NOW, label=gettext_lazy("When"),
        widget=forms.RadioSelect,
    )  # fmt: skip
    at = LocalTimeField(required=False, label=gettext_lazy("End"))
    reason = forms.CharField(max_length=500, required=False, label=gettext_lazy("Reason (optional)"))
    seen = forms.IntegerField(min_value=0, widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, freeze: Freeze, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.zone = ZoneInfo(freeze.zone)
        if freeze.repeats:
            self.fields["at"].widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
            self.fields["at"].label = _("The last day on which it begins")

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if found.get("when") == self.LATER and not found.get("at") and "at" not in self.errors:
            self.add_error("at", _("Say when it ends."))
        return found

    @property
    def ends_at(self) -> datetime | None:
        """None for now. For a valid form."""
        at: datetime | None = self.cleaned_data["at"]
        return moment_of(at, self.zone) if at and self.cleaned_data["when"] == self.LATER else None
