"""Which changes a person means: the filter of the page Activity and of its exports."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time

import django_filters
from django import forms
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from builds.models import Build
from builds.versions import key_of
from instances.models import Customer, Host, Instance
from releasemgr.lib.actors import Origin, name_of
from releasemgr.lib.history.models import Change
from releasemgr.pages.activity_words import GROUPS, OTHER, kinds_in

Changes = QuerySet[Change]


def people() -> list[tuple[str, str]]:
    """Who ever changed something. One query."""
    found = User.objects.filter(Exists(Change.objects.filter(by=OuterRef("pk")))).order_by("username")
    return [(user.username, name_of(user, "")) for user in found]


def _day_field(label: object) -> dict[str, object]:
    return {"label": label, "widget": forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})}


class ActivityForm(forms.Form):
    def clean(self) -> None:
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since and until and since > until:
            self.add_error("until", _("This day is before the first one."))


class ActivityFilter(django_filters.FilterSet):  # type: ignore[misc] # the library is not typed
    """An invalid value selects nothing and is told: an auditor must not take another list for the one asked for."""

    q = django_filters.CharFilter(
        method="matching", label=gettext_lazy("Name or reason"),
        widget=forms.SearchInput(attrs={"placeholder": gettext_lazy("Name or reason")}),
    )  # fmt: skip
    about = django_filters.CharFilter(
        method="concerning", label=gettext_lazy("Site, customer, host or build"),
        widget=forms.TextInput(attrs={"placeholder": gettext_lazy("Site, customer, host or build")}),
    )  # fmt: skip
    group = django_filters.ChoiceFilter(
        method="in_group", label=gettext_lazy("What"), empty_label=gettext_lazy("Any change"),
        choices=[*((group.key, group.label) for group in GROUPS), (OTHER, gettext_lazy("Something else"))],
    )  # fmt: skip
    person = django_filters.ChoiceFilter(
        field_name="by__username", label=gettext_lazy("Who"), empty_label=gettext_lazy("Anyone"), choices=people
    )
    origin = django_filters.ChoiceFilter(
        label=gettext_lazy("From where"), empty_label=gettext_lazy("From anywhere"), choices=Origin.choices
    )
    since = django_filters.DateFilter(method="not_before", **_day_field(gettext_lazy("From")))
    until = django_filters.DateFilter(method="not_after", **_day_field(gettext_lazy("To")))

    class Meta:
        form = ActivityForm

    @property
    def chosen(self) -> Changes:
        """Newest first."""
        found: Changes = self.qs if self.is_valid() else self.queryset.none()
        return found

    @property
    def refusals(self) -> list[str]:
        """What is wrong with the filters, each with the field's name. Empty if nothing is."""
        return [
            _("%(field)s: %(error)s") % {"field": self.form.fields[name].label, "error": error}
            for name, errors in self.form.errors.items()
            for error in errors
        ]

    def given(self) -> dict[str, str]:
        """The filters that are set, as in the address."""
        return {name: self.data[name] for name in self.base_filters if self.data.get(name)}

    def matching(self, changes: Changes, name: str, text: str) -> Changes:
        return changes.filter(Q(subject_name__icontains=text) | Q(reason__icontains=text))

    def concerning(self, changes: Changes, name: str, text: str) -> Changes:
        return changes.annotate(
            _before=Cast("before", TextField()), _after=Cast("after", TextField())
        ).filter(concerning(text))  # fmt: skip

    def in_group(self, changes: Changes, name: str, group: str) -> Changes:
        return changes.filter(kinds_in(group))

    def not_before(self, changes: Changes, name: str, day: date) -> Changes:
        return changes.filter(at__gte=datetime.combine(day, time.min, UTC))

    def not_after(self, changes: Changes, name: str, day: date) -> Changes:
        return changes.filter(at__lte=datetime.combine(day, time.max, UTC))


def concerning(text: str) -> Q:
    """Changes of what is called so, of a customer's sites too, and those that name it. Five queries.

    Where nothing has exactly that name, of everything whose name has it as a part.
    """
    text = text.strip()
    key = key_of(text)
    builds = dict(Build.objects.filter(version_key=key).values_list("pk", "version")) if key else {}
    found = _named(text, "iexact")
    if any(found) or builds:
        names = {*builds.values(), *(name for rows in found for name in rows.values())}
        return _subjects(*found, builds) | _mentioned(names)
    return _subjects(*_named(text, "icontains"), builds)


def _named(text: str, how: str) -> tuple[dict[int, str], dict[int, str], dict[int, str]]:
    """Sites, customers and hosts: their names by their ids."""
    called = Q(**{f"slug__{how}": text}) | Q(**{f"name__{how}": text})
    return (
        dict(Instance.objects.filter(**{f"slug__{how}": text}).values_list("pk", "slug")),
        dict(Customer.objects.filter(called).values_list("pk", "name")),
        dict(Host.objects.filter(**{f"name__{how}": text}).values_list("pk", "name")),
    )


def _subjects(sites: dict[int, str], customers: dict[int, str], hosts: dict[int, str], builds: dict[int, str]) -> Q:
    theirs = Instance.objects.filter(customer__in=customers).values_list("pk", flat=True) if customers else []
    return (
        _subject("instance", {*sites, *theirs}) | _subject("customer", customers) | _subject("host", hosts)
        | _subject("build", builds)
    )  # fmt: skip


def _subject(kind: str, numbers: Iterable[int]) -> Q:
    return Q(subject_type=kind, subject_id__in=[str(number) for number in numbers])


def _mentioned(names: Iterable[str]) -> Q:
    """As a whole word in what was before or after: a hold names its site, a problem its build."""
    any_of = "|".join(re.escape(name) for name in sorted(names))
    whole = rf"(^|[^\w.+-])({any_of})($|[^\w.+-])"
    return Q(_before__regex=whole) | Q(_after__regex=whole)
