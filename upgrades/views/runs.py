"""Runs, newest first, and the results of one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from django_tables2 import RequestConfig

from instances.choices import Kind
from releasemgr.lib.components import Part, ViewLink
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import needs
from upgrades import sentences
from upgrades.choices import FAILED, GOOD, UNTOUCHED, EndCode, Outcome, UpgradeState
from upgrades.models import Decision, Run, Upgrade, UpgradeEvent
from upgrades.plan import GOING, SETTLED, Code, Rule
from upgrades.tables import RunTable

PAGE = 50
ROWS = 100


@require_safe
@needs("upgrades.view_run")
def run_list(request: HttpRequest) -> HttpResponse:
    table = RunTable(Run.objects.for_list())
    RequestConfig(request, paginate={"per_page": PAGE}).configure(table)
    template = "upgrades/run_list.html#runs" if wants_fragment(request) else "upgrades/run_list.html"
    return render(request, template, {"table": table})


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
    return f"{last or 0}-{'over' if run.ended_at else 'open'}"


@dataclass(frozen=True)
class Row:
    """One site in a run: an upgrade with its result, or the decision to leave it."""

    site: Any
    old: str
    new: Any
    look: Any
    words: str
    upgrade: Upgrade | None = None
    sentence: str = ""


@dataclass(frozen=True)
class Selection:
    """One of the views above the table; `choose` says which upgrades and decisions belong to it."""

    key: str
    label: str
    upgrades: Callable[[Upgrade], bool] = lambda upgrade: False
    decisions: Callable[[Decision], bool] = lambda decision: False


def _selections() -> list[Selection]:
    return [
        Selection("planned", _("Planned"), upgrades=lambda upgrade: True),
        Selection("failed", _("Failed"), upgrades=lambda upgrade: upgrade.outcome in FAILED),
        Selection("succeeded", _("Succeeded"), upgrades=lambda upgrade: upgrade.outcome in GOOD),
        Selection("not-started", _("Not started"), upgrades=lambda upgrade: upgrade.outcome == Outcome.NOT_STARTED),
        Selection(
            "skipped",
            _("Skipped"),
            upgrades=lambda upgrade: upgrade.outcome == Outcome.SKIPPED,
            decisions=lambda decision: decision.code not in (*GOING, *SETTLED),
        ),
        Selection("on-target", _("On target"), decisions=lambda decision: decision.code in SETTLED),
    ]


def _results(request: HttpRequest, run: Run) -> dict[str, Any]:
    upgrades = list(Upgrade.objects.filter(run=run).for_list())
    decisions = list(run.decisions.exclude(code__in=GOING).select_related("instance", "build"))
    chosen, views = _chosen(request, run, upgrades, decisions)
    rows = _rows(chosen, upgrades, decisions)
    page = Paginator(rows, ROWS).get_page(request.GET.get("page"))
    return {
        "run": run,
        "name": night_name(run),
        "parts": _parts(run, upgrades),
        "rest": _rest(decisions),
        "sentences": _story(run, upgrades),
        "awaiting": sum(upgrade.outcome == Outcome.NEEDS_A_PERSON and not upgrade.decided_at for upgrade in upgrades),
        "failures": [_upgrade_row(upgrade) for upgrade in upgrades if upgrade.outcome in FAILED],
        "views": views,
        "chosen": chosen.key,
        "page": page,
        "groups": _groups(page),
        "total": len(upgrades) + len(decisions),
        "older": Run.objects.before(run).first(),
        "newer": Run.objects.after(run).first(),
    }


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


def _rows(chosen: Selection, upgrades: Iterable[Upgrade], decisions: Iterable[Decision]) -> list[Row]:
    """Test sites first, each kind in the run's order."""
    rows = [_upgrade_row(upgrade) for upgrade in upgrades if chosen.upgrades(upgrade)]
    rows += [_decision_row(decision) for decision in decisions if chosen.decisions(decision)]
    return sorted(rows, key=lambda row: row.site.kind == Kind.LIVE)


def _upgrade_row(upgrade: Upgrade) -> Row:
    look = upgrade.status
    said = sentences.result_words(look, upgrade.end_values) if isinstance(look, Outcome) else str(look.label)
    why = sentences.end_words(EndCode(upgrade.end_code), upgrade.end_values) if look in UNTOUCHED else ""
    return Row(upgrade.instance, upgrade.from_version, upgrade.build, look, said, upgrade, why)


def _decision_row(decision: Decision) -> Row:
    look = sentences.LOOKS[Code(decision.code)]
    return Row(decision.instance, decision.from_version, decision.build, look, str(look.label), sentence=_why(decision))


def _why(decision: Decision) -> str:
    """The sentence of the check that decided."""
    deciding = next((check for check in decision.checks if check["code"]), None)
    if deciding is None:
        return ""
    return sentences.rule_sentence(Rule(deciding["rule"]), Code(deciding["code"]), deciding["values"])


def _groups(page: Page[Row]) -> list[tuple[str, list[Row]]]:
    names = {Kind.TEST: _("Test sites"), Kind.LIVE: _("Live sites")}
    groups = [(name, [row for row in page if row.site.kind == kind]) for kind, name in names.items()]
    return [(name, rows) for name, rows in groups if rows]


def _parts(run: Run, upgrades: Sequence[Upgrade]) -> list[Part]:
    """The bar: what ended how, in the order of Outcome, then what has not ended."""
    found = [upgrade.status for upgrade in upgrades]
    show = {Outcome.SKIPPED: "skipped", Outcome.NOT_STARTED: "not-started"}
    show |= dict.fromkeys(FAILED, "failed") | dict.fromkeys(GOOD, "succeeded")
    url = reverse("run", args=[run.pk])
    return [
        Part(look.colour, found.count(look), str(look.label).lower(), f"{url}?show={show.get(look, 'planned')}#results")
        for look in [*Outcome, *UpgradeState]
    ]


def _rest(decisions: Sequence[Decision]) -> str:
    settled = sum(decision.code in SETTLED for decision in decisions)
    return sentences.left_alone(len(decisions) - settled, settled)


def _story(run: Run, upgrades: Sequence[Upgrade]) -> list[str]:
    awaiting = sum(upgrade.outcome == Outcome.NEEDS_A_PERSON and not upgrade.decided_at for upgrade in upgrades)
    late = sum(upgrade.outcome == Outcome.NOT_STARTED for upgrade in upgrades)
    return sentences.run_story(
        run.state,
        planned=len(upgrades),
        good=sum(upgrade.outcome in GOOD for upgrade in upgrades),
        failed=sum(upgrade.outcome in FAILED for upgrade in upgrades),
        ended=sum(not upgrade.is_active for upgrade in upgrades),
        late=late,
        awaiting=awaiting,
    )


def night_name(run: Run) -> str:
    """“Night of 22 to 23 November”, by the installation's clock."""
    if run.date is None:
        return _("Manual run")
    return sentences.night_words(run.date, local_date(run.ends_at))


def local_date(moment: Any) -> date:
    day: date = moment.astimezone(ZoneInfo(settings.TIME_ZONE)).date()
    return day
