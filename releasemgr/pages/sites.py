"""Sites: saved views, filters, the table, the export; and a customer's sites."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Page
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe
from django_htmx.http import push_url
from django_tables2 import RequestConfig

from instances.models import Instance
from instances.querysets import InstanceQuerySet
from instances.sentences import target_words
from releasemgr.lib import clock
from releasemgr.lib.components import ViewLink
from releasemgr.lib.exports import csv_lines
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import needs
from releasemgr.pages.site_filter import SiteFilter
from releasemgr.pages.site_table import SiteTable
from releasemgr.pages.tonight_plan import SAVED_VIEWS, TonightPlan, plan_of_tonight
from releasemgr.roles import roles_with
from upgrades.sentences import decision_sentence

PER_PAGE = 50
START = "upgrades.start_upgrade"


@needs("instances.view_instance")
@require_safe
def sites(request: HttpRequest) -> HttpResponse:
    tonight = plan_of_tonight(clock.now())
    chosen = SiteFilter(request.GET, _rows(), tonight)
    table = _table(request, chosen.chosen, tonight)
    context = _table_context(request, table, chosen) | {"views": _views(chosen, tonight), "filter": chosen}
    if not wants_fragment(request):
        return render(request, "instances/site_list.html", context)
    return push_url(render(request, "instances/site_list.html#sites", context), _address(request))


def _address(request: HttpRequest) -> str:
    """This list, without the filters that are empty: an address to hand on."""
    given = [(name, value) for name, value in request.GET.items() if value]
    return f"{request.path}?{urlencode(given)}" if given else request.path


def _rows() -> InstanceQuerySet:
    return Instance.objects.for_list().with_current_build()


def _table(request: HttpRequest, rows: InstanceQuerySet, tonight: TonightPlan) -> SiteTable:
    exclude = () if request.user.has_perm(START) else ("site",)
    table = SiteTable(rows, tonight.decisions, exclude=exclude)
    RequestConfig(request, paginate={"per_page": PER_PAGE}).configure(table)
    return table


def _table_context(request: HttpRequest, table: SiteTable, chosen: SiteFilter) -> dict[str, Any]:
    page: Page[Instance] = table.page
    given = chosen.given()
    return {
        "table": table,
        "total": page.paginator.count,
        "more": page.has_other_pages(),
        "given": given,
        "filtered": bool(given),
        "query": urlencode(given),
        "summary": _summary(chosen),
        "may_start": request.user.has_perm(START),
        "who_may_start": roles_with(START)[0],
    }


def _summary(chosen: SiteFilter) -> str:
    found = chosen.chosen.order_by()
    number, customers = found.count(), found.values("customer").distinct().count()
    return "{}, {}".format(
        ngettext("%d site", "%d sites", number) % number,
        ngettext("%d customer", "%d customers", customers) % customers,
    )


def _views(chosen: SiteFilter, tonight: TonightPlan) -> list[ViewLink]:
    """Each is a fresh list: it forgets the other filters, and its count is of the whole fleet."""
    here, current = reverse("sites"), chosen.data.get("view") or ""
    return [
        ViewLink(
            str(view.label), f"{here}?view={view.name}" if view.name else here, len(tonight.holding(view)),
            view.name == current,
        )
        for view in SAVED_VIEWS
    ]  # fmt: skip


@needs("instances.view_instance")
@require_safe
def sites_csv(request: HttpRequest) -> HttpResponse:
    """The filtered list, whole."""
    tonight = plan_of_tonight(clock.now())
    chosen = SiteFilter(request.GET, _rows(), tonight)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="sites.csv"'
    response.writelines(csv_lines(_csv_rows(chosen.chosen, tonight)))
    return response


def _csv_rows(found: InstanceQuerySet, tonight: TonightPlan) -> Iterator[list[str]]:
    yield [
        _("Site"), _("Kind"), _("Customer"), _("URL"), _("Host"), _("Target"), _("Target version"),
        _("Current version"), _("Reported at"), _("Tonight"),
    ]  # fmt: skip
    for site in found:
        decision = tonight.decisions[site.pk]
        yield [
            site.slug, site.get_kind_display(), site.customer.name, site.url, site.host.name,
            target_words(site.target), decision.to.version if decision.to else "", site.reported_version,
            site.reported_at.isoformat() if site.reported_at else "", decision_sentence(decision),
        ]  # fmt: skip
