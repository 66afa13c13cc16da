"""Holds of one site: opening, skipping tonight, moving the end and ending, each with its effect first (P8, T3)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from instances.exceptions import InvalidInput
from instances.forms import ExtendForm, HoldForm, SeenForm, as_given
from instances.models import Hold, Instance
from instances.services import end_hold, extend_hold, open_hold
from releasemgr.lib import clock, words
from releasemgr.lib.history.services import last_seen
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import needs
from releasemgr.pages.acting import SAVED, Act, Given, actor_of, carried_out, foreseen, seen_of, wants_preview
from releasemgr.pages.foreseen import Said, foresee_site
from releasemgr.pages.once import once
from releasemgr.pages.site import HOLD, load_site
from upgrades.night import Night
from upgrades.services.planning import next_night, rest_of_tonight

USUAL = timedelta(days=7)


@dataclass(frozen=True)
class Asking:
    """A form of one site with what surrounds it. `verb` is on its button, `ends_at` gives the day that was chosen.

    `makes` where sending it makes something, and so once.
    """

    site: Instance
    form: SeenForm
    now: datetime
    title: str
    verb: str
    lead: str
    act: Act
    saved: Callable[[], None]
    night: Night
    makes: bool = False
    ends_at: Callable[[Given], datetime] | None = None

    def foresee(self, given: Given) -> Said:
        said = foresee_site(lambda: self.act(given), self.site, self.night, self.now)
        if self.ends_at is None or said.on_hold:
            return said
        until = _("The hold ends on %(day)s.") % {"day": words.moment_in(self.ends_at(given), self.now)}
        return replace(said, more=f"{said.more} {until}")


@needs(HOLD)
@require_http_methods(["GET", "HEAD", "POST"])
@once
def hold(request: HttpRequest, slug: str) -> HttpResponse:
    """Leaves the site alone until a day."""
    shown, now = load_site(slug), clock.now()
    opened: list[Hold] = []

    def act(given: Given) -> None:
        opened[:] = [
            open_hold(
                shown, ends_at=given["ends_at"], reason=given["reason"], seen=given["seen"],
                actor=actor_of(request), now=now,
            )
        ]  # fmt: skip

    in_a_week = timezone.make_aware(datetime.combine(timezone.localtime(now).date() + USUAL, time.min))
    initial = {"seen": last_seen(shown), "ends_at": in_a_week}
    asking = Asking(
        shown, HoldForm(request.POST or None, initial=initial), now,
        title=_("Hold %(site)s") % {"site": shown},
        verb=_("Hold the site"),
        lead=_("No night upgrades it while it is on hold. An upgrade that runs already finishes."),
        act=act,
        saved=lambda: _tell_held(request, opened[0], now),
        night=next_night(now),
        makes=True,
        ends_at=lambda given: given["ends_at"],
    )  # fmt: skip
    return _answer(request, asking)


@needs(HOLD)
@require_http_methods(["GET", "HEAD", "POST"])
@once
def skip(request: HttpRequest, slug: str) -> HttpResponse:
    """Leaves the site alone until the end of tonight."""
    shown, now = load_site(slug), clock.now()
    night = rest_of_tonight(now)
    opened: list[Hold] = []

    def act(given: Given) -> None:
        opened[:] = [
            open_hold(
                shown, ends_at=night.ends_at, reason=given["reason"] or _("Skips this night."), seen=given["seen"],
                actor=actor_of(request), now=now,
            )
        ]  # fmt: skip

    asking = Asking(
        shown, SeenForm(request.POST or None, initial={"seen": last_seen(shown)}), now,
        title=_("Skip tonight on %(site)s") % {"site": shown},
        verb=_("Skip tonight"),
        lead=_("The site is on hold until the night is over. Later nights go on as usual."),
        act=act,
        saved=lambda: _tell_held(request, opened[0], now),
        night=night,
        makes=True,
        ends_at=lambda given: night.ends_at,
    )  # fmt: skip
    return _answer(request, asking)


def _tell_held(request: HttpRequest, held: Hold, now: datetime) -> None:
    """The receipt, with the way back."""
    values = {"site": held.instance, "until": words.moment_in(held.ends_at, now)}
    text = _("%(site)s is on hold until %(until)s.") % values
    undo = reverse("hold-end", args=[held.instance.slug, held.pk])
    messages.success(request, format_html('{} <a href="{}">{}</a>', text, undo, _("Undo…")))


@needs(HOLD)
@require_http_methods(["GET", "HEAD", "POST"])
def extend(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Moves the end of a hold."""
    shown, now = load_site(slug), clock.now()
    row = _hold_of(shown, number)

    def ends_at(given: Given) -> datetime:
        return as_given(given["ends_at"], row.ends_at) or row.ends_at

    def act(given: Given) -> None:
        extend_hold(
            _hold_of(shown, number), ends_at(given), reason=given["reason"], seen=given["seen"],
            actor=actor_of(request), now=now,
        )  # fmt: skip

    asking = Asking(
        shown, ExtendForm(request.POST or None, initial={"seen": last_seen(shown), "ends_at": row.ends_at}), now,
        title=_("Move the end of a hold of %(site)s") % {"site": shown},
        verb=_("Move the end"),
        lead=_words_of(row, now),
        act=act,
        saved=lambda: _tell_held(request, _hold_of(shown, number), now),
        night=next_night(now),
        ends_at=ends_at,
    )  # fmt: skip
    return _answer(request, asking)


@needs(HOLD)
@require_http_methods(["GET", "HEAD", "POST"])
def end(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Ends a hold before its time."""
    shown, now = load_site(slug), clock.now()
    row = _hold_of(shown, number)

    def act(given: Given) -> None:
        ended = end_hold(
            _hold_of(shown, number), reason=given["reason"], seen=given["seen"], actor=actor_of(request), now=now
        )
        if not ended:
            raise InvalidInput({"": [_("This hold is over already.")]})

    asking = Asking(
        shown, SeenForm(request.POST or None, initial={"seen": last_seen(shown)}), now,
        title=_("End a hold of %(site)s") % {"site": shown},
        verb=_("End the hold"),
        lead=_words_of(row, now),
        act=act,
        saved=lambda: messages.success(request, _("The hold of %(site)s is ended.") % {"site": shown}),
        night=next_night(now),
    )  # fmt: skip
    return _answer(request, asking)


def _hold_of(shown: Instance, number: int) -> Hold:
    return get_object_or_404(Hold.objects.select_related("by", "instance"), instance=shown, pk=number)


def _words_of(row: Hold, now: datetime) -> str:
    values = {"name": row.made_by, "reason": row.reason, "until": words.moment_in(row.ends_at, now)}
    return _("On hold until %(until)s, by %(name)s: “%(reason)s”") % values


def _answer(request: HttpRequest, asking: Asking) -> HttpResponse:
    """The page with its preview, the preview alone, or what saving answers."""
    form, status = asking.form, SAVED
    if not wants_preview(request):
        _saved, status = carried_out(form, asking.act, asking.now)
        if status == SAVED:
            asking.saved()
            return redirect(asking.site)
    context = {
        "site": asking.site,
        "asking": asking,
        "form": form,
        "said": foreseen(form, asking.foresee) if status == SAVED else None,
        "seen": seen_of(form, asking.site, status),
    }
    if wants_fragment(request):
        return render(request, "components/_said.html", context)
    return render(request, "instances/site_pause.html", context, status=status)
