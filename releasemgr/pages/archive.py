"""Archives a build that no site needs any more: its artefact is removed (R9)."""

from datetime import datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from builds.forms import BuildActForm
from builds.models import Build
from releasemgr.lib import clock
from releasemgr.lib.permission import needs
from releasemgr.pages.acting import SAVED, Given, actor_of, carried_out, with_seen
from releasemgr.pages.found import build_or_404
from upgrades.services.archiving import archive as archive_build


@require_http_methods(["GET", "HEAD", "POST"])
@needs("builds.withdraw_build")
def archive(request: HttpRequest, version: str) -> HttpResponse:
    build, now = build_or_404(version), clock.now()
    if build.is_archived:
        messages.info(request, _("%(version)s is archived already.") % {"version": build})
        return redirect(build)
    form = BuildActForm(request.POST if request.method == "POST" else None)
    status = SAVED
    if form.is_bound:
        done, status = carried_out(form, lambda given: _archived(build, request, given, now), now)
        if done:
            messages.success(request, _("%(version)s is archived. Its artefact is removed.") % {"version": build})
            return redirect(build)
    title = _("Archive %(version)s") % {"version": build}
    context = {"build": build, "form": with_seen(form, build, status), "title": title, "verb": title}
    return render(request, "builds/archive.html", context | {"back": build.get_absolute_url()}, status=status)


def _archived(build: Build, request: HttpRequest, given: Given, now: datetime) -> tuple[Build, bool]:
    return archive_build(build, actor=actor_of(request), now=now, reason=given["reason"], seen=given["seen"])
