"""The rows of sites, on every page that lists some."""

from collections.abc import Mapping
from typing import Any

import django_tables2
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from instances.models import Instance
from releasemgr.lib.tables import SelectColumn, Table
from releasemgr.pages.tonight_plan import is_off_target
from releasemgr.templatetags import ui
from upgrades.plan import Code, Decision
from upgrades.sentences import LOOKS, short_sentence

SETTLED = (Code.UP_TO_DATE,)


def _tonight_class(record: Instance, table: "SiteTable") -> str:
    """A state that needs words has a line of its own on the phone."""
    return "at-end" if table.decisions[record.pk].code in SETTLED else "full"


class SiteTable(Table):
    """`decisions` by id, for at least the sites of the page. Needs for_list() and with_current_build()."""

    caption = gettext_lazy("Sites")
    region = "sites"

    site = SelectColumn(accessor="slug")
    slug = django_tables2.Column(gettext_lazy("Site"), attrs={"td": {"class": "l1"}})
    kind = django_tables2.Column(gettext_lazy("Kind"), order_by=("kind", "slug"))
    customer = django_tables2.Column(
        gettext_lazy("Customer"), order_by=("customer__name", "slug"), attrs={"td": {"class": "muted nowrap hide-sm"}}
    )
    target = django_tables2.Column(gettext_lazy("Target"), order_by=("target_channel", "target_build__version_key"))
    reported_version = django_tables2.Column(
        gettext_lazy("Current"), order_by=("reported_key", "slug"), empty_values=(), attrs={"td": {"class": "nowrap"}}
    )
    tonight = django_tables2.Column(
        gettext_lazy("Tonight"), empty_values=(), orderable=False, attrs={"td": {"class": _tonight_class}}
    )
    host = django_tables2.Column(
        gettext_lazy("Host"), order_by=("host__name", "slug"), attrs={"td": {"class": "muted nowrap hide-sm"}}
    )

    class Meta:
        order_by = "slug"

    def __init__(self, data: Any, decisions: Mapping[int, Decision], **options: Any) -> None:
        self.decisions = decisions
        super().__init__(data, **options)

    def render_slug(self, record: Instance) -> SafeString:
        return format_html('<a class="site" href="{}">{}</a>', record.get_absolute_url(), record.slug)

    def render_kind(self, record: Instance) -> SafeString:
        return ui.kind(record.kind)

    def render_customer(self, record: Instance) -> SafeString:
        url = reverse("customer", args=[record.customer.slug])
        return format_html('<a class="text-reset" href="{}">{}</a>', url, record.customer)

    def render_host(self, record: Instance) -> SafeString:
        return format_html('<a class="text-reset" href="{}">{}</a>', record.host.get_absolute_url(), record.host)

    def render_target(self, record: Instance) -> SafeString:
        to = self.decisions[record.pk].to
        return target_cell(record, to.version if to else None)

    def render_reported_version(self, record: Instance) -> SafeString:
        decision = self.decisions[record.pk]
        behind = format_html(
            ' <span class="muted">{}</span>', ui.icon("chevrons-down", _("behind its target"))
        )  # fmt: skip
        return format_html("{}{}", version_link(record), behind if _is_behind(decision) else "")

    def render_tonight(self, record: Instance) -> SafeString:
        return tonight_cell(self.decisions[record.pk])


def _is_behind(decision: Decision) -> bool:
    key = decision.site.key
    return is_off_target(decision) and key is not None and decision.to is not None and key < decision.to.key


def target_cell(site: Instance, version: str | None) -> SafeString:
    if site.target_channel_id:
        return ui.channel(site.target_channel_id, version)
    return format_html(
        '<span class="ch">{}<span>{} <b class="strong">{}</b></span></span>',
        ui.icon("pin", cls="i-hold"), _("pinned"), site.target_build,
    )  # fmt: skip


def version_link(site: Instance) -> SafeString:
    """What the site reported, leading to that build where there is one."""
    build = getattr(site, "current_build", None)
    if build:
        return format_html('<a class="ver" href="{}">{}</a>', reverse("build", args=[build]), site.reported_version)
    return format_html('<span class="{}">{}</span>', *_without_build(site))


def _without_build(site: Instance) -> tuple[str, str]:
    if site.reported_key is None:
        return "muted", _("unknown")
    return "ver", site.reported_version


def tonight_cell(decision: Decision) -> SafeString:
    """What tonight does in a few words, and beside it that the site is locked, if it is."""
    locked = decision.site.needs_a_person is not None and decision.code is not Code.NEEDS_A_PERSON
    also = format_html(" {}", ui.state(LOOKS[Code.NEEDS_A_PERSON])) if locked else ""
    if decision.code in SETTLED:
        return format_html('<span class="muted">{}</span>{}', LOOKS[decision.code].label, also)
    return format_html("{}{}", ui.state(LOOKS[decision.code], short_sentence(decision)), also)
