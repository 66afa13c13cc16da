"""One site: what it runs, what it should run, what tonight does and why, what holds it, and its history."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from instances.forms import PIN, TargetChoiceForm
from instances.models import Freeze, Hold, Instance, SiteWindow, TargetChange
from instances.pauses import Pause, PauseKind
from instances.pins import PinEnd
from instances.sentences import end_words
from instances.services import foreign_words, pauses_for
from instances.window_text import format_window
from releasemgr.lib import clock, queue, words
from releasemgr.lib.choices import Colour
from releasemgr.lib.history.services import last_seen
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import needs
from releasemgr.pages.foreseen import chance_words, zone_of
from releasemgr.pages.history import entries, history_rows
from releasemgr.pages.nights_off import nights_off_words
from releasemgr.pages.paths import path_of
from releasemgr.pages.release_notes import ReleaseNotes, release_notes
from releasemgr.pages.renamed import renamed_or_404
from releasemgr.pages.target_choice import (
    DOWNGRADE,
    channel_options,
    pin_groups,
    preview_of,
    then_options,
    usual_then,
)
from releasemgr.roles import roles_with
from upgrades.choices import EndCode, Outcome
from upgrades.models import Policy, Upgrade
from upgrades.night import Night
from upgrades.plan import Check, Code, Decision, Facts, Rule, plan_with_waves
from upgrades.sentences import (
    LOOKS,
    RULE_TITLES,
    Look,
    check_sentence,
    end_sentence,
    short_sentence,
)
from upgrades.services.facts import MARGIN, facts_of_night
from upgrades.services.planning import next_night
from upgrades.waves import Wave, WaveKind

TARGET, HOLD, EDIT = "instances.change_target", "instances.hold_site", "instances.change_instance"
START, DECIDE = "upgrades.start_upgrade", "upgrades.decide_upgrade"
LAST_FEW, PER_PAGE, NEIGHBOURS, NOTES = 8, 50, 8, 5
AHEAD = timedelta(days=366)
"""How far ahead holds and freezes are listed."""


@needs("instances.view_instance")
@require_safe
def site(request: HttpRequest, slug: str) -> HttpResponse:
    """Also by a name that it had before."""
    try:
        return site_page(request, load_site(slug), clock.now())
    except Http404:
        return redirect(renamed_or_404(Instance, slug), permanent=True)


def load_site(slug: str) -> Instance:
    rows = (
        Instance.objects.for_list().with_current_build().select_related("customer", "host", "target_build", "pin_owner")
    )
    return get_object_or_404(rows, slug=slug)


@dataclass(frozen=True)
class WhyLine:
    """One rule that the planner looked at. `url` leads to what it speaks of, under the words `link`."""

    title: str
    sentence: str
    look: Look
    decides: bool
    url: str = ""
    link: str = ""


STUCK = LOOKS[Code.NEEDS_A_PERSON]
PASSED = Look(gettext_lazy("Passed"), Colour.OK, "circle-check")


def why(decision: Decision, shown: Instance) -> list[WhyLine]:
    return [
        WhyLine(
            str(RULE_TITLES[look.rule]), check_sentence(look), LOOKS[look.code] if look.code else PASSED,
            look is decision.deciding, *_leads_to(look, decision, shown),
        )
        for look in decision.checks
    ]  # fmt: skip


def _leads_to(look: Check, decision: Decision, shown: Instance) -> tuple[str, str]:
    """An address and the words of the link; empty where there is nothing more to see."""
    values = look.values
    match look.code:
        case Code.ON_HOLD:
            return "#pauses", _("The hold")
        case Code.FROZEN:
            return reverse("freeze", args=[values["number"]]), _("The freeze")
        case Code.BLOCKED_BY_PROBLEM:
            return reverse("problem", args=[values["problem"]]), f"P-{values['problem']}"
        case Code.BLOCKED_BY_HALT:
            return reverse("run", args=[values["run"]]), _("Run %(number)s") % {"number": values["run"]}
        case Code.HOST_DISABLED | Code.HOST_KEY:
            return shown.host.get_absolute_url(), shown.host.name
        case Code.OUTSIDE_WINDOW | Code.WINDOW_TOO_SHORT:
            return "#details", _("Its windows")
        case Code.TARGET_WITHDRAWN | Code.QUARANTINED | Code.ARTIFACT_MISSING | Code.SMOKE_FAILED:
            return reverse("build", args=[values["to"]]), str(values["to"])
    if "upgrade" in values:
        return reverse("upgrade", args=[values["upgrade"]]), _("Upgrade %(number)s") % {"number": values["upgrade"]}
    if look.rule is Rule.TARGET and look.code is None and decision.to:
        return reverse("build", args=[decision.to.version]), _("The build")
    return "", ""


@dataclass(frozen=True)
class PauseLine:
    """A hold or a freeze that holds now or is to come. `hold` is the row of a hold."""

    pause: Pause
    who: str
    runs: bool
    title: str
    url: str = ""
    hold: Hold | None = None


def pause_lines(shown: Instance, now: datetime) -> list[PauseLine]:
    """All there are, and of each recurring freeze the next time. At most six queries.

    None begins later: holds and freezes end within a year of their last renewal.
    """
    found = pauses_for([shown], now, now + AHEAD)[shown.pk]
    holds = Hold.objects.select_related("by").in_bulk([one.number for one in found if one.kind is PauseKind.HOLD])
    numbers = {one.number for one in found if one.kind is PauseKind.FREEZE}
    freezes = Freeze.objects.for_list().in_bulk(numbers) if numbers else {}
    lines, told = [], set()
    for one in found:
        if (one.kind, one.number) not in told:
            told.add((one.kind, one.number))
            lines.append(_pause_line(one, holds, freezes, now))
    return lines


def _pause_line(one: Pause, holds: Mapping[int, Hold], freezes: Mapping[int, Freeze], now: datetime) -> PauseLine:
    runs = one.span.starts_at <= now
    if one.kind is PauseKind.HOLD:
        hold = holds[one.number]
        return PauseLine(one, hold.made_by, runs, _("On hold") if runs else _("Hold to come"), hold=hold)
    freeze = freezes[one.number]
    title = _("Frozen: %(name)s") if runs else _("Freeze to come: %(name)s")
    return PauseLine(one, freeze.made_by, runs, title % {"name": freeze.name}, reverse("freeze", args=[freeze.pk]))


@dataclass(frozen=True)
class ParkedNote:
    """The failed upgrade that keeps the nights from trying its build again (P11)."""

    upgrade: Upgrade
    sentence: str


def parked_upgrade(decision: Decision) -> Upgrade | None:
    """What keeps the site parked, whatever else keeps it there too."""
    numbers = [check.values["upgrade"] for check in decision.checks if check.code is Code.PARKED]
    return Upgrade.objects.select_related("build", "instance").get(pk=int(numbers[0])) if numbers else None


def _parked(decision: Decision) -> ParkedNote | None:
    upgrade = parked_upgrade(decision)
    if upgrade is None or not upgrade.outcome:
        return None
    words = end_sentence(Outcome(upgrade.outcome), EndCode(upgrade.end_code), upgrade.end_values)
    return ParkedNote(upgrade, words)


def site_page(
    request: HttpRequest, shown: Instance, now: datetime, *, form: TargetChoiceForm | None = None, status: int = 200
) -> HttpResponse:
    """The page, or its body for a form that asks by htmx."""
    template = "instances/site_detail.html"
    if wants_fragment(request):
        template += "#body"
    return render(request, template, _context(request, shown, now, form), status=status)


def _context(request: HttpRequest, shown: Instance, now: datetime, form: TargetChoiceForm | None) -> dict[str, Any]:
    night = next_night(now)
    facts = facts_of_night(night)
    found, waves = plan_with_waves(facts, night.starts_at, night.ends_at)
    decisions = {decision.site.id: decision for decision in found}
    neighbours = list(Instance.objects.for_list().filter(customer=shown.customer_id).exclude(pk=shown.pk))
    may = request.user.has_perm
    decision = decisions[shown.pk]
    return (
        {
            "site": shown,
            "now": now,
            "night": night,
            "last_change": _last_change(shown),
            "seen": last_seen(shown),
            "history": entries(history_rows(shown)[:LAST_FEW], now),
            "neighbours": [(other, _row(decisions[other.pk])) for other in neighbours[:NEIGHBOURS]],
            "changes": _changes(shown, decision),
            "hooks": _hooks(shown),
            "tags": list(shown.tags.all()),
            "address": shown.url.partition("://")[2].rstrip("/"),
            "more_neighbours": len(neighbours) > NEIGHBOURS,
            "pauses": pause_lines(shown, now),
            "may_start": may(START),
            "may_change": may(TARGET),
            "may_hold": may(HOLD),
            "may_edit": may(EDIT),
            "may_decide": may(DECIDE),
            "who_may_change": roles_with(TARGET)[0],
            "who_may_decide": roles_with(DECIDE)[0],
            "who_may_edit": roles_with(EDIT)[0],
            "foreign": foreign_words(shown),
        }
        | _plan_context(shown, decision, waves, now)
        | _form_context(shown, facts, form, night, now, may(DOWNGRADE))
    )


def _last_change(shown: Instance) -> TargetChange | None:
    return shown.target_changes.select_related("by", "to_build").first()


def _changes(shown: Instance, decision: Decision) -> ReleaseNotes | None:
    """From what it runs to what its target means; None where it is there, or nobody knows."""
    if shown.reported_key is None or decision.to is None or decision.to.key == shown.reported_key:
        return None
    return release_notes(shown.reported_key, decision.to.key, limit=NOTES)


def _plan_context(shown: Instance, decision: Decision, waves: list[Wave], now: datetime) -> dict[str, Any]:
    lines = why(decision, shown)
    return _row(decision) | {
        "why": lines,
        "stuck": next((line for line in lines if line.look is STUCK), None),
        "parked": _parked(decision),
        "nights_off": nights_off_words(Policy.objects.select_related("nights_off_by").get(), now),
        "turn": _turn(decision, waves, now) if decision.upgrades else "",
        "chance": "" if decision.upgrades else chance_words(decision, shown, now),
        "path": path_of(decision),
        "windows": _window_lines(shown, decision),
        "own_windows": SiteWindow.objects.filter(instance=shown).exists(),
        "local_time": _local_time(decision, now),
    }


def _turn(decision: Decision, waves: list[Wave], now: datetime) -> str:
    """“From Tue 24 Nov 01:00 in Dublin, wave 2 (canary), about 4 min”. Its wave may have to wait for others."""
    if decision.opens_at is None:
        return ""
    parts = [_("From %(moment)s") % {"moment": words.moment_in(decision.opens_at, now, zone_of(decision))}]
    wave = next((wave for wave in waves if wave.number == decision.wave), None)
    if wave:
        parts.append(WAVE_WORDS[wave.kind] % {"number": wave.number})
    parts.append(_("about %(duration)s") % {"duration": words.took(decision.site.needs / MARGIN)})
    return ", ".join(map(str, parts))


WAVE_WORDS: dict[WaveKind, Any] = {
    WaveKind.TEST: gettext_lazy("wave %(number)s (test sites)"),
    WaveKind.CANARY: gettext_lazy("wave %(number)s (canary)"),
    WaveKind.REST: gettext_lazy("wave %(number)s"),
}


def _window_lines(shown: Instance, decision: Decision) -> list[str]:
    return [format_window(window) for window in decision.site.windows]


def _local_time(decision: Decision, now: datetime) -> str:
    """The hour by the site's own clock, where it has a window."""
    zone = zone_of(decision)
    if not zone:
        return ""
    return _("now %(time)s there") % {"time": f"{now.astimezone(decision.site.windows[0].zone):%H:%M}"}


def _row(decision: Decision) -> dict[str, Any]:
    return {"decision": decision, "look": LOOKS[decision.code], "short": short_sentence(decision)}


def _hooks(shown: Instance) -> list[tuple[str, str]]:
    """The commands and addresses that an upgrade uses, without those that the site does not have."""
    hooks = [
        (_("Health page"), shown.health_url), (_("Version page"), shown.version_url),
        (_("Version"), shown.version_command), (_("Backup"), shown.backup_command),
        (_("Migrate"), shown.migrate_command), (_("Undo migrate"), shown.migrate_undo_command),
        (_("Restart"), shown.restart_command), (_("Values"), shown.recipe_values),
    ]  # fmt: skip
    return [(title, command) for title, command in hooks if command]


def _form_context(
    shown: Instance, facts: Facts, form: TargetChoiceForm | None, night: Night, now: datetime, may_go_back: bool
) -> dict[str, Any]:
    typed = TargetChoiceForm(form.data) if form else None
    preview = preview_of(shown, typed, night=night, now=now, may_go_back=may_go_back) if typed else None
    return {
        "form": form,
        "chosen": _chosen(shown, form),
        "options": channel_options(shown, facts),
        "pins": pin_groups(shown, facts),
        "thens": then_options(shown),
        "usual_then": usual_then(shown),
        "pin_end": end_words(shown.target, now),
        "preview": preview if form and not form.errors else None,
        "consent": preview.consent if preview else None,
    }


def _chosen(shown: Instance, form: TargetChoiceForm | None) -> dict[str, str]:
    """What the fields say: as typed, else the target as it is."""
    if form is not None:
        names = ("target", "build", "ends", "until", "then", "reason")
        return {name: form.data.get(name, "") for name in names}
    target = shown.target
    return {
        "target": target.channel or PIN,
        "build": str(target.build or ""),
        "ends": target.ends.value if target.ends is not PinEnd.NEVER else "",
        "until": timezone.localtime(target.until).date().isoformat() if target.until else "",
        "then": target.then or "",
    }


@needs("instances.view_instance")
@require_safe
def site_history(request: HttpRequest, slug: str) -> HttpResponse:
    shown = load_site(slug)
    upgrades_only = request.GET.get("only") == "upgrades"
    page = Paginator(history_rows(shown, upgrades_only=upgrades_only), PER_PAGE).get_page(request.GET.get("page"))
    context = {"site": shown, "page": page, "history": entries(page, clock.now()), "upgrades_only": upgrades_only}
    return render(request, "instances/site_history.html", context)


@needs(TARGET)
@require_POST
def site_ask(request: HttpRequest, slug: str) -> HttpResponse:
    """Asks the site for its version, by a worker (P10)."""
    shown = load_site(slug)
    queue.enqueue("upgrades.tasks.ask_versions_later", [shown.pk])
    messages.info(request, _("%(site)s is being asked for its version. Reload in a moment.") % {"site": shown})
    return redirect(shown)
