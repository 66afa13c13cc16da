"""Settings: schedule and waves. Every change says what it does to tonight before it is saved (P4, P5, P6)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from instances.exceptions import InvalidInput
from instances.services import default_subject, windows_of
from releasemgr.lib import clock
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import ChangedMeanwhile, type_of
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import check, needs, person
from releasemgr.pages.activity import Line, lines_of
from releasemgr.pages.schedule_form import ScheduleForm, initial_of
from releasemgr.pages.wave_rows import WaveRow, wave_rows
from releasemgr.roles import roles_with
from upgrades.exceptions import PolicyRefused
from upgrades.models import Policy, Schedule
from upgrades.plan import Decision
from upgrades.services.policy import Seen, change_rules
from upgrades.services.previews import NightPreview, PlannedNight, planned_night, preview_rules

VIEW, CHANGE = "upgrades.view_policy", "upgrades.change_policy"
LAST_FEW, NAMED = 20, 10
INVALID, CONFLICT = 422, 409


@needs(VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def schedule(request: HttpRequest) -> HttpResponse:
    """GET with values, or POST with the button Preview, says what they would do; POST saves."""
    now = clock.now()
    if request.method == "POST" and "preview" not in request.POST:
        check(request, CHANGE)
        return _save(request, now)
    data = request.POST if request.method == "POST" else request.GET
    if "start" not in data and not wants_fragment(request):
        return _page(request, _form(), now)
    form = _form(data)
    if wants_fragment(request):
        return render(request, "upgrades/schedule.html#preview", {"preview": _preview(form, now)})
    return _page(request, form, now)


def _form(data: Any = None) -> ScheduleForm:
    row = Schedule.objects.get()
    return ScheduleForm(
        data, instance=Policy.objects.get(), schedule=row, initial=initial_of(row, windows_of(None), Seen.now())
    )


def _save(request: HttpRequest, now: datetime) -> HttpResponse:
    form = _form(request.POST)
    if not form.is_valid():
        return _page(request, form, now, status=INVALID)
    try:
        changed = change_rules(
            policy=form.policy_values, schedule=form.schedule_values, windows=form.chosen_windows,
            actor=Actor(Origin.PAGE, person(request)), now=now, reason=form.cleaned_data["reason"],
            seen=form.seen_changes,
        )  # fmt: skip
    except ChangedMeanwhile as refused:
        return _page(request, form, now, status=CONFLICT, theirs=lines_of([refused.theirs], now)[0])
    except (PolicyRefused, InvalidInput) as refused:
        form.refuse(refused.errors)
        return _page(request, form, now, status=INVALID)
    messages.success(request, _("Saved. It acts on what has not begun.") if changed else _("Nothing was changed."))
    return redirect("schedule")


@dataclass(frozen=True)
class Preview:
    """What the next night looks like with the form's values. `faults` is what they would be refused for."""

    faults: list[str]
    headline: str = ""
    night: NightPreview | None = None
    waves: list[WaveRow] | None = None
    waves_before: list[WaveRow] | None = None
    outside: list[tuple[Decision, datetime | None]] | None = None
    more_outside: int = 0

    @property
    def waves_change(self) -> bool:
        return self.waves != self.waves_before


def _preview(form: ScheduleForm, now: datetime) -> Preview | None:
    """None for a form in which nothing was entered yet."""
    if not form.is_bound:
        return None
    if not form.is_valid():
        return Preview([str(sentence) for sentences in form.errors.values() for sentence in sentences])
    found = preview_rules(form.instance, form.schedule, form.chosen_windows, now)
    return Preview(
        [], _headline(found), found, wave_rows(found.after), wave_rows(found.before),
        _outside(found.after), max(0, len(found.after.outside) - NAMED),
    )  # fmt: skip


def _outside(planned: PlannedNight) -> list[tuple[Decision, datetime | None]]:
    """Sites that have no turn in that night, with when they have one; None: in no night of a week."""
    return [(one, planned.next_chance(one.site)) for one in planned.outside[:NAMED]]


def _headline(found: NightPreview) -> str:
    said = []
    if found.losing:
        words = ngettext(
            "%(n)d site does not upgrade tonight.", "%(n)d sites do not upgrade tonight.", len(found.losing)
        )
        said.append(words % {"n": len(found.losing)})
    if found.winning:
        words = ngettext("%(n)d site more upgrades tonight.", "%(n)d sites more upgrade tonight.", len(found.winning))
        said.append(words % {"n": len(found.winning)})
    return " ".join(said) or _("The same sites upgrade tonight.")


def _page(
    request: HttpRequest, form: ScheduleForm, now: datetime, *, status: int = 200, theirs: Line | None = None
) -> HttpResponse:
    preview = _preview(form, now)
    present = preview.night.before if preview and preview.night else planned_night(now)
    context = {
        "form": form,
        "preview": preview,
        "present": present,
        "waves": wave_rows(present),
        "outside": _outside(present),
        "more_outside": max(0, len(present.outside) - NAMED),
        "theirs": theirs,
        "history": lines_of(list(_history()[:LAST_FEW]), now),
        "zone": settings.TIME_ZONE,
        "nights_off": Policy.objects.get().nights_off_since is not None,
        "may": request.user.has_perm(CHANGE),
        "who_may": roles_with(CHANGE)[0],
    }
    return render(request, "upgrades/schedule.html", context, status=status)


def _history() -> Any:
    of_default = Q(subject_type=type_of(default_subject()), subject_id=str(default_subject().pk))
    return Change.objects.filter(Q(subject_type__in=("policy", "schedule")) | of_default).select_related("by")
