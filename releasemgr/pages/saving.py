"""Saves what a form says, or puts the refusal where the person reads it: beside the field, with what was typed."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from django import forms

from builds.exceptions import BuildError, FieldRefused
from builds.exceptions import ReasonMissing as BuildReasonMissing
from releasemgr.lib.history.services import ChangedMeanwhile
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


def with_seen(form: forms.Form, seen: int, name: str = "seen") -> forms.Form:
    """The same form, whose next answer is about what the page shows now (T7)."""
    if form.is_bound:
        form.data = {**dict(form.data.items()), name: str(seen)}
    else:
        form.initial[name] = seen
    return form
