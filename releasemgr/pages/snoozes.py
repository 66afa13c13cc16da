"""Puts an entry of “Needs a decision” off for a day, for all, with a name."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from releasemgr.lib import clock
from releasemgr.lib.permission import needs, person
from releasemgr.models import Snooze
from releasemgr.pages.decision_entry import Entry

SNOOZE = "releasemgr.add_snooze"
A_DAY = timedelta(days=1)
LONGEST_KEY = 200


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


@require_POST
@needs(SNOOZE)
def snooze(request: HttpRequest) -> HttpResponse:
    """`key` is the entry's; with `wake` it is shown again at once."""
    key, now = request.POST.get("key", "").replace("\x00", ""), clock.now()
    if not key or len(key) > LONGEST_KEY:
        raise BadRequest("no entry")
    if "wake" in request.POST:
        Snooze.objects.filter(key=key).delete()
    else:
        Snooze.objects.filter(until__lte=now).delete()
        Snooze.objects.update_or_create(key=key, defaults={"until": now + A_DAY, "at": now, "by": person(request)})
        messages.success(request, _("Put off until tomorrow, for everyone."))
    return redirect("overview")
