"""Report, change, close and accept known problems, each with its effect on tonight before it is saved (R7)."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from builds.choices import ProblemState
from builds.forms import AcknowledgementForm, DismissalForm, FixForm, ProblemChangeForm, ProblemForm, ReopeningForm
from builds.maturity import CHANNELS
from builds.models import Acknowledgement, Build, Problem
from builds.services import (
    acknowledge_problem,
    change_problem,
    dismiss_problem,
    fix_problem,
    reopen_problem,
    report_problem,
)
from releasemgr.lib import clock
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import needs
from releasemgr.pages.acting import SAVED, Given, actor_of, carried_out, wants_preview, with_seen
from releasemgr.pages.found import build_or_404
from releasemgr.pages.once import once
from releasemgr.pages.outlook import Tonight, tonight_of
from releasemgr.pages.problems import ACKNOWLEDGE, CHANGE, REPORT, problem_or_404
from upgrades.services.outlooks import preview_acknowledgement, preview_problem
from upgrades.services.planning import next_night

TEMPLATE = "builds/problem_act.html"


@dataclass(frozen=True)
class Act:
    """One thing that can be done to a problem. `states` are those in which it makes sense.

    `as_if` makes of the problem what the form says, None while that cannot be understood; `previewed` are the fields
    that it reads.
    """

    form: type[Form]
    states: tuple[ProblemState, ...]
    title: str | Promise
    explains: str | Promise
    verb: str | Promise
    done: str | Promise
    as_if: Callable[[Problem, Any, datetime], Problem | None]
    save: Callable[[Problem, Any, dict[str, Any]], tuple[Problem, bool]]
    previewed: tuple[str, ...] = ()
    initial: Callable[[Problem], dict[str, Any]] = lambda _problem: {}


def _fixed(problem: Problem, form: FixForm, now: datetime) -> Problem | None:
    problem.fixed_in = form.cleaned_data.get("fixed_in")
    return problem if problem.fixed_in else None


def _dismissed(problem: Problem, form: DismissalForm, now: datetime) -> Problem:
    problem.dismissed_at = now
    return problem


def _reopened(problem: Problem, form: ReopeningForm, now: datetime) -> Problem:
    problem.fixed_in, problem.dismissed_at = None, None
    return problem


def _known(problem: Problem) -> dict[str, Any]:
    return {
        "severity": problem.severity, "title": problem.title, "url": problem.url,
        "first_affected": problem.first_affected.version,
    }  # fmt: skip


ACTS = {
    "edit": Act(
        ProblemChangeForm,
        (ProblemState.OPEN, ProblemState.FIXED),
        gettext_lazy("Edit %(name)s"),
        gettext_lazy("A severity that rises voids what was acknowledged before."),
        gettext_lazy("Save %(name)s"),
        gettext_lazy("%(name)s is saved."),
        as_if=lambda problem, form, now: form.as_problem(problem),
        save=lambda problem, form, said: change_problem(problem, **form.said() | said),
        previewed=("severity", "first_affected"),
        initial=_known,
    ),
    "fix": Act(
        FixForm,
        (ProblemState.OPEN, ProblemState.FIXED),
        gettext_lazy("Close %(name)s as fixed"),
        gettext_lazy("A fix in a later build does not unblock the earlier ones."),
        gettext_lazy("Close %(name)s as fixed"),
        gettext_lazy("%(name)s is closed as fixed."),
        as_if=_fixed,
        save=lambda problem, form, said: fix_problem(problem, form.cleaned_data["fixed_in"], **said),
        previewed=("fixed_in",),
        initial=lambda problem: {"fixed_in": problem.fixed_in.version if problem.fixed_in else ""},
    ),
    "dismiss": Act(
        DismissalForm,
        (ProblemState.OPEN,),
        gettext_lazy("Dismiss %(name)s as not real"),
        gettext_lazy("It affects no build any more. The builds that had it are promoted by a person only."),
        gettext_lazy("Dismiss %(name)s"),
        gettext_lazy("%(name)s is dismissed as not real."),
        as_if=_dismissed,
        save=lambda problem, form, said: dismiss_problem(problem, **said),
    ),
    "reopen": Act(
        ReopeningForm,
        (ProblemState.FIXED, ProblemState.DISMISSED),
        gettext_lazy("Open %(name)s again"),
        gettext_lazy("It affects its first build and every one after it again. What was acknowledged stays so."),
        gettext_lazy("Open %(name)s again"),
        gettext_lazy("%(name)s is open again."),
        as_if=_reopened,
        save=lambda problem, form, said: reopen_problem(problem, **said),
    ),
}


@require_http_methods(["GET", "HEAD", "POST"])
@needs(CHANGE)
def problem_act(request: HttpRequest, number: int, name: str) -> HttpResponse:
    act, shown, now = _act_or_404(name), problem_or_404(number), clock.now()
    if shown.state not in act.states:
        values = {"name": shown.name, "state": str(shown.state.label).lower()}
        messages.info(request, _("%(name)s is %(state)s. Nothing was changed.") % values)
        return redirect(shown)
    if wants_fragment(request) and request.method != "POST":
        return _fragment(request, _tonight(act, shown, act.form(request.GET), now))
    form = act.form(request.POST) if request.method == "POST" else act.form(initial=act.initial(shown))
    if request.method != "POST":
        return _act_page(request, act, shown, form, _tonight(act, shown, form, now))
    status = SAVED
    if not wants_preview(request):
        saved, status = carried_out(form, lambda given: act.save(shown, form, _said(request, given, now)), now)
        if saved:
            return _receipt(request, act, *saved)
    return _act_page(request, act, problem_or_404(number), form, _tonight(act, shown, form, now), status)


def _act_or_404(name: str) -> Act:
    if name not in ACTS:
        raise Http404(name)
    return ACTS[name]


def _said(request: HttpRequest, given: Given, now: datetime) -> dict[str, Any]:
    said = {"actor": actor_of(request), "now": now, "reason": given["reason"]}
    return said | ({"seen": given["seen"]} if "seen" in given else {})


def _receipt(request: HttpRequest, act: Act, saved: Problem, changed: bool) -> HttpResponse:
    text = act.done if changed else gettext_lazy("%(name)s is like that already. Nothing was changed.")
    messages.success(request, str(text) % {"name": saved.name})
    return redirect(saved)


def _tonight(act: Act, shown: Problem, form: Form, now: datetime) -> Tonight | None:
    """None while the form says too little. An act that reads nothing of its form has its effect at once."""
    if not form.is_bound and act.previewed:
        return None
    if form.is_bound:
        form.is_valid()
    changed = act.as_if(copy(shown), form, now)
    return tonight_of(preview_problem(changed, next_night(now))) if changed else None


def _fragment(request: HttpRequest, tonight: Tonight | None) -> HttpResponse:
    return render(request, "components/_outlook.html", {"tonight": tonight})


def _act_page(
    request: HttpRequest, act: Act, shown: Problem, form: Form, tonight: Tonight | None, status: int = 200
) -> HttpResponse:
    values = {"name": shown.name}
    context = {
        "problem": shown,
        "form": with_seen(form, shown, status),
        "title": str(act.title) % values,
        "explains": act.explains,
        "verb": str(act.verb) % values,
        "back": shown.get_absolute_url(),
        "tonight": tonight,
        "previewed": ",".join(act.previewed),
    }
    return render(request, TEMPLATE, context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(REPORT)
@once
def problem_new(request: HttpRequest) -> HttpResponse:
    now = clock.now()
    if wants_fragment(request) and request.method != "POST":
        return _fragment(request, _reported(ProblemForm(request.GET), now))
    form = ProblemForm(request.POST) if request.method == "POST" else ProblemForm(initial=_first_guess(request))
    status = SAVED
    if not wants_preview(request):
        saved, status = carried_out(form, lambda given: report_problem(**form.said() | _said(request, given, now)), now)
        if saved:
            messages.success(request, _("%(name)s is reported.") % {"name": saved.name})
            return redirect(saved)
    context = {
        "form": form,
        "title": _("Report a problem"),
        "explains": _("It stands on its builds, their channels and the sites that run them until it is closed."),
        "verb": _("Report the problem"),
        "back": _back_of(request),
        "tonight": _reported(form, now) if form.is_bound else None,
        "previewed": "severity,first_affected",
    }
    return render(request, TEMPLATE, context, status=status)


def _first_guess(request: HttpRequest) -> dict[str, str]:
    """`?build=4.20.4`: the build that the person came from."""
    return {"first_affected": request.GET.get("build", "")}


def _back_of(request: HttpRequest) -> str:
    build = Build.objects.filter(version=request.GET.get("build", "").replace("\x00", "")).first()
    return build.get_absolute_url() if build else reverse("problems")


def _reported(form: ProblemForm, now: datetime) -> Tonight | None:
    form.is_valid()
    problem = form.as_problem(Problem(opened_at=now))
    return tonight_of(preview_problem(problem, next_night(now))) if problem else None


@require_http_methods(["GET", "HEAD", "POST"])
@needs(ACKNOWLEDGE)
def problem_accept(request: HttpRequest, number: int, version: str) -> HttpResponse:
    """`?to=stable` says which promotion waits for it, and where the person goes on."""
    shown, build, now = problem_or_404(number), build_or_404(version), clock.now()
    values = {"name": shown.name, "version": build.version}
    if not shown.affects(build):
        messages.info(request, _("%(name)s does not affect %(version)s: there is nothing to acknowledge.") % values)
        return redirect(shown)
    form = AcknowledgementForm(request.POST if request.method == "POST" else None)
    status = SAVED
    if form.is_bound:
        saved, status = carried_out(
            form, lambda given: acknowledge_problem(shown, build, **_said(request, given, now)), now
        )
        if saved:
            return _acknowledged(request, *saved)
    context = {
        "problem": shown,
        "build": build,
        "form": with_seen(form, shown, status),
        "title": _("Acknowledge %(name)s for %(version)s") % values,
        "explains": _("You accept the problem for this build alone, by name. A problem that becomes worse asks again."),
        "verb": _("Acknowledge %(name)s for %(version)s") % values,
        "back": _goes_on_to(request, build),
        "tonight": tonight_of(preview_acknowledgement(shown, build, next_night(now))),
    }
    return render(request, TEMPLATE, context, status=status)


def _acknowledged(request: HttpRequest, accepted: Acknowledgement, did: bool) -> HttpResponse:
    text = _("%(problem)s is acknowledged for %(build)s.") if did else _("%(problem)s was acknowledged for %(build)s.")
    messages.success(request, text % {"problem": accepted.problem, "build": accepted.build})
    return redirect(_goes_on_to(request, accepted.build))


def _goes_on_to(request: HttpRequest, build: Build) -> str:
    to = request.GET.get("to", "")
    known = to in [channel.channel for channel in CHANNELS]
    return reverse("promote", args=[build.version, to]) if known else build.get_absolute_url()
