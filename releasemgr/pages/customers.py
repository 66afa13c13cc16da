"""A customer: its sites, its freezes, its history; adding and changing one."""

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe
from django_tables2 import RequestConfig

from instances.forms import CustomerForm
from instances.models import Customer, Freeze, Instance
from instances.pauses import Pause
from instances.services import CUSTOMER_FIELDS, add_customer, change_customer
from releasemgr.lib import clock
from releasemgr.lib.history.services import last_seen, values_of
from releasemgr.lib.permission import needs
from releasemgr.pages.acting import SAVED, Given, actor_of, carried_out, seen_of
from releasemgr.pages.activity import activity_of
from releasemgr.pages.once import once
from releasemgr.pages.renamed import renamed_or_404
from releasemgr.pages.site import AHEAD
from releasemgr.pages.site_table import SiteTable
from releasemgr.pages.tonight_plan import plan_of_tonight
from releasemgr.roles import roles_with

PER_PAGE = 50
ADD, EDIT, DELETE = "instances.add_customer", "instances.change_customer", "instances.delete_customer"
FREEZE, START, NEW_SITE = "instances.add_freeze", "upgrades.start_upgrade", "instances.add_instance"


@needs("instances.view_customer")
@require_safe
def customer(request: HttpRequest, slug: str) -> HttpResponse:
    who, now = Customer.objects.filter(slug=slug).first(), clock.now()
    if who is None:
        return redirect("customer", renamed_or_404(Customer, slug).slug, permanent=True)
    rows = Instance.objects.for_list().with_current_build().filter(customer=who)
    table = SiteTable(rows, plan_of_tonight(now, request).decisions, exclude=("site", "customer", "window"))
    table.region = ""
    RequestConfig(request, paginate={"per_page": PER_PAGE}).configure(table)
    number, may = table.page.paginator.count, request.user.has_perm
    context = {
        "customer": who,
        "table": table,
        "number": ngettext("%d site", "%d sites", number) % number,
        "freezes": _freezes(who, now),
        "new_freeze": reverse("freeze-new", query={"customer": who.slug}),
        "lines": activity_of(who),
        "may_start": may(START) and number,
        "may_freeze": may(FREEZE),
        "may_edit": may(EDIT),
        "may_add": may(NEW_SITE),
        "who_may_freeze": roles_with(FREEZE)[0],
    }
    return render(request, "instances/customer_detail.html", context)


def _freezes(who: Customer, now: datetime) -> list[tuple[Freeze, Pause | None, str]]:
    """Those of this customer that run or are to come, each with its next time and its page."""
    found = Freeze.objects.for_list().filter(customer=who).not_over(now)
    return [
        (freeze, next(iter(freeze.pauses(now, now + AHEAD)), None), reverse("freeze", args=[freeze.pk]))
        for freeze in found
    ]


@needs(ADD)
@require_http_methods(["GET", "HEAD", "POST"])
@once
def new(request: HttpRequest) -> HttpResponse:
    form = CustomerForm(request.POST or None, initial={"seen": 0})
    status = SAVED

    def act(given: Given) -> Customer:
        return add_customer(_values(given), actor=actor_of(request), now=clock.now(), reason=given["reason"])

    if request.method == "POST":
        added, status = carried_out(form, act, clock.now())
        if added:
            messages.success(request, _("%(customer)s is added.") % {"customer": added})
            return redirect("customer", added.slug)
    return _page(request, form, None, status)


@needs(EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, slug: str) -> HttpResponse:
    who = get_object_or_404(Customer, slug=slug)
    form = CustomerForm(request.POST or None, initial=values_of(who, CUSTOMER_FIELDS) | {"seen": last_seen(who)})
    status = SAVED

    def act(given: Given) -> None:
        change_customer(
            get_object_or_404(Customer, pk=who.pk), _values(given), actor=actor_of(request), now=clock.now(),
            reason=given["reason"], seen=given["seen"],
        )  # fmt: skip

    if request.method == "POST":
        _saved, status = carried_out(form, act, clock.now())
        if status == SAVED:
            name = form.cleaned_data["name"]
            messages.success(request, _("The details of %(customer)s are saved.") % {"customer": name})
            return redirect("customer", form.cleaned_data["slug"])
    return _page(request, form, who, status)


def _values(given: Given) -> dict[str, Any]:
    return {name: given[name] for name in CUSTOMER_FIELDS}


def _page(request: HttpRequest, form: CustomerForm, who: Customer | None, status: int) -> HttpResponse:
    context = {
        "form": form,
        "customer": who,
        "seen": seen_of(form, who, status) if who else 0,
        "may_delete": who and request.user.has_perm(DELETE),
    }
    return render(request, "instances/customer_form.html", context, status=status)
