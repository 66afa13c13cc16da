"""Withdrawing a build: what it does to each site, then a reason and the version typed."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from builds.exceptions import BuildError
from builds.forms import WithdrawalForm
from builds.models import Build
from builds.services import withdraw_build
from instances.models import Instance
from releasemgr.lib import clock
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.permission import needs, person
from releasemgr.pages.effects import rows_of
from releasemgr.pages.found import build_or_404
from upgrades.models import Upgrade
from upgrades.services.planning import next_night, preview_withdrawal


@require_http_methods(["GET", "HEAD", "POST"])
@needs("builds.withdraw_build")
def withdraw(request: HttpRequest, version: str) -> HttpResponse:
    build = build_or_404(version)
    if build.is_withdrawn:
        messages.info(request, _("%(version)s is withdrawn already.") % {"version": build.version})
        return redirect(build)
    form = WithdrawalForm(request.POST or None, build=build)
    if not form.is_valid():
        return _page(request, build, form, status=422 if form.is_bound else 200)
    actor = Actor(Origin.PAGE, person(request))
    try:
        withdraw_build(build, actor=actor, now=clock.now(), reason=form.cleaned_data["reason"])
    except BuildError as error:
        messages.error(request, str(error))
        return _page(request, build, form, status=409)
    messages.success(request, _("%(version)s is withdrawn. No site is upgraded to it again.") % {"version": build})
    return redirect(build)


def _page(request: HttpRequest, build: Build, form: WithdrawalForm, *, status: int) -> HttpResponse:
    return render(request, "builds/withdrawal.html", {"build": build, "form": form} | _effect(build), status=status)


def _effect(build: Build) -> dict[str, Any]:
    preview = preview_withdrawal(build, next_night(clock.now()))
    falls_back = {(row.before, row.to) for row in rows_of(preview.changed)}
    return {
        "preview": preview,
        "rows": rows_of(preview.changed),
        "falls_back": sorted(to for before, to in falls_back if before == build.version and to not in ("", before)),
        "running_it": Instance.objects.filter(reported_key=build.version_key).count(),
        "under_way": Upgrade.objects.begun().filter(build=build).count(),
    }
