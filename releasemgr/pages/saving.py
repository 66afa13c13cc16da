"""Saves what a form says, or puts the refusal where the person reads it: beside the field, with what was typed."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from django import forms
from django.db.models import Model

from builds.exceptions import BuildError, FieldRefused
from builds.exceptions import ReasonMissing as BuildReasonMissing
from releasemgr.lib.history.services import ChangedMeanwhile, last_seen
from releasemgr.pages.meanwhile import meanwhile_words
from upgrades.exceptions import ReasonMissing, UpgradeError

T = TypeVar("T")
REFUSED, INVALID = 409, 422


def tried(form: forms.Form, act: Callable[[], T], now: datetime) -> tuple[T | None, int]:
    """What the act answered, or None where it was refused; and the status of the answer with the form."""
    try:
        return act(), 200
    except ChangedMeanwhile as refused:
        form.add_error(None, meanwhile_words(refused, now))
        return None, REFUSED
    except FieldRefused as refused:
        form.add_error(refused.field if refused.field in form.fields else None, str(refused))
    except (BuildReasonMissing, ReasonMissing) as refused:
        form.add_error("reason", str(refused))
    except (BuildError, UpgradeError) as refused:
        form.add_error(None, str(refused))
        return None, REFUSED
    return None, INVALID


def with_seen(form: forms.Form, subject: Model, status: int) -> forms.Form:
    """The same form, with what its next answer will have seen (T7)."""
    seen = seen_of(form, subject, status)
    if form.is_bound:
        form.data = {**dict(form.data.items()), "seen": str(seen)}
    else:
        form.initial["seen"] = seen
    return form


def seen_of(form: forms.Form, subject: Model, status: int) -> int:
    """What was seen when the form was opened; what is there now, only once a conflict has shown it (T7)."""
    posted = form.data.get("seen", "") if form.is_bound and status != REFUSED else ""
    return int(posted) if str(posted).isascii() and str(posted).isdigit() else last_seen(subject)
