"""Deleting a site, customer or host: only where nothing hangs on it, and its name is typed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from instances.exceptions import StillInUse
from instances.forms import DeletionForm
from instances.models import Customer, Host, Instance
from instances.services import delete_customer, delete_host, delete_site
from releasemgr.lib import clock
from releasemgr.lib.permission import needs
from releasemgr.pages.acting import CONFLICT, SAVED, Given, actor_of, carried_out, with_seen


@dataclass(frozen=True)
class Going:
    """What is to be deleted. `back` is its page, `after` where nothing of it is left."""

    row: Any
    name: str
    lead: str
    back: str
    after: str
    delete: Callable[..., None]


@needs("instances.delete_instance")
@require_http_methods(["GET", "HEAD", "POST"])
def site(request: HttpRequest, slug: str) -> HttpResponse:
    row = get_object_or_404(Instance, slug=slug)
    lead = _("Its windows, holds and tags go with it; its history stays. Nothing is done on its host.")
    return _answer(request, Going(row, row.slug, lead, row.get_absolute_url(), reverse("sites"), delete_site))


@needs("instances.delete_customer")
@require_http_methods(["GET", "HEAD", "POST"])
def customer(request: HttpRequest, slug: str) -> HttpResponse:
    row = get_object_or_404(Customer, slug=slug)
    back, lead = reverse("customer", args=[row.slug]), _("Its history stays.")
    return _answer(request, Going(row, row.slug, lead, back, reverse("sites"), delete_customer))


@needs("instances.delete_host")
@require_http_methods(["GET", "HEAD", "POST"])
def host(request: HttpRequest, name: str) -> HttpResponse:
    row = get_object_or_404(Host, name=name)
    lead = _("Its approved key is forgotten; its history stays.")
    return _answer(request, Going(row, row.name, lead, row.get_absolute_url(), reverse("hosts"), delete_host))


def _answer(request: HttpRequest, going: Going) -> HttpResponse:
    form = DeletionForm(request.POST or None, name=going.name)
    if refusal := _why_not(request, going):
        return _page(request, going, form, CONFLICT if form.is_bound else SAVED, refusal)
    if not form.is_bound:
        return _page(request, going, form, SAVED)

    def act(given: Given) -> bool:
        going.delete(going.row, actor=actor_of(request), now=clock.now(), reason=given["reason"], seen=given["seen"])
        return True

    deleted, status = carried_out(form, act, clock.now())
    if not deleted:
        return _page(request, going, form, status)
    messages.success(request, _("%(name)s is deleted.") % {"name": going.name})
    return redirect(going.after)


def _page(request: HttpRequest, going: Going, form: DeletionForm, status: int, refusal: str = "") -> HttpResponse:
    context = {"going": going, "form": with_seen(form, going.row, status), "refusal": refusal}
    return render(request, "instances/deletion.html", context, status=status)


def _why_not(request: HttpRequest, going: Going) -> str:
    """Why it cannot be deleted, told before anybody types its name: it is tried, and taken back. Empty where it can."""
    try:
        with transaction.atomic():
            row = type(going.row)._default_manager.get(pk=going.row.pk)
            going.delete(row, actor=actor_of(request), now=clock.now())
            transaction.set_rollback(True)
    except StillInUse as refused:
        return str(refused)
    return ""
