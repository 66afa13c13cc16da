"""What the next night will do to every site, wave by wave, and why (P1, P4)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from builds.maturity import Move, automatic_promotions, problem_name
from instances.models import Instance
from instances.windows import Window
from releasemgr.lib import clock, words
from releasemgr.lib.components import ViewLink
from releasemgr.lib.permission import needs
from releasemgr.lib.words import place_of
from releasemgr.pages.tonight_plan import TonightPlan, plan_of_tonight
from releasemgr.roles import roles_with
from upgrades import run_words, sentences
from upgrades.halting import Limits
from upgrades.models import Policy, Run, Upgrade
from upgrades.night import Night
from upgrades.plan import Code, Decision, Facts
from upgrades.sentences import LOOKS
from upgrades.services.planning import next_chances
from upgrades.views.run_actions import HALT
from upgrades.views.run_results import RETRY
from upgrades.views.site_rows import RowGroup, RowLink, SiteRow, SiteRows, end_of, target_words, way_words
from upgrades.waves import Wave

HOLD = "instances.hold_site"
BY_TIME = (Code.ON_HOLD, Code.FROZEN, Code.OUTSIDE_WINDOW, Code.WINDOW_TOO_SHORT)
"""What passes by itself."""
PINS_NAMED = 3


@require_safe
@needs("upgrades.view_run")
def tonight(request: HttpRequest) -> HttpResponse:
    now = clock.now()
    return render(request, "upgrades/tonight.html", _page(request, plan_of_tonight(now, request), now))


def _page(request: HttpRequest, plan: TonightPlan, now: datetime) -> dict[str, Any]:
    parts = _parts_of(plan.decisions.values())
    shown = request.GET.get("show")
    shown = shown if shown in parts else ""
    policy = Policy.objects.select_related("nights_off_by").get()
    return {
        "night": plan.night,
        "now": now,
        "name": sentences.tonight_words(plan.night.date, run_words.local_date(plan.night.ends_at)),
        "shown": shown,
        "views": _views(parts, shown),
        "policy": policy,
        "moves": moves_of(plan.facts, plan.night),
        "pins": _ending_pins(plan.decisions.values()),
        "pins_named": PINS_NAMED,
        "going": _going(parts[""], plan, policy, request.user),
        "skipped": _skipped(parts["skipped"], plan, now, request.user) if shown in ("", "skipped") else None,
        "skipped_count": len(parts["skipped"]),
        "running": _settled(_("Running now"), parts["running"]),
        "idle": _settled(_("Sites that need nothing tonight"), parts["idle"]),
        "last_run": Run.objects.order_by("-starts_at", "-pk").first(),
        "may_switch": request.user.has_perm(HALT),
        "who_may_switch": roles_with(HALT)[0],
    }


def _parts_of(decisions: Iterable[Decision]) -> dict[str, list[Decision]]:
    """Each site in exactly one of the page's lists, by the word in its address."""
    parts: dict[str, list[Decision]] = {"": [], "skipped": [], "running": [], "idle": []}
    for decision in decisions:
        parts[_part_of(decision)].append(decision)
    return parts


def _part_of(decision: Decision) -> str:
    if decision.upgrades:
        return ""
    if decision.code is Code.ALREADY_RUNNING:
        return "running"
    return "skipped" if decision.off_target else "idle"


def _views(parts: Mapping[str, Sequence[Decision]], shown: str) -> list[ViewLink]:
    labels = {"": _("Upgrades"), "skipped": _("Off target, skipped"), "running": _("Running now")}
    labels["idle"] = _("Needs nothing")
    here = reverse("tonight")
    return [
        ViewLink(label, f"{here}?show={key}" if key else here, len(parts[key]), key == shown)
        for key, label in labels.items()
    ]


def moves_of(facts: Facts, night: Night) -> list[Move]:
    """What the night promotes by itself before it plans (R10)."""
    if not any(policy.automatic for policy in facts.channels.values()):
        return []
    return automatic_promotions(facts.builds, facts.channels, night.starts_at)[1]


@dataclass(frozen=True)
class EndingPin:
    """A pin that is over by the time the site's turn comes (T2)."""

    slug: str
    channel: str


def _ending_pins(decisions: Iterable[Decision]) -> list[EndingPin]:
    return [
        EndingPin(decision.site.slug, decision.channel.channel)
        for decision in decisions
        if decision.site.pin and decision.channel
    ]


# What goes


def _going(going: Sequence[Decision], plan: TonightPlan, policy: Policy, user: User | AnonymousUser) -> SiteRows:
    may_hold = user.has_perm(HOLD)
    by_id = {decision.site.id: decision for decision in going}
    groups = [
        RowGroup(
            run_words.wave_name(wave.number, wave.kind),
            [_going_row(by_id[site], plan.night, may_hold=may_hold) for site in wave.sites],
            _wave_note(wave, plan.waves, by_id, policy.limits, policy.rollout.pause),
        )
        for wave in plan.waves
    ]
    return SiteRows(
        _("Upgrades tonight"), _("Change"), _("Because"), (_("Window, local time"), _("Host")), groups, notes=True
    )  # fmt: skip


def _wave_note(
    wave: Wave, waves: Sequence[Wave], going: Mapping[int, Decision], limits: Limits, pause: timedelta
) -> str:
    """“from 01:00, after wave 1, halts above 2 failures”. Every leg of a way is an upgrade (P5)."""
    planned = sum(len(going[site].legs) for site in wave.sites)
    return f"{run_words.wave_turn(wave, waves, pause)}, {run_words.wave_limit(wave.kind, planned, limits)}"


def _going_row(decision: Decision, night: Night, *, may_hold: bool) -> SiteRow:
    links = [RowLink(_("Skip…"), reverse("site-skip", args=[decision.site.slug]))] if may_hold else []
    return SiteRow(
        slug=decision.site.slug,
        live=decision.site.live,
        old=decision.site.reported,
        new=end_of(decision),
        words=target_words(decision),
        way=way_words(decision),
        cells=(openings_words(decision.site.windows, night), decision.site.host),
        links=links,
    )


def openings_words(windows: Sequence[Window], night: Night) -> str:
    """When a site is open that night, on its own clock: “01:00 to 04:00 Dublin”; “Any time” without windows (P6)."""
    if not windows:
        return _("Any time")
    openings = sorted(
        (span, window) for window in windows for span in window.openings(night.starts_at, night.ends_at)
    )  # fmt: skip
    return ", ".join(_opening(span.starts_at, span.ends_at, window) for span, window in openings)


def _opening(begins: datetime, ends: datetime, window: Window) -> str:
    values = {
        "begin": f"{begins.astimezone(window.zone):%H:%M}",
        "end": f"{ends.astimezone(window.zone):%H:%M}",
        "zone": place_of(window.zone.key),
    }
    return _("%(begin)s to %(end)s %(zone)s") % values


# What is skipped


def _skipped(skipped: Sequence[Decision], plan: TonightPlan, now: datetime, user: User | AnonymousUser) -> SiteRows:
    """By reason. At most five queries."""
    chances = _chances(skipped, plan.night)
    runs = _runs_of([number for decision in skipped for number in decision.site.parked.values()])
    codes = list(LOOKS)
    ordered = sorted(skipped, key=lambda one: (codes.index(one.code), one.site.slug))
    groups = []
    for code, members in groupby(ordered, key=lambda one: one.code):
        rows = [_skipped_row(one, chances, runs, now, user) for one in members]
        groups.append(RowGroup(str(LOOKS[code].label), rows, str(len(rows)), LOOKS[code]))
    return SiteRows(
        _("Off target, but not upgraded tonight"), _("Would change"), _("Skipped because"), (_("Next chance"),),
        groups, notes=True,
    )  # fmt: skip


def _chances(skipped: Sequence[Decision], night: Night) -> dict[int, datetime | None]:
    """When those that wait for a time alone may go. Later nights only: this one has no place for them."""
    waiting = {one.site.id: one.site.needs for one in skipped if one.code in BY_TIME}
    if not waiting:
        return {}
    return next_chances(Instance.objects.filter(pk__in=waiting), night.starts_at, waiting)


def _runs_of(upgrades: Sequence[int]) -> dict[int, int]:
    return dict(Upgrade.objects.filter(pk__in=upgrades).values_list("pk", "run_id"))


def _skipped_row(
    decision: Decision, chances: Mapping[int, datetime | None], runs: Mapping[int, int], now: datetime,
    user: User | AnonymousUser,
) -> SiteRow:  # fmt: skip
    deciding = decision.deciding
    return SiteRow(
        slug=decision.site.slug,
        live=decision.site.live,
        old=decision.site.reported,
        new=decision.to.version if decision.to else "",
        words=sentences.check_sentence(deciding) if deciding else "",
        way=_path_words(decision),
        cells=(_next_chance(decision, chances, now),),
        links=_ways_on(decision, runs, user),
    )


def _path_words(decision: Decision) -> str:
    """Over what it would go."""
    via = ", ".join(one.version for one in decision.path[:-1])
    return _("over %(via)s") % {"via": via} if via else ""


def _next_chance(decision: Decision, chances: Mapping[int, datetime | None], now: datetime) -> str:
    """A time, where only time is in the way; else what a person has to do first."""
    reasons = [check.code for check in decision.checks if check.code]
    person = next((sentences.way_on(code) for code in reasons if code not in BY_TIME and sentences.way_on(code)), "")
    if person:
        return person
    moment = chances.get(decision.site.id)
    return _local_moment(moment, decision.site.windows, now) if moment else _("Not within two months")


def _local_moment(moment: datetime, windows: Sequence[Window], now: datetime) -> str:
    """“30 Nov 02:00 Buenos Aires” where the site has a window, else in UTC."""
    if not windows:
        return _("%(time)s UTC") % {"time": words.moment_of(moment, now)}
    local = moment.astimezone(windows[0].zone)
    day = words.day_of(local.replace(tzinfo=UTC), now)
    return f"{day} {local:%H:%M} {place_of(windows[0].zone.key)}"


def _ways_on(decision: Decision, runs: Mapping[int, int], user: User | AnonymousUser) -> list[RowLink]:
    site = decision.site
    deciding = decision.deciding
    if deciding and decision.code is Code.ON_HOLD and user.has_perm(HOLD):
        return [RowLink(_("End hold…"), reverse("hold-end", args=[site.slug, deciding.values["number"]]))]
    if deciding and decision.code is Code.FROZEN:
        return [RowLink(_("Open freeze"), reverse("freeze", args=[deciding.values["number"]]), quiet=True)]
    if deciding and decision.code is Code.BLOCKED_BY_PROBLEM:
        name = problem_name(int(deciding.values["problem"]))
        return [RowLink(_("Open %(name)s") % {"name": name}, reverse("problem", args=[deciding.values["problem"]]))]
    if decision.code is Code.NEEDS_A_PERSON and site.needs_a_person:
        return [RowLink(_("Unlock…"), f"{reverse('upgrade', args=[site.needs_a_person])}#decide")]
    parked = deciding.values["upgrade"] if deciding and decision.code is Code.PARKED else 0
    if parked and user.has_perm(RETRY):
        return [RowLink(_("Retry…"), reverse("run-retry", args=[runs[int(parked)]], query={"site": site.slug}))]
    return []


def _settled(caption: str, decisions: Sequence[Decision]) -> SiteRows:
    rows = [_settled_row(decision) for decision in decisions]
    return SiteRows(caption, _("Current"), _("Because"), (), [RowGroup("", rows)] if rows else [])


def _settled_row(decision: Decision) -> SiteRow:
    deciding, number = decision.deciding, decision.site.running
    link = [RowLink(_("Upgrade %(n)d") % {"n": number}, reverse("upgrade", args=[number]))] if number else []
    return SiteRow(
        slug=decision.site.slug,
        live=decision.site.live,
        old=decision.site.reported,
        new="",
        words=sentences.check_sentence(deciding) if deciding else "",
        links=link,
    )
