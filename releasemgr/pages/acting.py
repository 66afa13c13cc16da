"""A form that changes something: it says its effect before it saves, and every refusal stands in it (T3, T7)."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext as _

from builds.exceptions import BuildError, FieldRefused
from builds.exceptions import ReasonMissing as BuildReasonMissing
from instances.exceptions import InstanceError, InvalidInput, VouchesForOthers
from instances.forms import SeenForm
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.choices import Colour
from releasemgr.lib.history.services import ChangedMeanwhile, Subject, last_seen
from releasemgr.lib.permission import person
from releasemgr.pages.foreseen import Said
from releasemgr.pages.meanwhile import meanwhile_words
from upgrades.exceptions import ReasonMissing, UpgradeError

T = TypeVar("T")
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


def carried_out(form: forms.Form, act: Callable[[Given], T], now: datetime) -> tuple[T | None, int]:
    """What the act answered, and the answer's status. What is refused stands in the form then, nothing was changed.

    An act is refused by what stands in the form (422), or by what is there meanwhile (409).
    """
    if not form.is_valid():
        return None, INVALID
    try:
        return act(form.cleaned_data), SAVED
    except InvalidInput as refused:
        for name, sentences in refused.errors.items():
            for sentence in sentences:
                _refuse(form, name, sentence)
    except FieldRefused as refused:
        _refuse(form, refused.field, str(refused))
    except (BuildReasonMissing, ReasonMissing) as refused:
        _refuse(form, "reason", str(refused))
    except InstanceError as refused:
        _refuse(form, "", str(refused))
        return None, CONFLICT if isinstance(refused, VouchesForOthers) else INVALID
    except ChangedMeanwhile as refused:
        _refuse(form, "", meanwhile_words(refused, now))
        return None, CONFLICT
    except (BuildError, UpgradeError) as refused:
        _refuse(form, "", str(refused))
        return None, CONFLICT
    return None, INVALID


def _refuse(form: forms.Form, name: str, sentence: str) -> None:
    """Beside the field that it is about; what belongs to none stands above."""
    form.add_error(name if name in form.fields else None, sentence)


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


def with_seen(form: forms.Form, subject: Subject, status: int) -> forms.Form:
    """The same form, with what its next answer will have seen (T7)."""
    seen = seen_of(form, subject, status)
    if form.is_bound:
        form.data = {**dict(form.data.items()), "seen": str(seen)}
    else:
        form.initial["seen"] = seen
    return form


def seen_of(form: forms.Form, subject: Subject, status: int) -> int:
    """What was seen when the form was opened; what is there now, only once a conflict has shown it (T7)."""
    posted = form.data.get("seen", "") if form.is_bound and status != CONFLICT else ""
    return int(posted) if str(posted).isascii() and str(posted).isdigit() else last_seen(subject)
