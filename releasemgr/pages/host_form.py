"""Hosts: adding one and changing it, with the effect on tonight before saving."""

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from instances.forms import HostForm
from instances.models import Host, Instance
from instances.services import HOST_FIELDS, add_host, change_host
from releasemgr.lib import clock
from releasemgr.lib.choices import Colour
from releasemgr.lib.history.services import last_seen, values_of
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import needs
from releasemgr.pages.acting import SAVED, Given, actor_of, carried_out, foreseen, seen_of, wants_preview
from releasemgr.pages.foreseen import Said, foresee
from releasemgr.pages.once import once
from upgrades.services.planning import Effect, next_night

ADD, EDIT, DELETE = "instances.add_host", "instances.change_host", "instances.delete_host"


@needs(ADD)
@require_http_methods(["GET", "HEAD", "POST"])
@once
def new(request: HttpRequest) -> HttpResponse:
    form = HostForm(request.POST or None, initial={"seen": 0})

    def act(given: Given) -> Host:
        return add_host(_values(given), actor=actor_of(request), now=clock.now(), reason=given["reason"])

    if wants_preview(request):
        return _page(request, form, None, None)
    added, status = carried_out(form, act, clock.now())
    if added is None:
        return _page(request, form, None, None, status)
    words = _("%(host)s is added. Nothing runs there before a person approved its key.") % {"host": added}
    messages.success(request, words)
    return redirect(added)


@needs(EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, name: str) -> HttpResponse:
    shown, now = get_object_or_404(Host, name=name), clock.now()
    initial = values_of(shown, HOST_FIELDS) | {"seen": last_seen(shown)}
    form = HostForm(request.POST or None, initial=initial)

    def act(given: Given) -> None:
        change_host(
            get_object_or_404(Host, pk=shown.pk), _values(given), actor=actor_of(request), now=now,
            reason=given["reason"], seen=given["seen"],
        )  # fmt: skip

    if wants_preview(request):
        said = foreseen(form, lambda given: _forecast(shown, lambda: act(given), now)) if form.is_bound else None
        return _page(request, form, shown, said)
    _saved, status = carried_out(form, act, now)
    if status != SAVED:
        return _page(request, form, shown, None, status)
    messages.success(request, _("%(host)s is saved.") % {"host": form.cleaned_data["name"]})
    return redirect("host", form.cleaned_data["name"])


def _values(given: Given) -> dict[str, Any]:
    return {name: given[name] for name in HOST_FIELDS}


def _forecast(shown: Host, act: Any, now: datetime) -> Said:
    """What the night then does to the sites on the host."""
    sites = Instance.objects.filter(host=shown)
    effects, _seen = foresee(act, lambda: list(sites), next_night(now))
    return said_of_many(effects)


def said_of_many(effects: list[Effect]) -> Said:
    """How many sites get something else, and how many upgrade."""
    changed = [effect for effect in effects if effect.changed]
    if not changed:
        return Said(Colour.IDLE, _("If saved:"), _("tonight stays as it is."))
    before, after = sum(one.before.upgrades for one in effects), sum(one.after.upgrades for one in effects)
    strong = ngettext(
        "tonight upgrades %(after)d site on this host, instead of %(before)d.",
        "tonight upgrades %(after)d sites on this host, instead of %(before)d.",
        after,
    ) % {"after": after, "before": before}
    named = ", ".join(sorted(one.site.slug for one in changed)[:5])
    more = ngettext("It changes for %(named)s.", "It changes for %(n)d sites: %(named)s.", len(changed))
    colour = Colour.RUN if after > before else Colour.HOLD
    return Said(colour, _("If saved:"), strong, more % {"n": len(changed), "named": named})


def _page(
    request: HttpRequest, form: HostForm, shown: Host | None, said: Said | None, status: int = SAVED
) -> HttpResponse:
    context = {
        "form": form,
        "host": shown,
        "said": said,
        "seen": seen_of(form, shown, status) if shown else 0,
        "may_delete": shown and request.user.has_perm(DELETE),
    }
    if wants_fragment(request):
        return render(request, "components/_said.html", context)
    return render(request, "instances/host_form.html", context, status=status)
