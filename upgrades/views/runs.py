"""Runs, newest first, and the results of one."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from django_tables2 import RequestConfig

from releasemgr.lib import clock
from releasemgr.lib.components import Part, ViewLink
from releasemgr.lib.heartbeats.services import silences
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import needs
from upgrades import run_words, sentences
from upgrades.choices import FAILED, GOOD, Outcome, UpgradeState
from upgrades.models import Decision, Policy, Run, RunHalt, Upgrade, UpgradeEvent
from upgrades.plan import GOING, SETTLED
from upgrades.tables import RunTable
from upgrades.views.run_actions import actions_for
from upgrades.views.run_results import (
    RETRY,
    blamed,
    decision_row,
    earlier_halts,
    failure_groups,
    legs_of,
    note_of,
    upgrade_row,
    wave_groups,
)
from upgrades.views.site_rows import SiteRow, SiteRows

PAGE = 50
ROWS = 100


@require_safe
@needs("upgrades.view_run")
def run_list(request: HttpRequest) -> HttpResponse:
    table = RunTable(Run.objects.for_list())
    RequestConfig(request, paginate={"per_page": PAGE}).configure(table)
    template = "upgrades/run_list.html#runs" if wants_fragment(request) else "upgrades/run_list.html"
    return render(request, template, {"table": table, "policy": Policy.objects.select_related("nights_off_by").get()})


@require_safe
@needs("upgrades.view_run")
def run_detail(request: HttpRequest, number: int) -> HttpResponse:
    """The page, and while the run is open the fragment that it polls: 204 where nothing changed since `seen`."""
    run = get_object_or_404(Run.objects.for_list(), pk=number)
    seen = _fingerprint(run)
    if wants_fragment(request) and request.GET.get("seen") == seen:
        return HttpResponse(status=204)
    template = "upgrades/_run_results.html" if wants_fragment(request) else "upgrades/run_detail.html"
    return render(request, template, _results(request, run) | {"seen": seen})


def _fingerprint(run: Run) -> str:
    last = UpgradeEvent.objects.filter(upgrade__run=run).aggregate(last=Max("pk"))["last"]
    return f"{last or 0}-{'over' if run.ended_at else 'open'}-{run.state}{_silent()}"


def _silent() -> str:
    """Part of the news, since nothing else changes while no worker answers: who is silent, to the minute."""
    return "".join(f"-{name}.{lasts and lasts // timedelta(minutes=1)}" for name, lasts in sorted(silences().items()))


@dataclass(frozen=True)
class Selection:
    """One of the views above the table; `choose` says which upgrades and decisions belong to it."""

    key: str
    label: str
    upgrades: Callable[[Upgrade], bool] = lambda upgrade: False
    decisions: Callable[[Decision], bool] = lambda decision: False


def _is_not_started(upgrade: Upgrade) -> bool:
    return upgrade.outcome == Outcome.NOT_STARTED or upgrade.state == UpgradeState.WAITING


def _selections() -> list[Selection]:
    return [
        Selection("planned", _("Planned"), upgrades=lambda upgrade: True),
        Selection("failed", _("Failed"), upgrades=lambda upgrade: upgrade.has_failed),
        Selection("succeeded", _("Succeeded"), upgrades=lambda upgrade: upgrade.outcome in GOOD),
        Selection("stopped", _("Stopped"), upgrades=lambda upgrade: upgrade.was_stopped),
        Selection("not-started", _("Not started"), upgrades=_is_not_started),
        Selection(
            "skipped",
            _("Skipped"),
            upgrades=lambda upgrade: upgrade.outcome == Outcome.SKIPPED,
            decisions=lambda decision: decision.code not in (*GOING, *SETTLED),
        ),
        Selection("on-target", _("On target"), decisions=lambda decision: decision.code in SETTLED),
    ]


def _results(request: HttpRequest, run: Run) -> dict[str, Any]:
    now = clock.now()
    upgrades = list(Upgrade.objects.filter(run=run).for_list())
    decisions = list(run.decisions.exclude(code__in=GOING).select_related("instance", "build"))
    halts = list(run.halts.for_page())
    chosen, views = _chosen(request, run, upgrades, decisions)
    rows = _rows(chosen, upgrades, decisions, halted=_stands_still(halts))
    page = Paginator(rows, ROWS).get_page(request.GET.get("page"))
    groups = failure_groups(run, upgrades, now, may_retry=request.user.has_perm(RETRY))
    return {
        "run": run,
        "name": run_words.night_name(run),
        "parts": _parts(run, upgrades),
        "rest": _rest(decisions),
        "note": note_of(run, upgrades, halts, now),
        "earlier_halts": earlier_halts(halts),
        "actions": actions_for(run, halts, groups, request.user, now),
        "failures": groups,
        "failed": sum(len(group.failures) for group in groups),
        "blamed": blamed(groups),
        "views": views,
        "chosen": chosen.key,
        "page": page,
        "table": _table(run, page, upgrades, halts),
        "total": len(upgrades) + len(decisions),
        "older": Run.objects.before(run).first(),
        "newer": Run.objects.after(run).first(),
    }


def _stands_still(halts: Sequence[RunHalt]) -> bool:
    return any(halt.ended_at is None for halt in halts)


def _table(
    run: Run, page: Page[tuple[int | None, SiteRow]], upgrades: Sequence[Upgrade], halts: Sequence[RunHalt]
) -> SiteRows:
    shown: dict[int | None, list[SiteRow]] = defaultdict(list)
    for wave, row in page:
        shown[wave].append(row)
    return SiteRows(
        caption=_("Sites of this run"),
        change=_("Change"),
        words=_("Result"),
        columns=(_("Started"), _("Took")),
        groups=wave_groups(run, shown, upgrades, halts),
    )


def _chosen(
    request: HttpRequest, run: Run, upgrades: Sequence[Upgrade], decisions: Sequence[Decision]
) -> tuple[Selection, list[ViewLink]]:
    """The selection that the address names, and a link for each with how many sites it has."""
    selections = _selections()
    wanted = request.GET.get("show", "planned" if upgrades else "on-target")
    chosen = next((one for one in selections if one.key == wanted), selections[0])
    links = [
        ViewLink(
            one.label,
            f"{run.get_absolute_url()}?show={one.key}#results",
            sum(map(one.upgrades, upgrades)) + sum(map(one.decisions, decisions)),
            one is chosen,
        )
        for one in selections
    ]
    return chosen, links


def _rows(
    chosen: Selection, upgrades: Sequence[Upgrade], decisions: Iterable[Decision], *, halted: bool
) -> list[tuple[int | None, SiteRow]]:
    """Each with its wave's key, in the run's order; what is in no wave comes last, test sites first."""
    legs = legs_of(upgrades)
    rows: list[tuple[int | None, SiteRow]] = [
        (upgrade.wave_id, upgrade_row(upgrade, legs, halted=halted)) for upgrade in upgrades if chosen.upgrades(upgrade)
    ]
    rows += [(None, decision_row(decision)) for decision in decisions if chosen.decisions(decision)]
    return sorted(rows, key=lambda row: (row[0] is None, row[0] is None and row[1].live))


def _parts(run: Run, upgrades: Sequence[Upgrade]) -> list[Part]:
    """The bar: what ended how, in the order of Outcome, then what has not ended."""
    found = [upgrade.status for upgrade in upgrades]
    show = {Outcome.CANCELLED: "stopped", Outcome.SKIPPED: "skipped", Outcome.NOT_STARTED: "not-started"}
    show |= dict.fromkeys(FAILED, "failed") | dict.fromkeys(GOOD, "succeeded")
    url = reverse("run", args=[run.pk])
    return [
        Part(look.colour, found.count(look), str(look.label).lower(), f"{url}?show={show.get(look, 'planned')}#results")
        for look in [*Outcome, *UpgradeState]
    ]


def _rest(decisions: Sequence[Decision]) -> str:
    settled = sum(decision.code in SETTLED for decision in decisions)
    return sentences.left_alone(len(decisions) - settled, settled)
