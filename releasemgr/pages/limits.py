"""Settings: what sites share, such as a database server, and how many of them are upgraded at once (P4)."""

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from instances.forms import LimitForm
from instances.models import Tag
from instances.services import set_limit
from releasemgr.lib import clock
from releasemgr.lib.history.services import changes_of
from releasemgr.lib.permission import check, needs
from releasemgr.pages.acting import SAVED, actor_of, carried_out, with_seen
from releasemgr.pages.activity import lines_of
from releasemgr.roles import roles_with
from upgrades.services.limits import running_by_tag

VIEW, CHANGE = "upgrades.view_policy", "upgrades.change_policy"
CHANGES_SHOWN = 15


@needs(VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def limits(request: HttpRequest) -> HttpResponse:
    """`?tag=` fills the form with the limit of that tag."""
    form, status, now = LimitForm(request.POST or None, initial=_first_guess(request)), SAVED, clock.now()
    if request.method == "POST":
        check(request, CHANGE)
        changed, status = carried_out(
            form,
            lambda given: set_limit(
                given["tag"], given["max_parallel"], actor=actor_of(request), now=now, reason=given["reason"],
                seen=given["seen"],
            ),
            now,
        )  # fmt: skip
        if changed is not None:
            messages.success(request, _("Saved. It acts on what has not begun.") if changed else _("Nothing changed."))
            return redirect("limits")
    tags = list(Tag.objects.annotate(sites=Count("instances")))
    limited = [tag for tag in tags if tag.max_parallel]
    running = running_by_tag([tag.pk for tag in limited])
    context = {
        "limited": [(tag, running[tag.pk]) for tag in limited],
        "tags": [tag.name for tag in tags],
        "form": with_seen(form, Tag, status),
        "history": lines_of(list(changes_of(Tag)[:CHANGES_SHOWN]), now),
        "may": request.user.has_perm(CHANGE),
        "who_may": roles_with(CHANGE)[0],
    }
    return render(request, "instances/limits.html", context, status=status)


def _first_guess(request: HttpRequest) -> dict[str, object]:
    name = request.GET.get("tag", "").replace("\x00", "")
    tag = Tag.objects.filter(name=name).first() if name else None
    return {"tag": tag.name, "max_parallel": tag.max_parallel} if tag else {}
