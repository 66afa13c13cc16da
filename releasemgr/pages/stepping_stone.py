"""Marks a build that every site must pass through, or takes the mark away, with its effect on tonight (T8)."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from builds.forms import BuildActForm
from builds.models import Build
from builds.services import mark_stepping_stone, unmark_stepping_stone
from releasemgr.lib import clock
from releasemgr.lib.permission import needs
from releasemgr.pages.acting import SAVED, actor_of, carried_out, with_seen
from releasemgr.pages.found import build_or_404
from releasemgr.pages.outlook import tonight_of
from upgrades.services.outlooks import preview_stepping_stone
from upgrades.services.planning import next_night

PERMISSION = "builds.mark_stepping_stone"


@require_http_methods(["GET", "HEAD", "POST"])
@needs(PERMISSION)
def stepping_stone(request: HttpRequest, version: str) -> HttpResponse:
    """What the form was about stands in it: a build that was marked meanwhile is not unmarked by the same click."""
    build, now = build_or_404(version), clock.now()
    mark = request.POST.get("mark", "no" if build.stepping_stone else "yes") == "yes"
    form = BuildActForm(request.POST if request.method == "POST" else None)
    status = SAVED
    if form.is_bound:
        verb, actor = mark_stepping_stone if mark else unmark_stepping_stone, actor_of(request)
        saved, status = carried_out(
            form, lambda given: verb(build, actor=actor, now=now, reason=given["reason"], seen=given["seen"]), now
        )
        if saved:
            messages.success(request, _receipt(build, mark))
            return redirect(build)
    context = {
        "build": build,
        "mark": mark,
        "form": with_seen(form, build, status),
        "title": _title(build, mark),
        "verb": _title(build, mark),
        "back": build.get_absolute_url(),
        "tonight": tonight_of(preview_stepping_stone(build, mark, next_night(now))),
    }
    return render(request, "builds/stepping_stone.html", context, status=status)


def _title(build: Build, mark: bool) -> str:
    text = _("Make %(version)s a stepping stone") if mark else _("Let sites pass by %(version)s")
    return text % {"version": build.version}


def _receipt(build: Build, mark: bool) -> str:
    text = _("Every site must pass through %(version)s.") if mark else _("Sites may pass by %(version)s.")
    return text % {"version": build.version}
