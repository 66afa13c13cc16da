"""Switches the nights off, without an end, and on again (P5)."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from releasemgr.lib import clock, words
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.components import Confirm
from releasemgr.lib.history.services import ChangedMeanwhile, last_seen
from releasemgr.lib.permission import needs, person
from upgrades.forms import NightsForm
from upgrades.models import Policy
from upgrades.services.planning import next_night, plan_night
from upgrades.services.policy import switch_nights_off, switch_nights_on
from upgrades.views.acts import conflict_words
from upgrades.views.run_actions import HALT


@needs(HALT)
@require_http_methods(["GET", "HEAD", "POST"])
def nights(request: HttpRequest) -> HttpResponse:
    """The form carries what it was shown to do, so that two people do not undo each other (T7)."""
    policy = _policy()
    are_off = policy.nights_off_since is not None
    if request.method != "POST":
        return _page(request, policy, NightsForm(initial={"switch": "on" if are_off else "off"}))
    form = NightsForm(request.POST)
    if form.data.get("switch") == ("off" if are_off else "on"):
        return _page(request, policy, form, status=409)
    if not form.is_valid():
        return _page(request, policy, form, status=422)
    switch_on = form.cleaned_data.pop("switch") == "on"
    verb = switch_nights_on if switch_on else switch_nights_off
    try:
        done = verb(actor=Actor(Origin.PAGE, person(request)), now=clock.now(), **form.cleaned_data)
    except ChangedMeanwhile as refused:
        return _page(request, _policy(), form, status=409, conflict=conflict_words(refused))
    if not done:
        return _page(request, _policy(), form, status=409)
    messages.success(request, _("Nights are switched on.") if switch_on else _("Nights are switched off."))
    return redirect("tonight")


def _policy() -> Policy:
    return Policy.objects.select_related("nights_off_by").get()


def _page(
    request: HttpRequest, policy: Policy, form: NightsForm, *, status: int = 200, conflict: str = ""
) -> HttpResponse:
    """After a conflict `seen` is what is so now: who sends the form again has read it."""
    are_off = policy.nights_off_since is not None
    context: dict[str, Any] = {
        "policy": policy,
        "form": form,
        "switch": "on" if are_off else "off",
        "seen": form.data.get("seen", "") if status == 422 else last_seen(policy),
        "conflict": conflict or (_switched_meanwhile(are_off=are_off) if status == 409 else ""),
        "confirm": _confirm(are_off=are_off),
    }
    return render(request, "upgrades/nights.html", context, status=status)


def _switched_meanwhile(*, are_off: bool) -> str:
    if are_off:
        return _("Somebody else has switched the nights off meanwhile.")
    return _("Somebody else has switched the nights on meanwhile.")


def _confirm(*, are_off: bool) -> Confirm:
    now = clock.now()
    night, decisions = (next_night(now), []) if are_off else plan_night(now)
    number = sum(decision.upgrades for decision in decisions)
    if are_off:
        effect = _("The next one starts %(start)s and plans every site anew.")
    else:
        effect = ngettext(
            "%(n)d upgrade of the night that starts %(start)s does not happen, and none after it until somebody "
            "switches the nights on again. A run that is under way goes on; halt it on its own page.",
            "%(n)d upgrades of the night that starts %(start)s do not happen, and none after it until somebody "
            "switches the nights on again. A run that is under way goes on; halt it on its own page.",
            number,
        )
    return Confirm(
        title=_("Switch the nights on?") if are_off else _("Switch the nights off?"),
        effect=effect % {"n": number, "start": words.moment_of(night.starts_at, now)},
        verb=_("Switch the nights on") if are_off else _("Switch the nights off"),
        back="tonight",
        danger=not are_off,
    )
