"""Puts an entry of “Needs a decision” off for a day, for all, with a name."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib import messages
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from releasemgr.lib import clock
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.history.services import record
from releasemgr.lib.permission import needs, person
from releasemgr.models import Snooze
from releasemgr.pages.acting import actor_of
from releasemgr.pages.decision_entry import Entry
from releasemgr.pages.decisions import waiting_decisions
from releasemgr.pages.fleet import fleet_now
from releasemgr.pages.tonight_plan import plan_of_tonight
from upgrades.models import Run

SNOOZE = "releasemgr.add_snooze"
A_DAY = timedelta(days=1)
LONGEST_TITLE = 200


@dataclass(frozen=True)
class Snoozed:
    entry: Entry
    until: datetime
    by: str


def awake(entries: Sequence[Entry], now: datetime) -> tuple[list[Entry], list[Snoozed]]:
    """Those that wait for a decision now, and those that somebody put off. One query."""
    rows = Snooze.objects.filter(until__gt=now, key__in=[entry.key for entry in entries]).select_related("by")
    sleeping = {row.key: row for row in rows}
    snoozed = [
        Snoozed(entry, row.until, row.by.get_full_name() or row.by.get_username())
        for entry in entries
        if (row := sleeping.get(entry.key))
    ]
    return [entry for entry in entries if entry.key not in sleeping], snoozed


def waiting_now(now: datetime) -> list[Entry]:
    last = Run.objects.nightly().for_list().order_by("-date").first()
    return waiting_decisions(last=last, fleet=fleet_now(), plan=plan_of_tonight(now), now=now)


@require_POST
@needs(SNOOZE)
def snooze(request: HttpRequest) -> HttpResponse:
    """`key` is the entry's, which has to wait now; with `wake` it is shown again at once."""
    now = clock.now()
    entry = next((one for one in waiting_now(now) if one.key == request.POST.get("key", "")), None)
    if entry is None:
        messages.info(request, _("That does not wait for a decision any more."))
    elif "wake" in request.POST:
        wake(entry.key, actor=actor_of(request), now=now)
    else:
        put_off(entry.key, entry.title, by=person(request), now=now)
        messages.success(request, _("Put off until tomorrow, for everyone."))
    return redirect("overview")


@transaction.atomic
def put_off(key: str, title: str, *, by: User, now: datetime) -> Snooze:
    """For a day. What is over of others is forgotten; the history has it."""
    Snooze.objects.filter(until__lte=now).delete()
    row, _new = Snooze.objects.update_or_create(
        key=key, defaults={"title": title[:LONGEST_TITLE], "until": now + A_DAY, "at": now, "by": by}
    )
    record("decision.put_off", row, actor=Actor(Origin.PAGE, by), now=now, after={"until": row.until})
    return row


@transaction.atomic
def wake(key: str, *, actor: Actor, now: datetime) -> None:
    row = Snooze.objects.select_for_update().filter(key=key).first()
    if row:
        record("decision.shown_again", row, actor=actor, now=now, before={"until": row.until})
        row.delete()
