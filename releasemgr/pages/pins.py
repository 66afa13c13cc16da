"""All pins: whose, why, since when, how each ends, and how far it lags behind the channel that it would follow (T2)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import django_filters
import django_tables2
from django import forms
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_safe
from django_htmx.http import push_url
from django_tables2 import RequestConfig

from builds.maturity import BuildFacts, Maturity, channel_heads, channel_named
from builds.services import gather_builds
from instances.choices import Kind
from instances.models import Instance
from instances.pins import PinEnd
from instances.querysets import InstanceQuerySet
from instances.sentences import end_words
from instances.services import DEFAULT_CHANNEL
from releasemgr.lib import clock
from releasemgr.lib.actors import Origin, name_of
from releasemgr.lib.components import ViewLink
from releasemgr.lib.exports import csv_lines
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import needs
from releasemgr.lib.tables import Table
from releasemgr.templatetags import ui

PER_PAGE = 50
SOON = timedelta(days=7)
SOON_VIEW, NEVER_VIEW = "soon", "never"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Distance:
    """How far a pin is from what its channel means now. `behind` counts builds; negative: the pin is ahead."""

    channel: str
    head: str
    behind: int

    @property
    def words(self) -> str:
        if not self.head:
            return _("%(channel)s has no build") % {"channel": self.channel}
        values = {"n": abs(self.behind), "channel": self.channel, "head": self.head}
        if self.behind > 0:
            text = ngettext(
                "%(n)d build behind %(channel)s, %(head)s", "%(n)d builds behind %(channel)s, %(head)s", self.behind
            )
            return text % values
        if self.behind < 0:
            return _("Ahead of %(channel)s, %(head)s") % values
        return _("The same as %(channel)s") % values


class Distances:
    """Worked out over all builds at once. At most four queries."""

    def __init__(self) -> None:
        self.builds = gather_builds()
        self.heads = channel_heads(self.builds.values())
        self.offered = sorted(build.key for build in self.builds.values() if build.eligible)

    def of(self, site: Instance) -> Distance:
        """`followed` is what the site followed before its pin; see for_pins."""
        name = site.pin_then_id or getattr(site, "followed", None) or DEFAULT_CHANNEL[Kind(site.kind)]
        head, pin = self.heads[channel_named(name)], self.builds[site.target_build_id or 0]
        return Distance(name, head.version if head else "", self._steps(pin, head, channel_named(name)))

    def _steps(self, pin: BuildFacts, head: BuildFacts | None, channel: Maturity) -> int:
        if head is None:
            return 0
        low, high = sorted((pin.key, head.key))
        between = sum(low < key <= high for key in self.offered)
        return between if head.key >= pin.key else -max(1, between)


class PinFilter(django_filters.FilterSet):  # type: ignore[misc] # the library is not typed
    """An invalid value selects nothing."""

    q = django_filters.CharFilter(
        method="matching", label=gettext_lazy("Customer, site, host or URL"),
        widget=forms.SearchInput(attrs={"placeholder": gettext_lazy("Customer, site, host or URL")}),
    )  # fmt: skip
    owner = django_filters.ModelChoiceFilter(
        field_name="pin_owner", queryset=User.objects.all(), to_field_name="username", label=gettext_lazy("Owner"),
        empty_label=gettext_lazy("Any owner"),
    )  # fmt: skip
    view = django_filters.ChoiceFilter(
        method="in_view", choices=[(SOON_VIEW, ""), (NEVER_VIEW, "")], widget=forms.HiddenInput
    )

    def __init__(self, data: object, queryset: InstanceQuerySet, now: datetime) -> None:
        self.now = now
        super().__init__(data, queryset)
        owners = Instance.objects.pinned().exclude(pin_owner=None).order_by().values("pin_owner")
        self.filters["owner"].queryset = User.objects.filter(pk__in=owners).order_by("username")

    @property
    def chosen(self) -> InstanceQuerySet:
        found: InstanceQuerySet = self.qs if self.is_valid() else self.queryset.none()
        return found

    def given(self) -> dict[str, str]:
        return {name: self.data[name] for name in self.base_filters if self.data.get(name)}

    def matching(self, sites: InstanceQuerySet, name: str, text: str) -> InstanceQuerySet:
        return sites.matching(text)

    def in_view(self, sites: InstanceQuerySet, name: str, value: str) -> InstanceQuerySet:
        return in_view(sites, value, self.now)


def in_view(sites: InstanceQuerySet, view: str, now: datetime) -> InstanceQuerySet:
    """Those that end on a date within a week, those that never end, or all."""
    if view == SOON_VIEW:
        return sites.filter(pin_until__lte=now + SOON)
    return sites.filter(pin_ends=PinEnd.NEVER.value) if view == NEVER_VIEW else sites


class PinTable(Table):
    """Needs for_pins(). `distances` is asked for the sites of the page."""

    caption = gettext_lazy("Pins")
    region = "pins"

    slug = django_tables2.Column(gettext_lazy("Site"), attrs={"td": {"class": "l1"}})
    kind = django_tables2.Column(gettext_lazy("Kind"), order_by=("kind", "slug"))
    target_build = django_tables2.Column(
        gettext_lazy("Pinned to"), order_by=("target_build__version_key", "slug"), attrs={"td": {"class": "nowrap"}}
    )
    behind = django_tables2.Column(
        gettext_lazy("Distance"), empty_values=(), orderable=False, attrs={"td": {"class": "full"}}
    )
    ends = django_tables2.Column(
        gettext_lazy("Ends"),
        empty_values=(),
        order_by=("pin_until", "pin_ends", "slug"),
        attrs={"td": {"class": "full"}},
    )
    pin_owner = django_tables2.Column(
        gettext_lazy("Owner"), empty_values=(), order_by=("pin_owner__username", "slug"),
        attrs={"td": {"class": "nowrap"}},
    )  # fmt: skip
    pin_since = django_tables2.Column(
        gettext_lazy("Since"), order_by=("pin_since", "slug"), attrs={"td": {"class": "nowrap"}}
    )
    pin_reason = django_tables2.Column(gettext_lazy("Reason"), orderable=False, attrs={"td": {"class": "full muted"}})

    class Meta:
        order_by = "pin_since"

    def __init__(self, data: Any, distances: Distances, now: datetime, **options: Any) -> None:
        self.distances, self.now = distances, now
        super().__init__(data, **options)

    def render_slug(self, record: Instance) -> SafeString:
        return format_html('<a class="site" href="{}">{}</a>', record.get_absolute_url(), record.slug)

    def render_kind(self, record: Instance) -> SafeString:
        return ui.kind(record.kind)

    def render_target_build(self, record: Instance) -> SafeString:
        url = reverse("build", args=[record.target_build])
        return format_html('{} <a class="ver" href="{}">{}</a>', ui.icon("pin", cls="i-hold"), url, record.target_build)

    def render_behind(self, record: Instance) -> SafeString:
        distance = self.distances.of(record)
        return format_html('<span class="{}">{}</span>', "" if distance.behind > 0 else "muted", distance.words)

    def render_ends(self, record: Instance) -> str:
        return end_words(record.target, self.now)

    def render_pin_owner(self, record: Instance) -> str:
        return owner_of(record)

    def render_pin_since(self, record: Instance) -> SafeString:
        return format_html(
            '{} <span class="muted">{}</span>', ui.when(record.pin_since, "date"), age_of(record, self.now)
        )


def owner_of(site: Instance) -> str:
    """The person, else where the pin came from: a command has no name."""
    return name_of(site.pin_owner, Origin.COMMAND)


def age_of(site: Instance, now: datetime) -> str:
    days = max((now - site.pin_since) // DAY, 0) if site.pin_since else 0
    return ngettext("%(n)d day", "%(n)d days", days) % {"n": days}


@needs("instances.view_instance")
@require_safe
def pins(request: HttpRequest) -> HttpResponse:
    now = clock.now()
    chosen = PinFilter(request.GET, Instance.objects.for_pins(), now)
    table = PinTable(chosen.chosen, Distances(), now)
    RequestConfig(request, paginate={"per_page": PER_PAGE}).configure(table)
    total, given = table.page.paginator.count, chosen.given()
    context = {
        "table": table,
        "total": total,
        "filter": chosen,
        "filtered": bool(given),
        "query": urlencode(given),
        "summary": ngettext("%d pin", "%d pins", total) % total,
        "views": _views(chosen, now),
    }
    if not wants_fragment(request):
        return render(request, "instances/pin_list.html", context)
    address = f"{request.path}?{urlencode(given)}" if given else request.path
    return push_url(render(request, "instances/pin_list.html#pins", context), address)


def _views(chosen: PinFilter, now: datetime) -> list[ViewLink]:
    here, current = reverse("pins"), chosen.data.get("view") or ""
    views = [("", _("All")), (SOON_VIEW, _("End within 7 days")), (NEVER_VIEW, _("Never end"))]
    everything = Instance.objects.pinned().order_by()
    return [
        ViewLink(
            label, f"{here}?view={name}" if name else here, in_view(everything, name, now).count(), name == current
        )
        for name, label in views
    ]


@needs("instances.view_instance")
@require_safe
def pins_csv(request: HttpRequest) -> HttpResponse:
    """The filtered list, whole."""
    now = clock.now()
    chosen = PinFilter(request.GET, Instance.objects.for_pins(), now)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="pins.csv"'
    response.writelines(csv_lines(_csv_rows(chosen.chosen.order_by("pin_since", "slug"), now)))
    return response


def _csv_rows(found: InstanceQuerySet, now: datetime) -> Iterator[list[str]]:
    yield [
        _("Site"), _("Kind"), _("Customer"), _("Pinned to"), _("Runs"), _("Follows then"), _("Its build"),
        _("Builds behind"), _("Ends"), _("Until"), _("Owner"), _("Since"), _("Reason"),
    ]  # fmt: skip
    distances = Distances()
    for site in found:
        distance = distances.of(site)
        yield [
            site.slug, site.get_kind_display(), site.customer.name, str(site.target_build), site.reported_version,
            distance.channel, distance.head, str(distance.behind), end_words(site.target, now),
            site.pin_until.isoformat() if site.pin_until else "", owner_of(site),
            site.pin_since.isoformat() if site.pin_since else "", site.pin_reason,
        ]  # fmt: skip
