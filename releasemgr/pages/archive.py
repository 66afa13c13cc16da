"""Archives a build that no site needs any more: its artefact is removed (R9)."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from builds.forms import BuildActForm
from releasemgr.lib import clock
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.permission import needs, person
from releasemgr.pages.found import build_or_404
from releasemgr.pages.saving import tried, with_seen
from upgrades.services.archiving import archive as archive_build


@require_http_methods(["GET", "HEAD", "POST"])
@needs("builds.withdraw_build")
def archive(request: HttpRequest, version: str) -> HttpResponse:
    build, now = build_or_404(version), clock.now()
    if build.is_archived:
        messages.info(request, _("%(version)s is archived already.") % {"version": build})
        return redirect(build)
    form = BuildActForm(request.POST if request.method == "POST" else None)
    status = 422 if form.is_bound else 200
    if form.is_valid():
        said, actor = form.cleaned_data, Actor(Origin.PAGE, person(request))
        done, status = tried(
            form, lambda: archive_build(build, actor=actor, now=now, reason=said["reason"], seen=said["seen"]), now
        )
        if done:
            messages.success(request, _("%(version)s is archived. Its artefact is removed.") % {"version": build})
            return redirect(build)
    title = _("Archive %(version)s") % {"version": build}
    context = {"build": build, "form": with_seen(form, build, status), "title": title, "verb": title}
    return render(request, "builds/archive.html", context | {"back": build.get_absolute_url()}, status=status)
