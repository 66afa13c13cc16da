"""Authorities that vouch for keys of hosts: which there are, adding and removing one (U6)."""

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from instances.exceptions import InvalidInput, UnknownAuthority
from instances.forms import AuthorityForm, ReasonForm
from instances.models import HostAuthority
from instances.services import add_authority, remove_authority
from releasemgr.lib import clock
from releasemgr.lib.permission import check, needs
from releasemgr.pages.acting import CONFLICT, INVALID, SAVED, actor_of
from releasemgr.pages.hosts import APPROVE
from releasemgr.pages.once import once
from releasemgr.roles import roles_with


@needs("instances.view_host")
@require_http_methods(["GET", "HEAD", "POST"])
@once
def authorities(request: HttpRequest) -> HttpResponse:
    form = AuthorityForm(request.POST or None)
    status = SAVED
    if request.method == "POST":
        check(request, APPROVE)
        if _added(request, form):
            return redirect("host-authorities")
        status = INVALID
    rows = HostAuthority.objects.select_related("added_by").annotate(hosts_known=Count("hosts"))
    context = {
        "authorities": rows,
        "form": form,
        "may_approve": request.user.has_perm(APPROVE),
        "who_may_approve": roles_with(APPROVE)[0],
    }
    return render(request, "instances/authority_list.html", context, status=status)


def _added(request: HttpRequest, form: AuthorityForm) -> bool:
    if not form.is_valid():
        return False
    try:
        row = add_authority(**form.cleaned_data, actor=actor_of(request), now=clock.now())
    except InvalidInput as refused:
        for name, sentences in refused.errors.items():
            form.add_error(name, sentences)
        return False
    messages.success(request, _("What %(authority)s signs is trusted on %(names)s.") % {
        "authority": row, "names": row.names,
    })  # fmt: skip
    return True


@needs(APPROVE)
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, number: int) -> HttpResponse:
    """The form carries the hosts that it was shown to cost their key: with others nothing is done (T7)."""
    row = get_object_or_404(HostAuthority, pk=number)
    form = ReasonForm(request.POST or None)
    vouched = list(row.hosts.order_by("name"))
    shown = " ".join(host.name for host in vouched)
    status = INVALID if form.is_bound else SAVED
    if form.is_bound and request.POST.get("shown") != shown:
        status = CONFLICT
    elif form.is_valid():
        return _removed(request, row, form.cleaned_data["reason"])
    context = {"authority": row, "form": form, "vouched": vouched, "shown": shown, "conflict": status == CONFLICT}
    return render(request, "instances/authority_remove.html", context, status=status)


def _removed(request: HttpRequest, row: HostAuthority, reason: str) -> HttpResponse:
    try:
        vouched = remove_authority(row.fingerprint, actor=actor_of(request), now=clock.now(), reason=reason)
    except UnknownAuthority as gone:
        messages.error(request, str(gone))
        return redirect("host-authorities")
    words = _("%(authority)s is trusted no longer. Hosts without an approved key now: %(n)d.")
    messages.success(request, words % {"authority": row, "n": len(vouched)})
    return redirect("host-authorities")
