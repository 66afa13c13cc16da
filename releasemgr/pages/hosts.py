"""Hosts: how each stands, and its sites."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import django_tables2
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_safe
from django_tables2 import RequestConfig

from instances.choices import NEEDS_A_LOOK, HostState
from instances.host_keys import shown_fingerprint, type_of
from instances.models import Host, Instance
from releasemgr.lib import clock, words
from releasemgr.lib.components import ViewLink
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import needs
from releasemgr.lib.tables import Table
from releasemgr.pages.activity import activity_of
from releasemgr.pages.host_form import ADD, EDIT
from releasemgr.pages.renamed import renamed_or_404
from releasemgr.pages.site_table import SiteTable
from releasemgr.pages.tonight_plan import plan_of_tonight
from releasemgr.roles import roles_with
from releasemgr.templatetags import ui
from upgrades.services.addresses import address_of

APPROVE = "instances.approve_host_key"
PER_PAGE = 50
PATIENCE = timedelta(minutes=2)
"""For a worker to take up a scan."""


class HostTable(Table):
    """`upgrades` is how many each host has tonight, by its name. Needs for_list()."""

    caption = gettext_lazy("Hosts")
    region = "hosts"

    name = django_tables2.Column(gettext_lazy("Host"), attrs={"td": {"class": "l1"}})
    address = django_tables2.Column(
        gettext_lazy("Address"), orderable=False, attrs={"td": {"class": "muted nowrap hide-sm"}}
    )
    state = django_tables2.Column(gettext_lazy("State"), orderable=False, attrs={"td": {"class": "full"}})
    contacted_at = django_tables2.Column(
        gettext_lazy("Last contact"), empty_values=(), attrs={"td": {"class": "muted nowrap hide-sm"}}
    )
    live_sites = django_tables2.Column(
        gettext_lazy("Live"), attrs={"th": {"class": "num"}, "td": {"class": "num hide-sm"}}
    )
    test_sites = django_tables2.Column(
        gettext_lazy("Test"), attrs={"th": {"class": "num"}, "td": {"class": "num hide-sm"}}
    )
    tonight = django_tables2.Column(
        gettext_lazy("Upgrades tonight"), empty_values=(), orderable=False,
        attrs={"th": {"class": "num"}, "td": {"class": "num hide-sm"}},
    )  # fmt: skip
    max_parallel = django_tables2.Column(
        gettext_lazy("At once"), attrs={"th": {"class": "num"}, "td": {"class": "num muted hide-sm"}}
    )

    class Meta:
        order_by = "name"

    def __init__(self, data: Any, upgrades: Counter[str], **options: Any) -> None:
        self.upgrades = upgrades
        super().__init__(data, **options)

    def render_name(self, record: Host) -> SafeString:
        return format_html('<a class="site" href="{}">{}</a>', record.get_absolute_url(), record.name)

    def render_address(self, record: Host) -> str:
        return f"{record.address}:{record.port}"

    def render_state(self, record: Host) -> SafeString:
        return state_cell(record)

    def render_contacted_at(self, record: Host) -> SafeString:
        return ui.when(record.contacted_at, empty=_("never"))

    def render_live_sites(self, value: int) -> SafeString:
        return _number(value)

    def render_test_sites(self, value: int) -> SafeString:
        return _number(value)

    def render_tonight(self, record: Host) -> SafeString:
        number = self.upgrades[record.name]
        return format_html('<b class="strong">{}</b>', number) if number else _number(0)


def _number(value: int) -> SafeString:
    return format_html("{}" if value else '<span class="muted">{}</span>', value)


def state_cell(host: Host) -> SafeString:
    """The state, since when, and below it why."""
    text = ""
    if host.state is HostState.NOT_ANSWERING and host.failing_since:
        since = words.moment_of(host.failing_since, clock.now())
        text = _("%(state)s since %(moment)s") % {"state": host.state.label, "moment": since}
    failure = format_html('<div class="err">{}</div>', host.failure) if host.failure else ""
    return format_html("{}{}", ui.state(host.state, text), failure)


@needs("instances.view_host")
@require_safe
def hosts(request: HttpRequest) -> HttpResponse:
    upgrades = Counter(
        decision.site.host for decision in plan_of_tonight(clock.now(), request).decisions.values() if decision.upgrades
    )
    found = list(Host.objects.for_list())
    attention = [host for host in found if host.state in NEEDS_A_LOOK]
    only_attention = request.GET.get("view") == "attention"
    table = HostTable(attention if only_attention else found, upgrades)
    RequestConfig(request, paginate={"per_page": PER_PAGE}).configure(table)
    here = reverse("hosts")
    context = {
        "table": table,
        "total": table.page.paginator.count,
        "may_add": request.user.has_perm(ADD),
        "number": ngettext("%d host", "%d hosts", len(found)) % len(found),
        "views": [
            ViewLink(_("All"), here, len(found), not only_attention),
            ViewLink(_("Needs attention"), f"{here}?view=attention", len(attention), only_attention),
        ],
    }
    return render(request, f"instances/host_list.html{'#hosts' if wants_fragment(request) else ''}", context)


@needs("instances.view_host")
@require_safe
def host(request: HttpRequest, name: str) -> HttpResponse:
    """Also by a name that it had before."""
    try:
        return page_of(request, load(name))
    except Http404:
        return redirect(renamed_or_404(Host, name), permanent=True)


def load(name: str) -> Host:
    return get_object_or_404(Host.objects.select_related("host_key_approved_by", "host_key_authority"), name=name)


def page_of(
    request: HttpRequest, shown: Host, *, refused: Mapping[str, str] | None = None, typed: str = "", status: int = 200
) -> HttpResponse:
    sites = Instance.objects.for_list().with_current_build().filter(host=shown)
    table = SiteTable(sites, plan_of_tonight(clock.now(), request).decisions, exclude=("site", "host", "window"))
    table.region = ""
    RequestConfig(request, paginate={"per_page": PER_PAGE}).configure(table)
    address = address_of(shown)
    context = {
        "host": shown,
        "table": table,
        "state": state_cell(shown),
        "pinned": shown_fingerprint(shown.host_key),
        "offered": shown_fingerprint(shown.offered_key),
        "key_types": (type_of(shown.host_key), type_of(shown.offered_key)),
        "key_file": _key_file(shown.offered_key),
        "scan": scan_of(shown),
        "identity": address.identity,
        "hops": [hop.name for hop in reversed(address.hops)],
        "behind": shown.behind.order_by("name"),
        "lines": activity_of(shown),
        "may_edit": request.user.has_perm(EDIT),
        "may_approve": request.user.has_perm(APPROVE),
        "who_may_approve": roles_with(APPROVE)[0],
        "refused": refused or {},
        "typed_reason": typed,
    }
    return render(request, "instances/host_detail.html", context, status=status)


def _key_file(key: str) -> str:
    """Where OpenSSH keeps the public key of this type on the host."""
    kind = type_of(key).removeprefix("ssh-").partition("-")[0]
    return f"/etc/ssh/ssh_host_{kind}_key.pub" if kind.isalnum() else ""


@dataclass(frozen=True)
class Scan:
    """What is said of the last scan of a host's key; `running` asks again in a moment."""

    text: str
    running: bool = False
    failed: bool = False


def scan_of(shown: Host) -> Scan | None:
    """None where it was never asked for its key by a person."""
    now = clock.now()
    if shown.is_being_scanned and shown.scan_asked_at:
        if now - shown.scan_asked_at < PATIENCE:
            return Scan(_("%(host)s is being asked for its key.") % {"host": shown}, running=True)
        return Scan(_("No worker took up the scan. Look whether “manage.py serve” runs."), failed=True)
    if shown.scanned_at is None:
        return None
    moment = words.moment_of(shown.scanned_at, now)
    if shown.scan_failure:
        return Scan(_("%(moment)s: %(failure)s") % {"moment": moment, "failure": shown.scan_failure}, failed=True)
    if shown.offered_key:
        return Scan(_("%(moment)s: it offered a key that nobody approved.") % {"moment": moment}, failed=True)
    return Scan(_("%(moment)s: it offered the approved key.") % {"moment": moment})
