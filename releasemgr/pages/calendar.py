"""The calendar: nights, freezes, windows and what ends by itself, for the next six weeks."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from releasemgr.lib import clock
from releasemgr.lib.permission import needs
from releasemgr.pages.calendar_days import calendar_of


@needs("upgrades.view_run")
@require_safe
def calendar(request: HttpRequest) -> HttpResponse:
    """As weeks; with ?view=list as a list on wide screens too."""
    now = clock.now()
    context = {"calendar": calendar_of(now), "now": now, "as_list": request.GET.get("view") == "list"}
    return render(
        request, "releasemgr/calendar.html", context | {"may_add": request.user.has_perm("instances.add_freeze")}
    )
