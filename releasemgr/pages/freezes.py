"""Freezes: what runs, what comes, what is over; a new one, a change, and an end, each with what it does first (P8)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe

from instances.choices import FreezeScope, FreezeState
from instances.exceptions import InvalidInput
from instances.models import Customer, Freeze, Instance
from instances.services import change_freeze, end_freeze, end_freeze_on, ended_on, open_freeze, sites_of
from instances.windows import Span
from releasemgr.lib import clock
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.components import ViewLink
from releasemgr.lib.history.services import ChangedMeanwhile, last_seen
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import check, needs, person
from releasemgr.pages.activity import Line, activity_of, lines_of
from releasemgr.pages.freeze_form import EndForm, FreezeForm, initial_of, zones_in_use
from releasemgr.pages.once import once
from releasemgr.roles import roles_with
from upgrades.models import Schedule
from upgrades.night import Night
from upgrades.services.planning import Effect, next_night
from upgrades.services.previews import preview_freeze

VIEW, ADD, CHANGE = "instances.view_freeze", "instances.add_freeze", "instances.change_freeze"
PER_PAGE, NAMED, TIMES_SHOWN = 50, 10, 5
FORESEEN = timedelta(weeks=6)
INVALID, CONFLICT = 422, 409


@dataclass(frozen=True)
class Row:
    """A freeze with the time that runs or comes next; the last one where it is over."""

    freeze: Freeze
    state: FreezeState
    span: Span


def row_of(freeze: Freeze, now: datetime) -> Row:
    time = freeze.time_at(now)
    if time is None:
        return Row(freeze, FreezeState.OVER, _last_time(freeze, now))
    return Row(freeze, FreezeState.RUNNING if time.covers(now) else FreezeState.COMING, time)


def _last_time(freeze: Freeze, now: datetime) -> Span:
    """Its last time that began; the first where none did."""
    times = (
        [pause.span for pause in freeze.pauses(freeze.starts_at, max(now, freeze.ends_at))] if freeze.repeats else []
    )
    return times[-1] if times else Span(freeze.starts_at, min(freeze.ended_at or freeze.ends_at, freeze.ends_at))


@needs(VIEW)
@require_safe
def freezes(request: HttpRequest) -> HttpResponse:
    """Current and coming ones, or with ?show=past those that are over. The same queries, whatever their number."""
    now = clock.now()
    rows = [row_of(freeze, now) for freeze in Freeze.objects.for_list().not_over(now)]
    groups = {
        state: sorted((row for row in rows if row.state is state), key=lambda row: (row.span, row.freeze.pk))
        for state in FreezeState
    }
    past = request.GET.get("show") == "past"
    over = Freeze.objects.for_list().ended(now)
    page = Paginator(over, PER_PAGE).get_page(request.GET.get("page")) if past else None
    context: dict[str, Any] = {
        "past": past,
        "page": page,
        "over": [row_of(freeze, now) for freeze in page or []],
        "groups": [
            (_("Frozen now"), groups[FreezeState.RUNNING]), (_("Coming"), groups[FreezeState.COMING]),
            (_("Over, because the last day on which they begin is past"), groups[FreezeState.OVER]),
        ],
        "none": not rows,
        "views": [
            ViewLink(_("Current and coming"), reverse("freezes"), len(rows), not past),
            ViewLink(_("Past"), reverse("freezes", query={"show": "past"}), over.count(), past),
        ],
        "now": now,
    }  # fmt: skip
    return render(request, "instances/freeze_list.html", context | _who(request))


def _who(request: HttpRequest) -> dict[str, Any]:
    return {
        "may_add": request.user.has_perm(ADD),
        "may_change": request.user.has_perm(CHANGE),
        "who_may": roles_with(CHANGE)[0],
    }


@needs(VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
@once
def freeze_new(request: HttpRequest) -> HttpResponse:
    """The form; with values in the address also what they would do. POST saves, unless Preview was pressed."""
    now = clock.now()
    if request.method == "POST" and "preview" not in request.POST:
        check(request, ADD)
        return _add(request, now)
    if request.method == "POST" or "scope" in request.GET or wants_fragment(request):
        data = request.POST if request.method == "POST" else request.GET
        return _previewed(request, FreezeForm(data, now=now, preview=True), None)
    return _form_page(request, FreezeForm(now=now, initial=_suggested(request, now)), None)


def _suggested(request: HttpRequest, now: datetime) -> dict[str, Any]:
    """For an empty form: one night from this evening on; ?customer=acme chooses that customer."""
    zone = ZoneInfo(settings.TIME_ZONE)
    evening = now.astimezone(zone).replace(hour=18, minute=0, second=0, microsecond=0, tzinfo=None)
    found: dict[str, Any] = {"zone": settings.TIME_ZONE, "starts_at": evening}
    found["ends_at"] = evening.replace(hour=6) + timedelta(days=1)
    slug = request.GET.get("customer")
    if slug is not None:
        customer = get_object_or_404(Customer, slug=slug.replace("\x00", ""))
        found |= {"scope": FreezeScope.CUSTOMER.value, "customer": customer.slug, "name": customer.name[:80]}
    return found


def _add(request: HttpRequest, now: datetime) -> HttpResponse:
    form = FreezeForm(request.POST, now=now)
    if form.is_valid():
        effect = _effect_of(form)
        try:
            freeze = open_freeze(form.values(), actor=_actor(request), now=now)
        except InvalidInput as refused:
            form.refuse(refused)
        else:
            messages.success(request, _("%(name)s is saved. %(effect)s") % {"name": freeze, "effect": effect})
            return redirect(freeze)
    return _form_page(request, form, None, status=INVALID)


def _effect_of(form: FreezeForm) -> str:
    """What saving it does tonight. For a valid form that was not saved yet."""
    effects = preview_freeze(form.row(), next_night(form.now))
    return _effect_sentence(_waiting(effects), [one for one in effects if _goes_then(one)])


def _actor(request: HttpRequest) -> Actor:
    return Actor(Origin.PAGE, person(request))


def _load(number: int) -> Freeze:
    return get_object_or_404(Freeze.objects.for_list().select_related("ended_by"), pk=number)


@needs(VIEW)
@require_safe
def freeze(request: HttpRequest, number: int) -> HttpResponse:
    now, shown = clock.now(), _load(number)
    covered = sites_of(shown)
    named = Instance.objects.for_list().filter(pk__in=covered)[:NAMED]
    context = {
        "row": row_of(shown, now),
        "freeze": shown,
        "now": now,
        "times": _times(shown, now),
        "nights": nights_touched(shown, now),
        "sites": list(named),
        "number_of_sites": len(covered),
        "more_sites": max(0, len(covered) - NAMED),
        "night": next_night(now),
        "history": activity_of(shown, limit=50),
        "over": shown.time_at(now) is None,
        "waiting": _held_tonight(shown, now),
    }
    return render(request, "instances/freeze_detail.html", context | _who(request))


def _held_tonight(shown: Freeze, now: datetime) -> list[Effect]:
    """What the next night would upgrade if it were not for this freeze."""
    if shown.ended_at:
        return []
    lifted = Freeze.objects.select_related("customer", "tag").get(pk=shown.pk)
    lifted.ended_at = now
    return [effect for effect in preview_freeze(lifted, next_night(now)) if _goes_then(effect)]


def _goes_then(effect: Effect) -> bool:
    return effect.after.upgrades and not effect.before.upgrades


def _waits_then(effect: Effect) -> bool:
    return effect.before.upgrades and not effect.after.upgrades


def _waiting(effects: Iterable[Effect]) -> list[Effect]:
    return [effect for effect in effects if _waits_then(effect)]


def _times(freeze: Freeze, now: datetime) -> list[Span]:
    return [] if freeze.ended_at else freeze.recurrence.coming(now, TIMES_SHOWN)


@dataclass(frozen=True)
class NightTouched:
    night: Night
    whole: bool


def nights_touched(freeze: Freeze, now: datetime) -> list[NightTouched]:
    """The nights of the next six weeks in which the freeze leaves sites alone, wholly or for a part."""
    timetable = Schedule.objects.get().timetable
    first = timetable.latest(now)
    nights = [first] if first.covers(now) else []
    nights += list(timetable.started_between(now, now + FORESEEN))
    times = [pause.span for pause in freeze.pauses(nights[0].starts_at, nights[-1].ends_at)]
    touched = [(night, [span for span in times if span.meets(night.starts_at, night.ends_at)]) for night in nights]
    return [
        NightTouched(night, any(span.starts_at <= night.starts_at and span.ends_at >= night.ends_at for span in spans))
        for night, spans in touched
        if spans
    ]


@needs(VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def freeze_change(request: HttpRequest, number: int) -> HttpResponse:
    now, shown = clock.now(), _load(number)
    if request.method == "POST" and "preview" not in request.POST:
        check(request, CHANGE)
        return _change(request, shown, now)
    if request.method == "POST" or "scope" in request.GET or wants_fragment(request):
        return _previewed(request, FreezeForm(_sent(request, shown), now=now, freeze=shown, preview=True), shown)
    form = FreezeForm(now=now, freeze=shown, initial=initial_of(shown) | {"seen": last_seen(shown)})
    return _form_page(request, form, shown)


def _sent(request: HttpRequest, shown: Freeze) -> QueryDict:
    """What the form holds; an address that fills it in shows the freeze as it is now."""
    if request.method == "POST":
        return request.POST
    data = request.GET.copy()
    data.setdefault("seen", str(last_seen(shown)))
    return data


def _change(request: HttpRequest, shown: Freeze, now: datetime) -> HttpResponse:
    form = FreezeForm(request.POST, now=now, freeze=shown)
    if not form.is_valid():
        return _form_page(request, form, shown, status=INVALID)
    seen, effect = form.cleaned_data["seen"] or 0, _effect_of(form)
    try:
        changed = change_freeze(shown, form.values(), actor=_actor(request), now=now, seen=seen)
    except ChangedMeanwhile as refused:
        return _form_page(request, form, shown, status=CONFLICT, theirs=_line_of(refused, now))
    except InvalidInput as refused:
        form.refuse(refused)
        return _form_page(request, form, shown, status=INVALID)
    said = _("%(name)s is changed. %(effect)s") % {"name": shown, "effect": effect}
    messages.success(request, said if changed else _("Nothing was changed."))
    return redirect(shown)


def _line_of(refused: ChangedMeanwhile, now: datetime) -> Line:
    return lines_of([refused.theirs], now)[0]


def _previewed(request: HttpRequest, form: FreezeForm, shown: Freeze | None) -> HttpResponse:
    if wants_fragment(request):
        context = {"form": form, "preview": _preview(form)}
        return render(request, "instances/freeze_form.html#preview", context)
    return _form_page(request, form, shown)


@dataclass(frozen=True)
class Preview:
    """What a freeze would do. `faults` is what it would be refused for; then there is nothing else."""

    faults: list[str]
    effect: str = ""
    waiting: list[Effect] | None = None
    sites: str = ""
    times: list[Span] | None = None
    nights: list[NightTouched] | None = None
    zone: str = ""

    @property
    def more(self) -> int:
        return max(0, len(self.waiting or []) - NAMED)

    @property
    def named(self) -> list[Effect]:
        return (self.waiting or [])[:NAMED]


def _preview(form: FreezeForm) -> Preview | None:
    """None for a form in which nothing was entered yet."""
    if not form.is_bound:
        return None
    if not form.is_valid():
        return Preview([str(sentence) for sentences in form.errors.values() for sentence in sentences])
    row = form.row()
    effects = preview_freeze(row, next_night(form.now))
    waiting = _waiting(effects)
    number = len(sites_of(row))
    sites = ngettext("%(n)d site is left alone.", "%(n)d sites are left alone.", number) % {"n": number}
    return Preview(
        [], _effect_sentence(waiting, [one for one in effects if _goes_then(one)]), waiting, sites,
        row.recurrence.coming(form.now, TIMES_SHOWN), nights_touched(row, form.now), row.zone,
    )  # fmt: skip


def _effect_sentence(waiting: list[Effect], going: list[Effect]) -> str:
    """What it does tonight, as a sentence."""
    said = []
    if waiting:
        words = ngettext("Tonight %(n)d upgrade waits.", "Tonight %(n)d upgrades wait.", len(waiting))
        said.append(words % {"n": len(waiting)})
    if going:
        words = ngettext("Tonight %(n)d site more upgrades.", "Tonight %(n)d sites more upgrade.", len(going))
        said.append(words % {"n": len(going)})
    return " ".join(said) or _("It changes nothing tonight.")


def _form_page(
    request: HttpRequest, form: FreezeForm, shown: Freeze | None, *, status: int = 200, theirs: Line | None = None
) -> HttpResponse:
    needed = CHANGE if shown else ADD
    context = {
        "form": form, "freeze": shown, "preview": _preview(form), "zones": zones_in_use(), "theirs": theirs,
        "may": request.user.has_perm(needed), "who_may": roles_with(needed)[0],
    }  # fmt: skip
    return render(request, "instances/freeze_form.html", context, status=status)


@needs(VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def freeze_end(request: HttpRequest, number: int) -> HttpResponse:
    """Ends it now, or lets it end later."""
    now, shown = clock.now(), _load(number)
    if shown.time_at(now) is None:
        messages.info(request, _("%(name)s is over.") % {"name": shown.name})
        return redirect(shown)
    if request.method == "POST" and "preview" not in request.POST:
        check(request, CHANGE)
        return _end(request, shown, now)
    if request.method == "POST" or "when" in request.GET or wants_fragment(request):
        form = EndForm(_sent(request, shown), freeze=shown)
        if wants_fragment(request):
            context = {"preview": _end_preview(form, shown, now)}
            return render(request, "instances/freeze_end.html#preview", context)
    else:
        form = EndForm(freeze=shown, initial={"seen": last_seen(shown)})
    return _end_page(request, form, shown, now)


def _end(request: HttpRequest, shown: Freeze, now: datetime) -> HttpResponse:
    form = EndForm(request.POST, freeze=shown)
    if not form.is_valid():
        return _end_page(request, form, shown, now, status=INVALID)
    said = {"actor": _actor(request), "now": now, "reason": form.cleaned_data["reason"]}
    said["seen"] = form.cleaned_data["seen"] or 0
    try:
        changed = end_freeze_on(shown, form.ends_at, **said) if form.ends_at else end_freeze(shown, **said)
    except ChangedMeanwhile as refused:
        return _end_page(request, form, shown, now, status=CONFLICT, theirs=_line_of(refused, now))
    except InvalidInput as refused:
        form.add_error("at", [sentence for sentences in refused.errors.values() for sentence in sentences])
        return _end_page(request, form, shown, now, status=INVALID)
    messages.success(request, _ended_words(form, shown) if changed else _("Nothing was changed."))
    return redirect(shown)


def _ended_words(form: EndForm, shown: Freeze) -> str:
    words = _("%(name)s ends on another day now.") if form.ends_at else _("%(name)s is over.")
    return words % {"name": shown.name}


def _end_page(
    request: HttpRequest, form: EndForm, shown: Freeze, now: datetime, *, status: int = 200, theirs: Line | None = None
) -> HttpResponse:
    context = {
        "form": form, "freeze": shown, "row": row_of(shown, now), "now": now, "theirs": theirs,
        "preview": _end_preview(form, shown, now),
    }  # fmt: skip
    return render(request, "instances/freeze_end.html", context | _who(request), status=status)


def _end_preview(form: EndForm, shown: Freeze, now: datetime) -> Preview:
    """What tonight would do; an untouched form means now."""
    if form.is_bound and not form.is_valid():
        return Preview([str(sentence) for name, found in form.errors.items() for sentence in found if name != "seen"])
    ended = _load(shown.pk)
    at = form.ends_at if form.is_bound else None
    try:
        _end_row(ended, at, now)
    except InvalidInput as refused:
        return Preview([sentence for sentences in refused.errors.values() for sentence in sentences])
    effects = preview_freeze(ended, next_night(now))
    going = [effect for effect in effects if _goes_then(effect)]
    times = [] if ended.ended_at else ended.recurrence.coming(now, TIMES_SHOWN)
    return Preview([], _effect_sentence(_waiting(effects), going), going, "", times, None, ended.zone)


def _end_row(row: Freeze, at: datetime | None, now: datetime) -> None:
    if at is None:
        row.ended_at = now
        return
    for name, value in ended_on(row, at).items():
        setattr(row, name, value)
    if row.ends_at <= row.starts_at:
        raise InvalidInput({"at": [_("The end has to be after the start.")]})
