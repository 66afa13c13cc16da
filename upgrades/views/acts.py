"""What a person does about a run or an upgrade: a page that says what it does, and asks for the reason."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.contrib import messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from releasemgr.lib import clock
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.components import Confirm
from releasemgr.lib.history.services import ChangedMeanwhile, last_seen
from releasemgr.lib.permission import person
from upgrades.exceptions import CancelRefused, RunChanged, UpgradeChanged
from upgrades.forms import ReasonForm
from upgrades.models import Run, Upgrade

Row = TypeVar("Row", Run, Upgrade)
REFUSALS = (RunChanged, UpgradeChanged, CancelRefused, ChangedMeanwhile)


@dataclass(frozen=True)
class Act(Generic[Row]):
    """One verb: what its page says, what it does, and the receipt. `refusal` says why it cannot be done now."""

    page: Callable[[Row], Confirm]
    do: Callable[..., Any]
    receipt: Callable[[Row, Any], str]
    refusal: Callable[[Row], str]


def act_on(request: HttpRequest, act: Act[Row], row: Row, *, crumb: str, about: Model) -> HttpResponse:
    """`about` is that whose changes count (T7). A page of what cannot be done now leads back, and says why."""
    if request.method != "POST":
        if refusal := act.refusal(row):
            messages.info(request, refusal)
            return redirect(row)
        return _page(request, act, row, ReasonForm(initial={"seen": last_seen(about)}), crumb)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return _page(request, act, row, form, crumb, status=422)
    try:
        done = act.do(row, actor=Actor(Origin.PAGE, person(request)), now=clock.now(), **form.cleaned_data)
    except REFUSALS as refused:
        row.refresh_from_db()
        again = ReasonForm(initial=form.cleaned_data | {"seen": last_seen(about)})
        return _page(request, act, row, again, crumb, status=409, conflict=conflict_words(refused))
    messages.success(request, act.receipt(row, done))
    return redirect(row)


def conflict_words(error: Exception) -> str:
    """What someone else did meanwhile (T7)."""
    if isinstance(error, ChangedMeanwhile):
        return _("%(error)s They said: “%(reason)s”.") % {"error": error, "reason": error.theirs.reason or "–"}
    return str(error)


def _page(
    request: HttpRequest, act: Act[Row], row: Row, form: ReasonForm, crumb: str, *, status: int = 200,
    conflict: str = "",
) -> HttpResponse:  # fmt: skip
    """After a conflict `seen` is what is so now: who sends the form again has read it."""
    context = {"form": form, "confirm": act.page(row), "crumb": crumb, "conflict": conflict}
    return render(request, "upgrades/act.html", context | {"possible": not act.refusal(row)}, status=status)
