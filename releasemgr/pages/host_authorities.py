"""Authorities that vouch for keys of hosts: which there are, adding and removing one (U6)."""

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from instances.forms import AuthorityForm, RemovalForm
from instances.models import Host, HostAuthority
from instances.services import add_authority, remove_authority
from releasemgr.lib import clock
from releasemgr.lib.permission import check, needs
from releasemgr.pages.acting import SAVED, Given, actor_of, carried_out, with_seen
from releasemgr.pages.hosts import APPROVE
from releasemgr.pages.once import once
from releasemgr.roles import roles_with


@needs("instances.view_host")
@require_http_methods(["GET", "HEAD", "POST"])
@once
def authorities(request: HttpRequest) -> HttpResponse:
    form, status, now = AuthorityForm(request.POST or None), SAVED, clock.now()
    if request.method == "POST":
        check(request, APPROVE)
        row, status = carried_out(form, lambda given: add_authority(**given, actor=actor_of(request), now=now), now)
        if row:
            words = _("What %(authority)s signs is trusted on %(names)s.")
            messages.success(request, words % {"authority": row, "names": row.names})
            return redirect("host-authorities")
    rows = HostAuthority.objects.select_related("added_by").annotate(hosts_known=Count("hosts"))
    context = {
        "authorities": rows,
        "form": with_seen(form, HostAuthority, status),
        "may_approve": request.user.has_perm(APPROVE),
        "who_may_approve": roles_with(APPROVE)[0],
    }
    return render(request, "instances/authority_list.html", context, status=status)


@needs(APPROVE)
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, number: int) -> HttpResponse:
    """The form carries the hosts that it was shown to cost their key: with others nothing is done (T7)."""
    row, now = get_object_or_404(HostAuthority, pk=number), clock.now()
    form, status = RemovalForm(request.POST or None), SAVED

    def act(given: Given) -> list[Host]:
        return remove_authority(row.fingerprint, actor=actor_of(request), now=now, **given)

    if form.is_bound:
        unpinned, status = carried_out(form, act, now)
        if unpinned is not None:
            words = _("%(authority)s is trusted no longer. Hosts without an approved key now: %(n)d.")
            messages.success(request, words % {"authority": row, "n": len(unpinned)})
            return redirect("host-authorities")
        row = get_object_or_404(HostAuthority, pk=number)  # as it is meanwhile
    vouched = list(row.hosts.order_by("name"))
    context = {"authority": row, "form": with_seen(form, row, status), "vouched": vouched}
    return render(request, "instances/authority_remove.html", context, status=status)
