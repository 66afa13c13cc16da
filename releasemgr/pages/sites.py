"""Sites: views, filters, the table, the export; and a customer's sites."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Page
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe
from django_htmx.http import push_url
from django_tables2 import RequestConfig

from instances.models import Instance
from instances.querysets import InstanceQuerySet
from instances.sentences import target_words
from instances.window_text import format_windows
from releasemgr.lib import clock
from releasemgr.lib.components import ViewLink
from releasemgr.lib.exports import csv_lines
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import needs, person
from releasemgr.pages.bulk_acts import buttons_for
from releasemgr.pages.selection import filter_refused
from releasemgr.pages.site_filter import SiteFilter
from releasemgr.pages.site_table import Marks, SiteTable, marks_of
from releasemgr.pages.site_views import ALL, first_address, view_links, views_of
from releasemgr.pages.tonight_plan import TonightPlan, plan_of_tonight
from releasemgr.roles import roles_with
from upgrades.sentences import decision_sentence

PER_PAGE = 50
START = "upgrades.start_upgrade"


@needs("instances.view_instance")
@require_safe
def sites(request: HttpRequest) -> HttpResponse:
    """Without any parameter the view that the person starts with."""
    if not request.GET and (first := first_address(person(request))):
        return redirect(first)
    now = clock.now()
    tonight = plan_of_tonight(now, request)
    chosen = SiteFilter(request.GET, _rows(), tonight.candidates(now))
    context = _table_context(request, _table(request, chosen.chosen, tonight, now), chosen)
    if wants_fragment(request):
        return push_url(render(request, "instances/site_list.html#sites", context), _address(request, chosen))
    return render(request, "instances/site_list.html", context | _bar_context(request, chosen))


def _address(request: HttpRequest, chosen: SiteFilter) -> str:
    """This list, without the filters that are empty: an address to hand on."""
    beside = urlencode([(name, request.GET[name]) for name in ("sort", "page") if request.GET.get(name)])
    return "?".join((request.path, "&".join(filter(None, (chosen.query or ALL, beside)))))


def _rows() -> InstanceQuerySet:
    return Instance.objects.for_list().with_current_build()


def _table(request: HttpRequest, rows: InstanceQuerySet, tonight: TonightPlan, now: datetime) -> SiteTable:
    exclude = () if buttons_for(request) else ("site",)
    table = SiteTable(rows, tonight.decisions, exclude=exclude)
    RequestConfig(request, paginate={"per_page": PER_PAGE}).configure(table)
    return table.marked(marks_of([row.record for row in table.page.object_list], now))


def _table_context(request: HttpRequest, table: SiteTable, chosen: SiteFilter) -> dict[str, Any]:
    page: Page[Instance] = table.page
    return {
        "table": table,
        "total": page.paginator.count,
        "more": page.has_other_pages(),
        "given": chosen.given,
        "parts": chosen.parts(),
        "faults": chosen.faults,
        "filtered": bool(chosen.given or chosen.faults),
        "query": chosen.query,
        "summary": _summary(chosen),
        "buttons": buttons_for(request),
        "may_start": request.user.has_perm(START),
        "who_may_start": roles_with(START)[0],
    }


def _bar_context(request: HttpRequest, chosen: SiteFilter) -> dict[str, Any]:
    saved = views_of(person(request))
    links: list[ViewLink] = view_links(saved, chosen.fleet, "" if chosen.faults else chosen.query)
    return {"views": links, "filter": chosen, "has_saved": bool(saved)}


def _summary(chosen: SiteFilter) -> str:
    number, customers = len(chosen.found), len({one.customer for one in chosen.found})
    return "{}, {}".format(
        ngettext("%d site", "%d sites", number) % number,
        ngettext("%d customer", "%d customers", customers) % customers,
    )


@needs("instances.view_instance")
@require_safe
def sites_csv(request: HttpRequest) -> HttpResponse:
    """The filtered list, whole. A filter that is not understood is answered with 400 and what is wrong with it."""
    now = clock.now()
    tonight = plan_of_tonight(now, request)
    chosen = SiteFilter(request.GET, _rows(), tonight.candidates(now))
    if chosen.faults:
        return filter_refused(request, chosen.faults)
    found = list(chosen.chosen)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="sites.csv"'
    response.writelines(csv_lines(_csv_rows(found, tonight, marks_of(found, now))))
    return response


def _csv_rows(found: list[Instance], tonight: TonightPlan, marks: Marks) -> Iterator[list[str]]:
    yield [
        _("Site"), _("Kind"), _("Customer"), _("URL"), _("Host"), _("Target"), _("Target version"),
        _("Current version"), _("Reported at"), _("Tonight"), _("Tags"), _("Windows"), _("On hold until"),
    ]  # fmt: skip
    for site in found:
        decision = tonight.decisions[site.pk]
        hold = marks.holds.get(site.pk)
        yield [
            site.slug, site.get_kind_display(), site.customer.name, site.url, site.host.name,
            target_words(site.target), decision.to.version if decision.to else "", site.reported_version,
            site.reported_at.isoformat() if site.reported_at else "", decision_sentence(decision),
            " ".join(marks.tags.get(site.pk, ())), format_windows(marks.windows.get(site.pk, ())),
            hold.ends_at.isoformat() if hold else "",
        ]  # fmt: skip
