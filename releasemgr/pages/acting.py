"""A form that changes something: it says its effect before it saves, and every refusal stands in it (T3, T7)."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

from instances.exceptions import InstanceError, InvalidInput
from instances.forms import SeenForm
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.choices import Colour
from releasemgr.lib.history.services import ChangedMeanwhile
from releasemgr.lib.permission import person
from releasemgr.pages.foreseen import Said
from releasemgr.pages.meanwhile import meanwhile_words

SAVED, INVALID, CONFLICT = 200, 422, 409
Given = Mapping[str, Any]
Act = Callable[[Given], Any]
LATER = ("seen", "reason")
"""Fields that a preview does not need."""


def actor_of(request: HttpRequest) -> Actor:
    return Actor(Origin.PAGE, person(request))


def wants_preview(request: HttpRequest) -> bool:
    """Whether nothing is to be saved yet: the page opens, or the form asks while it is filled in."""
    return request.method != "POST" or "preview" in request.POST


def carried_out(form: SeenForm, act: Act, now: datetime) -> int:
    """The answer's status. What is refused stands in the form then, and nothing was changed."""
    if not form.is_valid():
        return INVALID
    try:
        act(form.cleaned_data)
    except InvalidInput as refused:
        form.take(refused.errors)
        return INVALID
    except InstanceError as refused:
        form.add_error(None, str(refused))
        return INVALID
    except ChangedMeanwhile as refused:
        form.add_error(None, meanwhile_words(refused, now))
        return CONFLICT
    return SAVED


def foreseen(form: SeenForm, foresee: Callable[[Given], Said]) -> Said | None:
    """What saving would do, or why it would be refused; None while a field that matters for it is wrong."""
    if form.is_bound and set(form.errors) - set(LATER):
        return None
    given = dict(form.cleaned_data if form.is_bound else form.initial)
    unsaid = "…" if form.fields["reason"].required else ""
    try:
        return foresee(given | {"seen": None, "reason": given.get("reason") or unsaid})
    except InstanceError as refused:
        return Said(Colour.WARN, _("This cannot be saved."), "", str(refused))
