"""Sites: adding one and changing its details, with the effect on tonight before saving."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from instances.exceptions import InvalidInput
from instances.forms import SiteForm
from instances.models import Instance
from instances.services import SITE_FIELDS, add_site, change_site, read_windows, set_tags, set_windows, windows_of
from instances.window_text import format_windows
from instances.windows import Span, Window
from releasemgr.lib import clock, words
from releasemgr.lib.history.services import last_seen
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import needs
from releasemgr.pages.acting import SAVED, Given, actor_of, carried_out, foreseen, seen_of, wants_preview
from releasemgr.pages.foreseen import Said, chance_of, effect_said, foresee, foresee_site
from releasemgr.pages.once import once
from releasemgr.pages.site import EDIT, load_site
from upgrades.night import DAY
from upgrades.recipes.reading import known_recipes
from upgrades.services.planning import next_night

ADD, DELETE = "instances.add_instance", "instances.delete_instance"
OPENINGS = 3


@needs(EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, slug: str) -> HttpResponse:
    shown, now = load_site(slug), clock.now()
    initial = {
        "seen": last_seen(shown),
        "tags": ", ".join(shown.tags.values_list("name", flat=True)),
        "window": format_windows(windows_of(shown)).replace("; ", "\n"),
    }
    form = SiteForm(request.POST or None, instance=load_site(slug), initial=initial, recipes=_recipes())

    def act(given: Given) -> None:
        """All of it or nothing; only the first verb compares what was seen, under the lock that the others need."""
        said: dict[str, Any] = {"actor": actor_of(request), "now": now, "reason": given["reason"]}
        with transaction.atomic():
            change_site(shown, {name: given[name] for name in SITE_FIELDS}, seen=given["seen"], **said)
            set_windows(shown, read_windows(given["window"]), **said)
            set_tags(shown, _words(given["tags"]), **said)

    def forecast(given: Given) -> Said:
        return foresee_site(lambda: act(given), shown, next_night(now), now)

    if not wants_preview(request):
        _saved, status = carried_out(form, act, now)
        if status == SAVED:
            saved = load_site(form.cleaned_data["slug"])
            messages.success(request, _("The details of %(site)s are saved.") % {"site": saved})
            return redirect(saved)
        return _page(request, form, shown, now, None, status)
    return _page(request, form, shown, now, foreseen(form, forecast) if form.is_bound else None)


@needs(ADD)
@require_http_methods(["GET", "HEAD", "POST"])
@once
def new(request: HttpRequest) -> HttpResponse:
    now = clock.now()
    form = SiteForm(request.POST or None, initial=_given_in(request), recipes=_recipes())

    def act(given: Given) -> Instance:
        said: dict[str, Any] = {"actor": actor_of(request), "now": now}
        with transaction.atomic():
            site = add_site({name: given[name] for name in SITE_FIELDS}, reason=given["reason"], **said)
            set_windows(site, read_windows(given["window"]), **said)
            set_tags(site, _words(given["tags"]), **said)
        return site

    def forecast(given: Given) -> Said:
        night, added = next_night(now), list[Instance]()
        effects, chance = foresee(
            lambda: added.append(act(given)), lambda: added, night, lambda: chance_of(added[0], night, now)
        )
        return effect_said(effects[0], chance)

    if not wants_preview(request):
        added, status = carried_out(form, act, now)
        if added:
            messages.success(request, _("%(site)s is added. It follows %(target)s.") % {
                "site": added, "target": added.target,
            })  # fmt: skip
            return redirect(added)
        return _page(request, form, None, now, None, status)
    return _page(request, form, None, now, foreseen(form, forecast) if form.is_bound else None)


def _given_in(request: HttpRequest) -> dict[str, Any]:
    """What the link that led here says already."""
    return {"seen": 0} | {name: request.GET[name] for name in ("customer", "host", "kind") if name in request.GET}


def _words(text: str) -> list[str]:
    return text.split(",")


def _recipes() -> list[tuple[str, str]]:
    return [(recipe.name, f"{recipe.name}: {recipe.title}") for recipe in known_recipes(settings.RECIPE_DIRS)]


def _page(
    request: HttpRequest, form: SiteForm, shown: Instance | None, now: datetime, said: Said | None, status: int = SAVED
) -> HttpResponse:
    context = {
        "form": form,
        "site": shown,
        "said": said,
        "seen": seen_of(form, shown, status) if shown else 0,
        "opens": opens_next(form["window"].value() or "", now),
        "may_delete": shown and request.user.has_perm(DELETE),
    }
    if wants_fragment(request):
        return render(request, "instances/site_form.html#outlook", context)
    return render(request, "instances/site_form.html", context, status=status)


def opens_next(text: str, now: datetime) -> list[str]:
    """When windows as they are typed open next, by their own clocks; the refusal where they cannot be read (P6)."""
    try:
        windows = read_windows(text)
    except InvalidInput as refused:
        return refused.errors["window"]
    if not windows:
        return []
    opening = [
        (span, window)
        for window in windows
        for span in window.openings(now, now + 8 * DAY)
        if span.starts_at > now
    ]  # fmt: skip
    return [_opening_words(span, window, now) for span, window in sorted(opening, key=lambda one: one[0])[:OPENINGS]]


def _opening_words(span: Span, window: Window, now: datetime) -> str:
    begins = words.moment_in(span.starts_at, now, window.zone.key)
    return _("%(begins)s, until %(ends)s") % {"begins": begins, "ends": f"{span.ends_at.astimezone(window.zone):%H:%M}"}
