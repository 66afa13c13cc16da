"""The views above the list of sites: those that everyone has, and the filters that people saved under a name."""

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Q
from django.db.models.functions import Lower
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from releasemgr.forms import SavedViewForm
from releasemgr.lib import clock
from releasemgr.lib.components import ViewLink
from releasemgr.lib.history.services import ChangedMeanwhile, last_seen_of_each
from releasemgr.lib.permission import check, needs, person
from releasemgr.models import Profile, SavedView, profile_of
from releasemgr.pages.acting import actor_of
from releasemgr.pages.once import once
from releasemgr.pages.tonight_plan import plan_of_tonight
from releasemgr.saved_views import delete_view
from upgrades.selection import Candidate, FilterRefused, criteria_of, read_query

ALL = "all=1"
FOR_EVERYONE = (
    (ALL, gettext_lazy("All")),
    ("kind=live", gettext_lazy("Live")),
    ("kind=test", gettext_lazy("Test")),
    ("state=off-target", gettext_lazy("Off target")),
    ("state=tonight", gettext_lazy("Upgrading tonight")),
    ("state=needs-a-person", gettext_lazy("Needs a person")),
    ("state=held", gettext_lazy("On hold")),
    ("target=pinned", gettext_lazy("Pinned")),
)


def view_links(saved: Sequence[SavedView], fleet: Sequence[Candidate], current: str) -> list[ViewLink]:
    """Each is a fresh list: it forgets the other filters, and its count is of the whole fleet. No query."""
    here = reverse("sites")
    given = [
        ViewLink(str(label), f"{here}?{query}", count_of(query, fleet), (current or ALL) == query)
        for query, label in FOR_EVERYONE
    ]
    known = {query for query, _label in FOR_EVERYONE}
    own = [
        ViewLink(
            view.name, view.get_absolute_url(), count_of(view.query, fleet),
            bool(current) and view.query == current and current not in known,
        )
        for view in saved
    ]  # fmt: skip
    return given + own


def count_of(query: str, fleet: Sequence[Candidate]) -> int | None:
    """How many sites a view shows; None where its filter is not understood any more."""
    try:
        criteria = criteria_of({name: texts for name, texts in read_query(query).items() if name != "all"})
    except FilterRefused:
        return None
    return sum(criteria.take(one) for one in fleet)


def views_of(user: User) -> list[SavedView]:
    """Their own, then those of others that are shared. One query."""
    found = SavedView.objects.filter(Q(owner_id=user.pk) | Q(shared=True)).select_related("owner")
    return sorted(found.order_by(Lower("name"), "pk"), key=lambda view: view.owner_id != user.pk)


def first_address(user: User) -> str:
    """The list with which the person starts; empty for the list of all."""
    first = profile_of(user).first_view
    return first.get_absolute_url() if first and (first.shared or first.owner_id == user.pk) else ""


@needs("instances.view_instance")
@require_http_methods(["GET", "HEAD", "POST"])
@once
def saved_views(request: HttpRequest) -> HttpResponse:
    """GET lists them; POST saves the filter `query` under a name."""
    if request.method != "POST":
        return _page(request)
    form = SavedViewForm(request.POST, instance=SavedView(owner=person(request)))
    if not form.saved(actor=actor_of(request), now=clock.now()):
        return _page(request, form=form)
    messages.success(request, _("The view “%(name)s” is saved.") % {"name": form.instance.name})
    return redirect(form.instance)


def _page(
    request: HttpRequest, *, form: SavedViewForm | None = None, changed: tuple[SavedView, SavedViewForm] | None = None
) -> HttpResponse:
    user, now = person(request), clock.now()
    fleet = plan_of_tonight(now, request).candidates(now)
    first, views = profile_of(user).first_view_id, _visible(user)
    seen = last_seen_of_each(views)
    context: dict[str, Any] = {
        "views": [
            {
                "view": view, "count": count_of(view.query, fleet), "first": view.pk == first,
                "mine": view.owner_id == user.pk, "may": view.may_be_changed_by(user),
                "form": changed[1] if changed and changed[0].pk == view.pk else None,
                "seen": seen.get(view.pk, 0),
            }
            for view in views
        ],
        "form": form,
        "first": first,
    }  # fmt: skip
    return render(request, "releasemgr/saved_views.html", context, status=422 if form or changed else 200)


def _visible(user: User) -> list[SavedView]:
    """Whoever keeps order sees every view."""
    if not user.has_perm("releasemgr.change_savedview"):
        return views_of(user)
    return list(SavedView.objects.select_related("owner").order_by(Lower("name"), "pk"))


@needs("instances.view_instance")
@require_POST
def saved_view(request: HttpRequest, number: int) -> HttpResponse:
    """Renames a view, shares it with everyone or with nobody, or deletes it: the button says which."""
    user = person(request)
    view = get_object_or_404(SavedView.objects.select_related("owner"), pk=number)
    if not view.shared and not view.may_be_changed_by(user):
        raise Http404("no such view")
    if not view.may_be_changed_by(user):
        check(request, "releasemgr.change_savedview")
    form = SavedViewForm(request.POST, instance=view)
    if "delete" in request.POST:
        return _deleted(request, view, form)
    if not form.saved(actor=actor_of(request), now=clock.now()):
        return _page(request, changed=(view, form))
    messages.success(request, _("The view “%(name)s” is saved.") % {"name": view.name})
    return redirect("saved-views")


def _deleted(request: HttpRequest, view: SavedView, form: SavedViewForm) -> HttpResponse:
    """It can be undone at once: the message has the filter, to save it again."""
    view.refresh_from_db()
    words = _("The view “%(name)s” is deleted.") % {"name": view.name}
    back = view.get_absolute_url()
    try:
        form.is_valid()
        delete_view(view, actor=actor_of(request), now=clock.now(), seen=form.cleaned_data.get("seen"))
    except ChangedMeanwhile as refused:
        form.add_error(None, str(refused))
        return _page(request, changed=(view, form))
    messages.success(request, format_html('{} <a href="{}">{}</a>', words, back, _("Show its filter")))
    return redirect("saved-views")


@needs("instances.view_instance")
@require_POST
def choose_first_view(request: HttpRequest) -> HttpResponse:
    """What the page Sites shows at first: a view that the person sees, or all sites."""
    user = person(request)
    wanted = request.POST.get("view", "")
    seen = {str(view.pk): view for view in views_of(user)}
    if wanted and wanted not in seen:
        raise Http404("no such view")
    Profile.objects.update_or_create(user=user, defaults={"first_view": seen.get(wanted)})
    messages.success(request, _("The page Sites starts with this view now.") if wanted else _("It starts with all."))
    return redirect("saved-views")
