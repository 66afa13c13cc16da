"""Offers the builds whose failures halted a run to sites again (P5), with what tonight would do."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from builds.forms import ReleaseForm
from releasemgr.lib import clock
from releasemgr.lib.permission import needs
from releasemgr.pages.acting import SAVED, actor_of, carried_out, with_seen
from releasemgr.pages.found import build_or_404
from releasemgr.pages.outlook import tonight_of
from upgrades.halting import HaltCode
from upgrades.models import RunHalt
from upgrades.sentences import halt_sentence
from upgrades.services.halts import release_builds
from upgrades.services.outlooks import preview_release
from upgrades.services.planning import next_night

PERMISSION = "upgrades.halt_run"


@require_http_methods(["GET", "HEAD", "POST"])
@needs(PERMISSION)
def release(request: HttpRequest, version: str, number: int) -> HttpResponse:
    build, now = build_or_404(version), clock.now()
    halt = get_object_or_404(RunHalt.objects.select_related("run"), pk=number, builds=build)
    if halt.released_at:
        messages.info(request, _("What halted run %(run)s is offered again already.") % {"run": halt.run})
        return redirect(build)
    form = ReleaseForm(request.POST if request.method == "POST" else None)
    status = SAVED
    if form.is_bound:
        actor = actor_of(request)
        saved, status = carried_out(form, lambda given: release_builds(halt, actor=actor, now=now, **given), now)
        if saved:
            messages.success(request, _("%(versions)s is offered to sites again.") % {"versions": _versions(halt)})
            return redirect(build)
    versions = _versions(halt)
    title = _("Offer %(versions)s again") % {"versions": versions}
    context = {
        "build": build,
        "halt": halt,
        "why": halt_sentence(HaltCode(halt.code), halt.values),
        "form": with_seen(form, halt.run, status),
        "title": title,
        "verb": title,
        "back": build.get_absolute_url(),
        "tonight": tonight_of(preview_release(halt, next_night(now))),
    }
    return render(request, "builds/release.html", context, status=status)


def _versions(halt: RunHalt) -> str:
    """A halt may have been caused by several builds: they are offered together."""
    return ", ".join(halt.builds.order_by("version_key").values_list("version", flat=True))
