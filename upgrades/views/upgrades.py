"""One upgrade: what happened, its steps and its log, and the decision of a person where it needs one."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from releasemgr.lib import clock, words
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.history.services import ChangedMeanwhile, last_seen
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import needs, person
from releasemgr.roles import roles_with
from upgrades import sentences
from upgrades.choices import EndCode, Outcome, StepState, UpgradeState
from upgrades.exceptions import ReportedMeanwhile, UpgradeChanged
from upgrades.forms import UnlockForm
from upgrades.log_lines import Line
from upgrades.models import Upgrade
from upgrades.services.ends import unlock_site
from upgrades.services.limits import limits_that_stop
from upgrades.services.retries import is_parked
from upgrades.views.acts import conflict_words
from upgrades.views.log_blocks import WINDOW, Log
from upgrades.views.run_results import RETRY
from upgrades.views.upgrade_acts import actions_for, cancelling_words

DECIDE = "upgrades.decide_upgrade"
EARLIER_UPGRADES = 5
LONGEST_SEARCH = 200


@require_safe
@needs("upgrades.view_upgrade")
def upgrade_detail(request: HttpRequest, number: int) -> HttpResponse:
    """`line` opens the step with that line, `find` and `errors` show the lines that match."""
    context = _page(request, upgrade_for_page(number))
    return render(request, "upgrades/_log.html" if wants_fragment(request) else "upgrades/upgrade_detail.html", context)


def upgrade_for_page(number: int) -> Upgrade:
    upgrades = Upgrade.objects.select_related(
        "run",
        "build",
        "instance__customer",
        "instance__host",
        "decided_by",
        "retried_by",
        "run__requested_by",
        "cancel_asked_by",
    )
    return get_object_or_404(upgrades.defer("journal"), pk=number)


@require_POST
@needs(DECIDE)
def unlock(request: HttpRequest, number: int) -> HttpResponse:
    upgrade = upgrade_for_page(number)
    form = UnlockForm(request.POST)
    if not form.is_valid():
        return _refused(request, number, form, 422)
    try:
        unlock_site(upgrade, actor=Actor(Origin.PAGE, person(request)), now=clock.now(), **form.cleaned_data)
    except ChangedMeanwhile as refused:
        form.add_error(None, conflict_words(refused))
        return _refused(request, number, form, 409)
    except ReportedMeanwhile as refused:
        form.add_error(None, _("%(error)s Nothing was changed.") % {"error": refused})
        return _refused(request, number, form, 409)
    except UpgradeChanged:
        messages.warning(request, _("Someone else has decided meanwhile. Nothing was changed."))
    else:
        messages.success(
            request, _("%(site)s is unlocked: the next night plans it again.") % {"site": upgrade.instance}
        )
    return redirect(upgrade)


def _refused(request: HttpRequest, number: int, form: UnlockForm, status: int) -> HttpResponse:
    """The page says what is so now: who sends the form again has read it."""
    context = _page(request, upgrade_for_page(number)) | {"form": form}
    return render(request, "upgrades/upgrade_detail.html", context, status=status)


def _page(request: HttpRequest, upgrade: Upgrade) -> dict[str, Any]:
    now = clock.now()
    log = Log(upgrade, now)
    total = log.count()
    context = facts_of(request, upgrade, log, now) | {
        "total": total,
        "errors": log.count_errors(total),
    }
    find = request.GET.get("find", "").strip()[:LONGEST_SEARCH]
    if find or "errors" in request.GET:
        shown, hits = log.found(log.is_error if not find else _says(find))
        said = {"hit_words": _hit_words(hits, find), "limited": hits > WINDOW, "window": WINDOW}
        return context | said | {"shown": shown, "find": find}
    return context | {"shown": log.page(total, _wanted_line(request)), "following": upgrade.is_active}


def _says(text: str) -> Any:
    folded = text.casefold()

    def says(line: Line) -> bool:
        return folded in line.text.casefold()

    return says


def _hit_words(hits: int, find: str) -> str:
    if not find:
        return ngettext("%(n)d line is an error", "%(n)d lines are errors", hits) % {"n": hits}
    return ngettext("%(n)d line says “%(text)s”", "%(n)d lines say “%(text)s”", hits) % {"n": hits, "text": find}


def _wanted_line(request: HttpRequest) -> int | None:
    text = request.GET.get("line", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 12):
        raise BadRequest("line is no number")
    return int(text)


def facts_of(request: HttpRequest, upgrade: Upgrade, log: Log, now: datetime) -> dict[str, Any]:
    """What the page shows beside the log, and a fragment renews while it grows."""
    awaits = upgrade.outcome == Outcome.NEEDS_A_PERSON and upgrade.decided_at is None
    return {
        "upgrade": upgrade,
        "log": log,
        "now": now,
        "status": upgrade.status,
        "status_words": _status_words(upgrade, log, now),
        "took": upgrade.took,
        "what_happened": _what_happened(upgrade),
        "may_decide": request.user.has_perm(DECIDE),
        "advice": sentences.advice(Outcome(upgrade.outcome), EndCode(upgrade.end_code)) if upgrade.outcome else "",
        "awaits": awaits,
        "form": UnlockForm(),
        "shared": limits_that_stop(upgrade.instance) if upgrade.state == UpgradeState.WAITING else [],
        "seen": last_seen(upgrade.instance) if awaits else 0,
        "roles": roles_with(DECIDE),
        "events": [(event, UpgradeState(event.to_state)) for event in upgrade.events.all()],
        "previous": _earlier_upgrades(upgrade),
        "legs": _legs(upgrade),
        "same": _same_failures(upgrade),
        "parked": is_parked(upgrade),
        "reported_since": _has_reported_since(upgrade),
        "cancelling": cancelling_words(upgrade),
        "actions": actions_for(upgrade, request.user),
        "may_retry": request.user.has_perm(RETRY),
        "retry_roles": roles_with(RETRY),
    }


def _has_reported_since(upgrade: Upgrade) -> bool:
    reported = upgrade.instance.reported_at
    return bool(upgrade.ended_at and reported and reported > upgrade.ended_at and upgrade.instance.reported_key)


def _what_happened(upgrade: Upgrade) -> str:
    if not upgrade.outcome:
        return ""
    return sentences.end_sentence(Outcome(upgrade.outcome), EndCode(upgrade.end_code), upgrade.end_values)


def _status_words(upgrade: Upgrade, log: Log, now: datetime) -> str:
    """The outcome, or where it is: “Running, step 5 of 10, 2 min 47 s”."""
    if upgrade.outcome:
        return sentences.result_words(Outcome(upgrade.outcome), upgrade.end_values)
    places = [place for place, block in enumerate(log.way_there, 1) if block.look is StepState.RUNNING]
    if not places or upgrade.started_at is None:
        return str(upgrade.status.label)
    return _("%(state)s, step %(place)d of %(steps)d, %(took)s") % {
        "state": upgrade.status.label,
        "place": places[0],
        "steps": len(log.way_there),
        "took": words.took(max(now - upgrade.started_at, timedelta(0))),
    }


def _legs(upgrade: Upgrade) -> list[Upgrade]:
    """All legs of its way over stepping stones, in order (T8). Empty for a straight way."""
    legs = Upgrade.objects.filter(run=upgrade.run_id, instance=upgrade.instance_id).select_related("build")
    found = list(legs.defer("journal").order_by("leg"))
    return found if len(found) > 1 else []


def _same_failures(upgrade: Upgrade) -> list[Upgrade]:
    """Other upgrades that failed in the same way, newest first."""
    if not upgrade.fingerprint:
        return []
    same = Upgrade.objects.filter(fingerprint=upgrade.fingerprint).exclude(pk=upgrade.pk)
    return list(same.select_related("build", "instance").defer("journal").order_by("-pk")[:EARLIER_UPGRADES])


def _earlier_upgrades(upgrade: Upgrade) -> list[Upgrade]:
    earlier = Upgrade.objects.filter(instance=upgrade.instance, pk__lt=upgrade.pk)
    return list(earlier.select_related("build").defer("journal").order_by("-pk")[:EARLIER_UPGRADES])
