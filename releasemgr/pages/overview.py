"""Overview: what needs a decision, last night, tonight, the channels, the versions in use."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from builds.services import channel_policies
from instances.choices import Kind
from releasemgr.lib import clock, words
from releasemgr.lib.choices import Colour
from releasemgr.lib.components import Part
from releasemgr.lib.permission import needs
from releasemgr.pages.build import outcome_parts
from releasemgr.pages.channels import Lane, channel_builds, lanes
from releasemgr.pages.decisions import waiting_decisions
from releasemgr.pages.fleet import Fleet, VersionUse, fleet_now
from releasemgr.pages.snoozes import SNOOZE, awake
from releasemgr.pages.tonight import moves_of
from releasemgr.pages.tonight_plan import TonightPlan, plan_of_tonight
from upgrades import run_words
from upgrades.models import Policy, Run
from upgrades.plan import GOING, Decision
from upgrades.sentences import LOOKS, Look, totals
from upgrades.views.site_rows import end_of
from upgrades.waves import Wave

NIGHTS_SHOWN = 14
HEIGHTS = 7
FAILURES_SHOWN = 6
TONIGHT_SHOWN = 6
SKIPPED_SHOWN = 6
VERSIONS_SHOWN = 12


@require_safe
@needs("upgrades.view_run")
def overview(request: HttpRequest) -> HttpResponse:
    now, fleet = clock.now(), fleet_now()
    plan = plan_of_tonight(now, request)
    facts = plan.facts
    shown = lanes(channel_builds(facts.builds), fleet, channel_policies(), facts.builds, now)
    nights = list(Run.objects.nightly().for_list().order_by("-date")[:NIGHTS_SHOWN])
    last = nights[0] if nights else None
    entries, snoozed = awake(waiting_decisions(last=last, fleet=fleet, plan=plan, now=now), now)
    context = {
        "now": now,
        "entries": entries,
        "snoozed": snoozed,
        "may_snooze": request.user.has_perm(SNOOZE),
        "lanes": shown[::-1],
        "nights": columns(nights, now),
        "fleet": fleet,
    }
    return render(
        request,
        "releasemgr/overview.html",
        context | _last_night(last) | _tonight(plan) | _versions(fleet, shown),
    )


@dataclass(frozen=True)
class Column:
    """One night among the last fourteen. `height` is from 1 to 7."""

    run: Run
    height: int
    colour: str
    label: str


def columns(nights: list[Any], now: datetime) -> list[Column]:
    """Oldest first. The nights come from RunQuerySet.for_list()."""
    most = max((run.planned for run in nights), default=0) or 1
    return [_column(run, most, now) for run in reversed(nights)]


def _column(run: Any, most: int, now: datetime) -> Column:
    height = 1 + round((HEIGHTS - 1) * run.planned / most)
    colour = (
        "bad"
        if run.missed or run.is_halted
        else "hold"
        if run.switched_off
        else "warn"
        if run.failed
        else "run"
        if run.active
        else "ok"
        if run.planned
        else "idle"
    )
    day = words.day_of(run.starts_at, now)
    if run.missed:
        return Column(run, HEIGHTS, colour, _("%(day)s: missed") % {"day": day})
    if run.switched_off:
        return Column(run, 1, colour, _("%(day)s: switched off") % {"day": day})
    label = ngettext(
        "%(day)s: %(n)d upgrade, %(failed)d failed", "%(day)s: %(n)d upgrades, %(failed)d failed", run.planned
    )
    return Column(run, height, colour, label % {"day": day, "n": run.planned, "failed": run.failed})


def _last_night(run: Any) -> dict[str, Any]:
    """Three queries: how the upgrades ended, the failed ones, and how many sites had nothing to do."""
    if run is None:
        return {"last": None}
    counted = run.upgrades.order_by().values_list("outcome").annotate(n=Count("pk"))
    outcomes = [outcome for outcome, number in counted for _each in range(number)]
    failed = run.upgrades.failed().select_related("instance", "build").order_by("position")
    others = run.decisions.exclude(code__in=GOING).count()
    rest = ngettext("%(n)d other had nothing to do", "%(n)d others had nothing to do", others) % {"n": others}
    return {
        "last": run,
        "parts": [Part(p.colour, p.count, p.label, run.get_absolute_url()) for p in _parts(run, outcomes)],
        "parts_title": _("Of %(n)d planned upgrades") % {"n": len(outcomes)},
        "rest": rest if others else "",
        "failed": list(failed[:FAILURES_SHOWN]),
        "failed_more": max(0, run.failed - FAILURES_SHOWN),
    }


def _parts(run: Any, outcomes: list[Any]) -> list[Part]:
    """What has not begun in a run that stands still is not under way."""
    if not run.is_halted:
        return outcome_parts(outcomes)
    ended = [outcome for outcome in outcomes if outcome]
    return [*outcome_parts(ended), Part(Colour.IDLE, len(outcomes) - len(ended), _("waiting"))]


@dataclass(frozen=True)
class Skipped:
    decision: Decision
    look: Look


def _tonight(plan: TonightPlan) -> dict[str, Any]:
    policy = Policy.objects.get()
    decisions = list(plan.decisions.values())
    skipped = [Skipped(decision, LOOKS[decision.code]) for decision in decisions if decision.off_target]
    going = sum(decision.upgrades for decision in decisions)
    return {
        "night": plan.night,
        "nights_off": policy.nights_off_since is not None,
        "moves": moves_of(plan.facts, plan.night),
        "going": going,
        "totals": totals(decisions),
        "groups": [_wave(wave, plan, policy) for wave in plan.waves],
        "skipped": skipped[:SKIPPED_SHOWN],
        "skipped_more": max(0, len(skipped) - SKIPPED_SHOWN),
        "idle": len(decisions) - going - len(skipped),
    }


def _wave(wave: Wave, plan: TonightPlan, policy: Policy) -> dict[str, Any]:
    return {
        "title": run_words.wave_name(wave.number, wave.kind),
        "turn": run_words.wave_turn(wave, plan.waves, policy.rollout.pause),
        "shown": [(plan.decisions[site], end_of(plan.decisions[site])) for site in wave.sites[:TONIGHT_SHOWN]],
        "more": max(0, len(wave.sites) - TONIGHT_SHOWN),
    }


@dataclass(frozen=True)
class VersionBar:
    """Widths in per cent of the widest bar."""

    use: VersionUse
    channels: str
    live: float
    test: float


def _versions(fleet: Fleet, shown: list[Lane]) -> dict[str, Any]:
    used = fleet.versions()
    most = max((use.sites for use in used), default=1)
    own = {lane.build.version_key: lane.name for lane in shown if lane.build}
    bars = [
        VersionBar(use, own.get(use.key, ""), round(100 * use.live / most, 1), round(100 * use.test / most, 1))
        for use in used[:VERSIONS_SHOWN]
    ]
    return {
        "versions": bars,
        "versions_more": max(0, len(used) - VERSIONS_SHOWN),
        "live_sites": fleet.of_kind(Kind.LIVE),
        "test_sites": fleet.of_kind(Kind.TEST),
    }
