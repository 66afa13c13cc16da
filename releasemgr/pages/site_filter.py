"""Which sites a person means: the filter of the page Sites, and of everything done to a filtered list."""

from decimal import Decimal

import django_filters
from django import forms
from django.utils.translation import gettext_lazy as _

from builds.choices import ChannelName
from builds.models import Problem
from instances.models import Customer, Host, Instance
from instances.querysets import InstanceQuerySet
from releasemgr.pages.tonight_plan import SAVED_VIEWS, TonightPlan

PINNED, UNKNOWN = "pinned", "unknown"


def reported_versions() -> list[tuple[str, str]]:
    """What sites report, newest first, each once. One query."""
    known = Instance.objects.exclude(reported_key=None).order_by("-reported_key").distinct()
    versions = dict.fromkeys(known.values_list("reported_version", flat=True))
    return [*((version, version) for version in versions), (UNKNOWN, str(_("unknown")))]


class SiteFilter(django_filters.FilterSet):  # type: ignore[misc] # the library is not typed
    """An invalid value selects nothing: a mistyped host must not mean every site."""

    q = django_filters.CharFilter(
        method="matching",
        label=_("Customer, site, host or URL"),
        widget=forms.SearchInput(attrs={"placeholder": _("Customer, site, host or URL")}),
    )
    target = django_filters.ChoiceFilter(
        method="with_target",
        label=_("Target"),
        empty_label=_("Any target"),
        choices=[*reversed(ChannelName.choices), (PINNED, _("pinned"))],
    )
    version = django_filters.ChoiceFilter(
        method="running", label=_("Current version"), empty_label=_("Any version"), choices=reported_versions
    )
    host = django_filters.ModelChoiceFilter(
        queryset=Host.objects.all(), to_field_name="name", label=_("Host"), empty_label=_("Any host")
    )
    customer = django_filters.ModelChoiceFilter(
        queryset=Customer.objects.all(), to_field_name="slug", label=_("Customer"), empty_label=_("Any customer")
    )
    problem = django_filters.NumberFilter(method="with_problem", widget=forms.HiddenInput)
    view = django_filters.ChoiceFilter(
        method="in_view",
        choices=[(view.name, view.label) for view in SAVED_VIEWS if view.name],
        widget=forms.HiddenInput,
    )

    def __init__(self, data: object, queryset: InstanceQuerySet, tonight: TonightPlan) -> None:
        self.tonight = tonight
        super().__init__(data, queryset)

    @property
    def chosen(self) -> InstanceQuerySet:
        found: InstanceQuerySet = self.qs if self.is_valid() else self.queryset.none()
        return found

    def given(self) -> dict[str, str]:
        """The filters that are set, as in the address."""
        return {name: self.data[name] for name in self.base_filters if self.data.get(name)}

    def matching(self, sites: InstanceQuerySet, name: str, text: str) -> InstanceQuerySet:
        return sites.matching(text)

    def with_target(self, sites: InstanceQuerySet, name: str, value: str) -> InstanceQuerySet:
        return sites.pinned() if value == PINNED else sites.following(value)

    def running(self, sites: InstanceQuerySet, name: str, value: str) -> InstanceQuerySet:
        return sites.never_reported() if value == UNKNOWN else sites.filter(reported_version=value)

    def with_problem(self, sites: InstanceQuerySet, name: str, value: Decimal) -> InstanceQuerySet:
        """Those that run a version which an open or fixed problem affects."""
        problem = Problem.objects.with_versions().filter(pk=int(value), dismissed_at=None).first()
        if problem is None:
            return sites.none()
        fix = problem.fixed_in.version_key if problem.fixed_in else None
        return sites.running_between(problem.first_affected.version_key, fix)

    def in_view(self, sites: InstanceQuerySet, name: str, value: str) -> InstanceQuerySet:
        view = next(view for view in SAVED_VIEWS if view.name == value)
        return sites.filter(pk__in=self.tonight.holding(view))
