"""A build: its way so far, what stands before its next channel, where it runs, how its upgrades went."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from builds import sentences
from builds.choices import Smoke
from builds.maturity import CHANNELS, Gate, Judgement, Maturity
from builds.models import Build, Promotion
from builds.services import judge_promotion
from instances.models import Instance
from releasemgr.lib import clock, words
from releasemgr.lib.choices import Colour
from releasemgr.lib.components import Part
from releasemgr.lib.markdown import rendered
from releasemgr.lib.permission import needs
from releasemgr.pages.channels import Clock, clock_of, soak_clock
from releasemgr.pages.found import build_or_404
from releasemgr.roles import roles_with
from upgrades.choices import Outcome
from upgrades.models import Upgrade
from upgrades.services.exposure import exposure_of

PER_PAGE = 50
SITES_SHOWN = 20


@dataclass(frozen=True)
class GateLine:
    """One gate in words. `clock` is None where no soak clock runs."""

    gate: Gate
    title: str
    detail: str
    clock: Clock | None


def gate_lines(judgement: Judgement, now: datetime) -> list[GateLine]:
    """What does not pass comes first."""
    gates = sorted(judgement.gates, key=lambda gate: gate.passed)
    return [
        GateLine(gate, sentences.gate_title(gate), sentences.gate_detail(gate, judgement), clock_of(gate, now))
        for gate in gates
    ]


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


@require_safe
@needs("builds.view_build")
def build_detail(request: HttpRequest, version: str) -> HttpResponse:
    build = build_or_404(version)
    if build.version != version:
        return redirect(build)
    now = clock.now()
    judgement = next_judgement(build, now)
    promotions = list(build.promotions.select_related("by"))
    context = {
        "build": build,
        "journey": journey(build, promotions, judgement, now),
        "promotions": promotions,
        "judgement": judgement,
        "gates": gate_lines(judgement, now) if judgement else [],
        "later": [channel.channel for channel in CHANNELS if judgement and channel > judgement.to],
        "earlier": Maturity(build.stage - 1).name.lower() if build.stage else "",
        "changelog": rendered(build.changelog),
        "who_may": roles_with("builds.promote_build")[0],
    }
    return render(request, "builds/build_detail.html", context | _sites(build) | _upgrades(request, build, now))


def next_judgement(build: Build, now: datetime) -> Judgement | None:
    """Of its step to the next channel. Five queries; None for a stable build."""
    return judge_promotion(build, Maturity(build.stage + 1), now=now) if build.stage < Maturity.STABLE else None


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
