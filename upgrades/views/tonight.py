"""What the next night will do to every site, and why (P1)."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from instances.models import Instance
from releasemgr.lib import clock
from releasemgr.lib.components import ViewLink
from releasemgr.lib.permission import needs
from upgrades import sentences
from upgrades.models import Run
from upgrades.plan import Code, Decision, Rule
from upgrades.services.planning import plan_night
from upgrades.views.runs import local_date


@require_safe
@needs("upgrades.view_run")
def tonight(request: HttpRequest) -> HttpResponse:
    return render(request, "upgrades/tonight.html", _plan(request, clock.now()))


def _plan(request: HttpRequest, now: datetime) -> dict[str, Any]:
    night, decisions = plan_night(now)
    going = [decision for decision in decisions if decision.upgrades]
    running = [decision for decision in decisions if decision.code is Code.ALREADY_RUNNING]
    skipped = [decision for decision in decisions if decision.off_target and decision not in running]
    idle = [decision for decision in decisions if not (decision.upgrades or decision.off_target)]
    shown = request.GET.get("show")
    lists = [("", _("Upgrades"), going), ("skipped", _("Off target, skipped"), skipped)]
    lists += [("running", _("Running now"), running), ("idle", _("Needs nothing"), idle)]
    known = [key for key, _label, _decisions in lists]
    shown = shown if shown in known else ""
    sites = Instance.objects.select_related("host").in_bulk()
    return {
        "night": night,
        "now": now,
        "name": sentences.tonight_words(night.date, local_date(night.ends_at)),
        "shown": shown,
        "views": [
            ViewLink(label, reverse("tonight") + (f"?show={key}" if key else ""), len(found), key == shown)
            for key, label, found in lists
        ],
        "groups": _groups(going, sites),
        "skipped": [_row(decision, sites) for decision in skipped],
        "running": [_row(decision, sites) for decision in running],
        "idle": [_row(decision, sites) for decision in idle],
        "sites": len(decisions),
        "last_run": Run.objects.order_by("-starts_at", "-pk").first(),
    }


def _groups(going: list[Decision], sites: dict[int, Instance]) -> list[tuple[str, list[dict[str, Any]]]]:
    groups = [(_("Test sites"), False), (_("Live sites"), True)]
    listed = [(name, [_row(one, sites) for one in going if one.site.live == live]) for name, live in groups]
    return [(name, rows) for name, rows in listed if rows]


def _row(decision: Decision, sites: dict[int, Instance]) -> dict[str, Any]:
    deciding = decision.deciding
    return {
        "site": sites[decision.site.id],
        "old": decision.site.reported,
        "new": decision.to.version if decision.to else "",
        "look": sentences.LOOKS[decision.code],
        "because": _because(decision),
        "sentence": sentences.check_sentence(deciding) if deciding else "",
        "way_on": sentences.way_on(decision.code),
        "upgrade": decision.site.running or decision.site.needs_a_person,
    }


def _because(decision: Decision) -> str:
    """What the rule about the target says: the reason for an upgrade."""
    check = next(check for check in decision.checks if check.rule is Rule.TARGET)
    return sentences.check_sentence(check)
