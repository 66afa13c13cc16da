"""A site whose directory says that it is another one: a person says whose it is."""

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from instances.exceptions import DirectoryMismatch, InvalidInput
from instances.forms import ClaimForm
from instances.models import Instance
from instances.services import claim_directory, foreign_words
from releasemgr.lib import clock, queue
from releasemgr.lib.permission import needs
from releasemgr.pages.acting import CONFLICT, INVALID, SAVED, actor_of
from releasemgr.pages.site import EDIT, load_site


@needs(EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
def directory(request: HttpRequest, slug: str) -> HttpResponse:
    """Says what is found there; saving needs a reason, and has the site asked at once."""
    shown = load_site(slug)
    if not shown.foreign_mark:
        messages.info(request, _("The directory of %(site)s is not marked as another site’s.") % {"site": shown})
        return redirect(shown)
    form = ClaimForm(request.POST or None, initial={"seen": shown.foreign_mark})
    if not form.is_valid():
        return _page(request, shown, form, INVALID if form.is_bound else SAVED)
    try:
        with transaction.atomic():
            claim_directory(shown, actor=actor_of(request), now=clock.now(), **form.cleaned_data)
            queue.enqueue("upgrades.tasks.ask_versions_later", [shown.pk])
    except DirectoryMismatch as refused:
        form.add_error(None, str(refused))
        return _page(request, load_site(slug), form, CONFLICT)
    except InvalidInput as refused:
        form.add_error("reason", str(refused))
        return _page(request, shown, form, INVALID)
    words = _("The directory is %(site)s’s from now on. The site is being asked for its version.") % {"site": shown}
    messages.success(request, words)
    return redirect(shown)


def _page(request: HttpRequest, shown: Instance, form: ClaimForm, status: int) -> HttpResponse:
    context = {"site": shown, "form": form, "found": foreign_words(shown), "seen": shown.foreign_mark}
    return render(request, "instances/site_directory.html", context, status=status)
