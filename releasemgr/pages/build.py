"""A build: its way so far, what stands before its next channel, where it runs, how its upgrades went."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.paginator import Paginator
from django.db.models import F, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from builds.choices import SeverityChoice, Smoke
from builds.maturity import CHANNELS, BuildFacts, Judgement, Maturity, judge
from builds.models import Acknowledgement, Build, GateOverride, Problem, Promotion
from builds.services import channel_policies, gather_builds
from instances.models import Instance
from releasemgr.lib import clock, words
from releasemgr.lib.choices import Colour
from releasemgr.lib.components import Part
from releasemgr.lib.markdown import rendered
from releasemgr.lib.permission import needs
from releasemgr.pages.channels import soak_clock
from releasemgr.pages.found import build_or_404
from releasemgr.pages.gate_lines import gate_lines
from releasemgr.roles import roles_with
from upgrades.choices import Outcome
from upgrades.halting import HaltCode
from upgrades.models import RunHalt, Upgrade
from upgrades.sentences import halt_sentence
from upgrades.services.archiving import keys_in_use
from upgrades.services.exposure import exposure_of

PER_PAGE = 50
SITES_SHOWN = 20


@dataclass(frozen=True)
class Stop:
    """One stop of a build's journey. `look` is done, now, stop, or empty for what is ahead."""

    title: str
    detail: str
    look: str = ""

    @property
    def icon(self) -> str:
        return {"done": "circle-check", "now": "circle-dot", "stop": "circle-x"}.get(self.look, "circle-dashed")


def journey(build: Build, promotions: list[Promotion], judgement: Judgement | None, now: datetime) -> list[Stop]:
    """From the registration to stable. `judgement` is of its next channel, None after the last."""
    entered = {promotion.to_maturity: promotion for promotion in reversed(promotions)}
    registered = Stop(_("Registered"), words.moment_of(build.registered_at, now), "done")
    channels = [_channel_stop(channel, build, entered.get(channel), judgement, now) for channel in CHANNELS]
    return [registered, _smoke_stop(build, now), *channels]


def _smoke_stop(build: Build, now: datetime) -> Stop:
    look = {Smoke.PASSED: "done", Smoke.PENDING: "", Smoke.RUNNING: "now"}.get(build.smoke_state, "stop")
    reported = words.moment_of(build.smoke_reported_at, now) if build.smoke_reported_at else ""
    return Stop(_("Smoke tests"), f"{build.smoke_state.label} {reported}".strip(), look)


def _channel_stop(
    channel: Maturity, build: Build, entry: Promotion | None, judgement: Judgement | None, now: datetime
) -> Stop:
    title = channel.channel.capitalize()
    if channel > build.stage:
        return _stop_ahead(title, channel, judgement)
    detail = _("skipped")
    if entry:
        detail = f"{words.moment_of(entry.at, now)}, {entry.who}"
    if channel < build.stage:
        return Stop(title, detail, "done")
    running = soak_clock(judgement, now)
    if running and not running.complete:
        title = f"{title}, {running.label.split(',')[0].lower()}"
    return Stop(title, detail, "stop" if build.is_withdrawn else "now")


def _stop_ahead(title: str, channel: Maturity, judgement: Judgement | None) -> Stop:
    if judgement is None or channel != judgement.to:
        return Stop(title, "")
    failing = len(judgement.failing)
    if not failing:
        return Stop(title, _("every gate passed"))
    return Stop(title, ngettext("%(n)d gate not met", "%(n)d gates not met", failing) % {"n": failing}, "stop")


def _may_be_archived(build: Build) -> bool:
    """As far as its page knows; the act itself asks whether it is the build of a channel, too (R9)."""
    return not build.is_archived and not build.stepping_stone and build.version_key not in keys_in_use()


@require_safe
@needs("builds.view_build")
def build_detail(request: HttpRequest, version: str) -> HttpResponse:
    build = build_or_404(version)
    if build.version != version:
        return redirect(build)
    now, builds = clock.now(), gather_builds()
    facts = builds[build.pk]
    judgement = next_judgement(facts, builds, now)
    promotions = list(build.promotions.select_related("by"))
    context = {
        "build": build,
        "journey": journey(build, promotions, judgement, now),
        "promotions": promotions,
        "judgement": judgement,
        "gates": gate_lines(judgement, now) if judgement else [],
        "facts": facts,
        "may_be_archived": _may_be_archived(build),
        "sent_back": next((one for one in promotions if one.is_demotion), None) if facts.sent_back else None,
        "later": [channel.channel for channel in CHANNELS if judgement and channel > judgement.to],
        "earlier": Maturity(build.stage - 1).name.lower() if build.stage else "",
        "changelog": rendered(build.changelog),
        "who_may": roles_with("builds.promote_build")[0],
        "overrides": GateOverride.objects.of(build),
        "halts": _halts(build),
        "installable": facts.eligible,
    }
    context |= _problems(build) | _sites(build) | _upgrades(request, build, now)
    return render(request, "builds/build_detail.html", context)


def next_judgement(build: BuildFacts, builds: Mapping[int, BuildFacts], now: datetime) -> Judgement | None:
    """Of its step to the next channel. One query; None for a stable build."""
    if build.maturity is Maturity.STABLE:
        return None
    return judge(build, Maturity(build.maturity + 1), channel_policies(), now, builds.values())


@dataclass(frozen=True)
class KnownProblem:
    """A problem of this build. `accepted` is None where nobody accepted it for this build, as bad as it is now."""

    problem: Problem
    accepted: Acknowledgement | None


def _problems(build: Build) -> dict[str, Any]:
    """Those that it has, blockers first, and those that were dismissed as not real while it was there (R7)."""
    accepted = {one.problem_id: one for one in build.acknowledgements.select_related("by")}
    known = [
        KnownProblem(problem, _holding(accepted.get(problem.pk), problem))
        for problem in Problem.objects.affecting(build).for_list().order_by("severity", "-pk")
    ]
    dismissed = Problem.objects.dismissed().for_list().filter(dismissed_at__gte=build.registered_at)
    return {
        "problems": known,
        "blockers": sum(one.problem.severity == SeverityChoice.BLOCKER and not one.accepted for one in known),
        "dismissed": [problem for problem in dismissed if problem.covers(build.version_key)],
    }


def _holding(accepted: Acknowledgement | None, problem: Problem) -> Acknowledgement | None:
    return accepted if accepted and accepted.covers(problem.severity) else None


def _halts(build: Build) -> list[tuple[RunHalt, str]]:
    """The runs that its failures halted, with why (P5). Those that nobody decided about come first."""
    halts = build.halts.select_related("run", "released_by").order_by(F("released_at").desc(nulls_first=True))
    return [(halt, halt_sentence(HaltCode(halt.code), halt.values)) for halt in halts]


def _sites(build: Build) -> dict[str, Any]:
    """Those that run it and those that are pinned to it. Two queries."""
    on_it = Q(reported_key=build.version_key)
    sites = Instance.objects.for_list().filter(on_it | Q(target_build=build))
    running = [site for site in sites if site.reported_key == build.version_key]
    pinned = [site for site in sites if site.target_build_id == build.pk]
    return {
        "sites_on_it": running[:SITES_SHOWN],
        "on_it_count": len(running),
        "sites_pinned": pinned[:SITES_SHOWN],
        "pinned_count": len(pinned),
    }


def _upgrades(request: HttpRequest, build: Build, now: datetime) -> dict[str, Any]:
    upgrades = Upgrade.objects.for_list().filter(build=build).order_by("-pk")
    outcomes = list(Upgrade.objects.filter(build=build).values_list("outcome", flat=True))
    return {
        "upgrades": Paginator(upgrades, PER_PAGE).get_page(request.GET.get("page")),
        "outcomes": outcome_parts(outcomes),
        "exposure": exposure_of(build, now),
    }


def outcome_parts(outcomes: list[Any]) -> list[Part]:
    """The parts of a bar: how many upgrades ended how, in the words of the run's page, and how many have not."""
    ended = [Part(look.colour, outcomes.count(look), str(look.label).lower()) for look in Outcome]
    return [*ended, Part(Colour.RUN, outcomes.count(None), _("under way"))]
