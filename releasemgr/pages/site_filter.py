"""Which sites a person means: the filter of the page Sites, and of everything done to a filtered list."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from builds.models import Problem
from builds.versions import key_of, release_of
from instances.choices import Kind
from instances.models import Customer, Host, Tag
from instances.querysets import InstanceQuerySet
from upgrades.selection import (
    FIELDS,
    PINNED,
    TARGETS,
    UNKNOWN,
    Candidate,
    Criteria,
    State,
    VersionTest,
    canonical,
    criteria_of,
)

BESIDE = ("sort", "page", "site", "matching", "all", "through_holds", "outside_window")
"""What else an address of a list, or of an act on one, may have."""

STATE_WORDS = {
    State.OFF_TARGET: gettext_lazy("Off target"),
    State.TONIGHT: gettext_lazy("Upgrading tonight"),
    State.NEEDS_A_PERSON: gettext_lazy("Needs a person"),
    State.HELD: gettext_lazy("On hold"),
    State.FROZEN: gettext_lazy("Frozen"),
    State.PARKED: gettext_lazy("Parked after a failure"),
}
Choices = list[tuple[str, str]]


class VersionsField(django_filters.fields.MultipleChoiceField):  # type: ignore[misc] # the library is not typed
    """Beside the versions in use anything that can be compared with: =4.1, <4.1."""

    def validate(self, value: Sequence[str]) -> None:
        faults = []
        for text in value:
            try:
                VersionTest.read(text)
            except ValueError as fault:
                faults.append(str(fault))
        if faults:
            raise ValidationError(faults)


class VersionsFilter(django_filters.MultipleChoiceFilter):  # type: ignore[misc] # the library is not typed
    field_class = VersionsField


class ProblemsField(django_filters.fields.MultipleChoiceField):  # type: ignore[misc] # the library is not typed
    """By number, with or without its P."""

    def validate(self, value: Sequence[str]) -> None:
        known = {number for number, _title in self.choices}
        faults = [_("There is no problem “%(number)s”.") % {"number": text[:40]} for text in value if text not in known]
        if faults:
            raise ValidationError(faults)

    def to_python(self, value: Any) -> list[str]:
        return [text.upper().removeprefix("P-") for text in super().to_python(value)]


class ProblemsFilter(django_filters.MultipleChoiceFilter):  # type: ignore[misc] # the library is not typed
    field_class = ProblemsField


def _several(label: Any, unknown: Any, **options: Any) -> Any:
    return django_filters.MultipleChoiceFilter(
        label=label, widget=forms.CheckboxSelectMultiple, error_messages={"invalid_choice": unknown}, **options
    )


class SiteFilter(django_filters.FilterSet):  # type: ignore[misc] # the library is not typed
    """Several values may be given for each filter. What is not understood selects nothing, and `faults` says why.

    A mistyped host must not mean every site.
    """

    q = django_filters.CharFilter(
        label=gettext_lazy("Customer, site, host or URL"),
        widget=forms.SearchInput(attrs={"placeholder": gettext_lazy("Customer, site, host or URL")}),
    )
    kind = _several(gettext_lazy("Kind"), gettext_lazy("“%(value)s” is no kind of site."), choices=Kind.choices)
    target = _several(
        gettext_lazy("Target"), gettext_lazy("“%(value)s” is no target: a channel, or pinned."),
        choices=[(name, gettext_lazy("pinned") if name == PINNED else name) for name in TARGETS],
    )  # fmt: skip
    version = VersionsFilter(label=gettext_lazy("Version"), widget=forms.CheckboxSelectMultiple)
    host = _several(gettext_lazy("Host"), gettext_lazy("There is no host “%(value)s”."))
    customer = _several(gettext_lazy("Customer"), gettext_lazy("There is no customer “%(value)s”."))
    tag = _several(gettext_lazy("Tag"), gettext_lazy("There is no tag “%(value)s”."))
    state = _several(
        gettext_lazy("State"), gettext_lazy("“%(value)s” is no state of a site."), choices=list(STATE_WORDS.items())
    )
    problem = ProblemsFilter(label=gettext_lazy("Problem"), widget=forms.CheckboxSelectMultiple)
    owner = _several(gettext_lazy("Pin’s owner"), gettext_lazy("“%(value)s” owns no pin."))

    def __init__(self, data: QueryDict, queryset: InstanceQuerySet, fleet: Sequence[Candidate]) -> None:
        """`fleet` are all sites. Four queries."""
        self.fleet = fleet
        self.given = {name: _texts(data, name) for name in FIELDS if _texts(data, name)}
        self.named = [name for name in data if name not in (*FIELDS, *BESIDE)]
        values = QueryDict(mutable=True)
        for name, texts in self.given.items():
            values.setlist(name, texts)
        super().__init__(values, queryset)
        for name, choices in self._choices().items():
            self.filters[name].extra["choices"] = choices

    def _choices(self) -> dict[str, Choices]:
        owners = sorted({one.owner for one in self.fleet if one.owner})
        return {
            "version": version_choices(self.fleet, self.given.get("version", ())),
            "host": [(name, name) for name in Host.objects.values_list("name", flat=True)],
            "customer": list(Customer.objects.values_list("slug", "name")),
            "tag": [(name, name) for name in Tag.objects.values_list("name", flat=True)],
            "problem": [
                (str(number), f"P-{number} {title}")
                for number, title in Problem.objects.filter(dismissed_at=None).values_list("pk", "title")
            ],
            "owner": [(name, name) for name in owners],
        }

    @cached_property
    def faults(self) -> list[str]:
        """What is wrong with the filter, in sentences."""
        unknown = [_("There is no filter “%(name)s”.") % {"name": name.replace("\x00", "")} for name in self.named]
        wrong = [str(error).replace("\x00", "") for errors in self.form.errors.values() for error in errors]
        return unknown + wrong

    @cached_property
    def criteria(self) -> Criteria:
        """For a filter without faults."""
        return criteria_of(self.given)

    @cached_property
    def found(self) -> list[Candidate]:
        return [] if self.faults else [one for one in self.fleet if self.criteria.take(one)]

    @property
    def chosen(self) -> InstanceQuerySet:
        rows: InstanceQuerySet = self.queryset
        return rows.filter(pk__in=[one.id for one in self.found]) if self.given or self.faults else rows

    @property
    def query(self) -> str:
        """As in an address; equal for equal filters."""
        return canonical(self.given)

    def shown_in_bar(self) -> list[forms.BoundField]:
        """The filters with a list of their own, without those that have nothing to choose from."""
        return [field for field in self.form if field.name != "q" and list(field.field.choices)]

    def parts(self) -> list["Part"]:
        """Each value that is set, with the address of the list without it."""
        return [
            Part(str(self.form.fields[name].label) if name != "q" else _("Text"), self._word(name, text),
                 urlencode([(key, one) for key in self.given for one in self.given[key] if (key, one) != (name, text)]))
            for name in FIELDS
            for text in self.given.get(name, ())
        ]  # fmt: skip

    def _word(self, name: str, text: str) -> str:
        words = {str(key): str(word) for key, word in getattr(self.form.fields[name], "choices", ())}
        return words.get(text, text)


@dataclass(frozen=True)
class Part:
    label: str
    words: str
    without: str


def _texts(data: QueryDict, name: str) -> list[str]:
    return list(dict.fromkeys(text.strip() for text in data.getlist(name) if text.strip()))


def version_choices(fleet: Iterable[Candidate], given: Sequence[str]) -> Choices:
    """What sites report, newest first, each once; a series above its versions; what is looked for beside them.

    A version that is the beginning of another one in use is looked for with “=”.
    """
    spelled: dict[str, str] = {}
    for one in fleet:
        site = one.decision.site
        if site.key is not None and len(site.reported) < len(spelled.get(site.key, site.reported + " ")):
            spelled[site.key] = site.reported
    keys = sorted(spelled, reverse=True)
    choices: Choices = []
    for series, members in groupby(keys, key=_series_of):
        inside = list(members)
        if len(inside) > 1:
            choices.append((series, _("All of %(series)s") % {"series": series}))
        choices += [(_exactly(spelled[key], keys), spelled[key]) for key in inside]
    known = {value for value, _word in choices}
    choices += [(text, text) for text in given if text not in known and text != UNKNOWN]
    return [*choices, (UNKNOWN, _("unknown"))]


def _series_of(key: str) -> str:
    """“4.20” for 4.20.2."""
    epoch, *release = (*release_of(key), 0)
    series = ".".join(str(number) for number in release[:2])
    return f"{epoch}!{series}" if epoch else series


def _exactly(version: str, keys: Sequence[str]) -> str:
    test = VersionTest.read(version)
    return f"={version}" if any(test.takes(key) and key != key_of(version) for key in keys) else version
