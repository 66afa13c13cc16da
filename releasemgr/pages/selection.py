"""The sites that a page acts on: named one by one, a kind, or all that a filter means (T9)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from instances.choices import Kind
from instances.models import Instance
from instances.querysets import InstanceQuerySet
from releasemgr.pages.site_filter import SiteFilter
from releasemgr.pages.tonight_plan import plan_of_tonight

EVERY = "all"


class SelectionRefused(Exception):
    """The address names a filter that is not understood; `faults` are sentences."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(" ".join(faults))
        self.faults = list(faults)


@dataclass(frozen=True)
class Selected:
    """`query` is the filter under which they were chosen, as in an address."""

    sites: list[Instance]
    query: str = ""


def selected(request: HttpRequest, now: datetime) -> Selected:
    """`?all=live|test|all`, `?site=…&site=…`, or the filters of the page Sites. Nothing where none is given.

    Raises SelectionRefused, and Http404 for a site that is not there.
    """
    fleet = Instance.objects.for_list()
    if "all" in request.GET:
        return Selected(_everything(fleet, request.GET["all"]))
    named = "site" in request.GET and "matching" not in request.GET
    chosen = SiteFilter(request.GET, fleet, plan_of_tonight(now, request).candidates(now))
    if named:
        return Selected(_named(fleet, request.GET.getlist("site")), "" if chosen.faults else chosen.query)
    if chosen.faults:
        raise SelectionRefused(chosen.faults)
    whole = bool(chosen.given) or "matching" in request.GET
    return Selected(list(chosen.chosen) if whole else [], chosen.query)


def _everything(fleet: InstanceQuerySet, kind: str) -> list[Instance]:
    if kind not in (EVERY, *Kind.values):
        raise SelectionRefused([_("“%(kind)s” is no kind of site.") % {"kind": kind.replace("\x00", "")}])
    return list(fleet if kind == EVERY else fleet.filter(kind=kind))


def _named(fleet: InstanceQuerySet, slugs: Sequence[str]) -> list[Instance]:
    found = list(fleet.filter(slug__in=[slug.replace("\x00", "") for slug in slugs]))
    if len(found) != len(set(slugs)):
        raise Http404("one of these sites does not exist")
    return found


def filter_refused(request: HttpRequest, faults: Sequence[str]) -> HttpResponse:
    """400, with what is wrong and the way to the list."""
    return render(request, "400.html", {"faults": faults, "back": reverse("sites")}, status=400)
