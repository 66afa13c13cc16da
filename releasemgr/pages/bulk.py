"""Acts on many sites: the page names every one with what changes tonight, and is the confirmation (T3, T7, T9)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from builds.maturity import CHANNELS, channel_heads
from builds.models import Build
from builds.services import gather_builds
from instances.choices import PinEndChoice
from instances.exceptions import InvalidInput, NothingToUndo, Overtaken, TargetsRefused, UnknownSite
from instances.models import Instance, Tag
from instances.services import last_seen_of, undo_between, undo_of
from releasemgr.bulk_forms import BulkForm, SeenOfAllField, UndoForm
from releasemgr.lib import clock
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.history.services import ChangedMeanwhile
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import check, needs, person
from releasemgr.pages.activity import Line, lines_of
from releasemgr.pages.bulk_acts import ACTS, DOWNGRADE, BulkAct, TargetAct, UndoAct
from releasemgr.pages.bulk_preview import BulkPreview
from releasemgr.pages.selection import SelectionRefused, filter_refused, selected
from releasemgr.roles import roles_with
from upgrades.exceptions import PlanChanged
from upgrades.night import Night
from upgrades.selection import canonical, read_query
from upgrades.services.planning import next_night, rest_of_tonight
from upgrades.services.selections import as_shown, preview_change

SKIP = "skip"
LOCAL = "%Y-%m-%dT%H:%M"
TEMPLATE = "instances/bulk.html"


@dataclass
class Page:
    """What a page of a bulk act shows: `act` once the form says what, `theirs` where someone was faster (T7)."""

    request: HttpRequest
    kind: type[BulkAct[Any]]
    sites: list[Instance]
    form: BulkForm
    now: datetime
    night: Night
    act: BulkAct[Any] | None = None
    theirs: Sequence[Line] = ()
    changed: str = ""
    shown: Mapping[str, str] | None = None
    overtaken: Mapping[str, str] | None = None

    def preview(self) -> BulkPreview:
        """Of nothing, while the form does not say what."""
        if self.act is None:
            effects = preview_change(self.sites, lambda facts: facts, self.night)
            return BulkPreview(self._by_id, effects, {}, {})
        effects = preview_change(self.sites, self.act.change(), self.night)
        return BulkPreview(self._by_id, effects, self.act.refusals, self.act.settled, self.shown)

    @property
    def _by_id(self) -> dict[int, Instance]:
        return {site.pk: site for site in self.sites}


@needs("instances.view_instance")
@require_http_methods(["GET", "HEAD", "POST"])
def bulk(request: HttpRequest, name: str) -> HttpResponse:
    """GET names the sites; POST says what the chosen act does (`preview`), leaves out what is refused, or acts."""
    kind = ACTS["hold"] if name == SKIP else ACTS.get(name)
    if kind is None:
        raise Http404("no such act")
    check(request, kind.permission)
    now = clock.now()
    if request.method == "POST":
        return _posted(request, kind, now)
    try:
        chosen = selected(request, now)
    except SelectionRefused as refused:
        return filter_refused(request, refused.faults)
    if not chosen.sites:
        messages.info(request, _("Choose sites first."))
        return redirect("sites")
    night = next_night(now)
    first = _first_values(chosen.sites, chosen.query) | _prefilled(name, rest_of_tonight(now))
    form = kind.form_class(first) if name == SKIP else kind.form_class(initial=first)
    return _answer(_page_of(request, kind, chosen.sites, form, now, night))


def _first_values(sites: list[Instance], query: str) -> dict[str, str]:
    seen = SeenOfAllField.text(last_seen_of(sites))
    return {"sites": ",".join(str(site.pk) for site in sites), "seen": seen, "query": query}


def _prefilled(name: str, night: Night) -> dict[str, str]:
    """What the act says already: the end of the night, for a hold that skips it."""
    if name == SKIP:
        return {"until": f"{timezone.localtime(night.ends_at):{LOCAL}}", "reason": _("Skips one night.")}
    return {}


def _page_of(
    request: HttpRequest, kind: type[BulkAct[Any]], sites: list[Instance], form: BulkForm, now: datetime,
    night: Night, **more: Any,
) -> Page:  # fmt: skip
    page = Page(request, kind, sites, form, now, night, **more)
    if form.says_what or not kind.template:
        act = kind(sites, form, now, night)
        _check_consent(request, act)
        try:
            act.check()
        except InvalidInput as refused:
            _add_errors(form, refused)
        else:
            page.act = act
    return page


def _check_consent(request: HttpRequest, act: BulkAct[Any]) -> None:
    """Going back needs a permission of its own (T4)."""
    if isinstance(act, TargetAct) and act.consents and act.going_back:
        check(request, DOWNGRADE)


def _posted(request: HttpRequest, kind: type[BulkAct[Any]], now: datetime) -> HttpResponse:
    form = kind.form_class(request.POST)
    sites = _sites_of(form)
    night = next_night(now)
    page = _page_of(request, kind, sites, form, now, night)
    if "leave_out" in request.POST and page.act:
        return _left_out(page)
    if "preview" in request.POST:
        return _answer(page)
    return _confirmed(page)


def _sites_of(form: BulkForm) -> list[Instance]:
    form.full_clean()
    if {"sites", "seen"} & form.errors.keys():
        raise BadRequest("no selection")
    sites = list(Instance.objects.for_list().filter(pk__in=form.ids()))
    if not sites:
        raise BadRequest("no selection")
    return sites


def _left_out(page: Page) -> HttpResponse:
    """The same without the sites that are refused."""
    assert page.act  # noqa: S101 - its caller looked
    kept = [site for site in page.sites if site.pk not in page.act.refusals]
    if not kept:
        messages.info(page.request, _("No site was left."))
        return redirect(_list_of(page.form))
    data = page.request.POST.copy()
    for name, value in _first_values(kept, page.form.data.get("query", "")).items():
        data[name] = value
    return _answer(_page_of(page.request, page.kind, kept, page.kind.form_class(data), page.now, page.night))


def _confirmed(page: Page) -> HttpResponse:
    """Acts on exactly what was shown, or on nothing."""
    form, act = page.form, page.act
    if act is None:
        return _answer(page, 422)
    preview = page.preview()
    missing = len(page.sites) != len(set(form.ids()))
    if missing or form.cleaned_data.get("shown") != preview.fingerprint or not preview.may_be_confirmed:
        return _again(page)
    form.require(preview.to_type)
    if not form.is_valid():
        return _answer(page, 422)
    actor = Actor(Origin.PAGE, person(page.request))
    before = max(last_seen_of(page.sites).values(), default=0)
    said = form.cleaned_data
    try:
        as_shown(
            page.sites, act.change(), lambda: act.carry_out(actor, said["reason"], said["seen"]),
            shown=said["shown"], now=page.now,
        )  # fmt: skip
    except ChangedMeanwhile as refused:
        page.theirs = lines_of([refused.theirs, *refused.others], page.now)
        return _again(page)
    except (PlanChanged, TargetsRefused, Overtaken, UnknownSite) as refused:
        return _again(page, str(refused))
    except InvalidInput as refused:
        _add_errors(form, refused)
        page.act = page.act if form.says_what else None
        return _answer(page, 422)
    _tell(page, act, preview, actor, before)
    return redirect(_list_of(form))


def _again(page: Page, words: str = "") -> HttpResponse:
    """409: nothing was changed, and what it would do now is marked where it differs."""
    page.changed = words or _("Nothing was changed.")
    page.shown = page.form.cleaned_data.get("rows") or None
    fresh = Instance.objects.for_list().filter(pk__in=[site.pk for site in page.sites])
    page.sites = list(fresh)
    if page.act:
        page.act = _renewed(page.act, page.sites)
    return _answer(page, 409)


def _renewed(act: BulkAct[Any], sites: list[Instance]) -> BulkAct[Any]:
    if isinstance(act, UndoAct):
        return act
    return type(act)(sites, act.form, act.now, act.night)


def _add_errors(form: BulkForm, refused: InvalidInput) -> None:
    fields = {"ends_at": "until", "starts_at": "begins", "tags": "add"}
    for name, texts in refused.errors.items():
        field = fields.get(name, name)
        for text in texts:
            form.add_error(field if field in form.fields else None, text)


def _tell(page: Page, act: BulkAct[Any], preview: BulkPreview, actor: Actor, before: int) -> None:
    words = act.receipt(preview.number)
    span = None if isinstance(act, UndoAct) else undo_of(page.sites, act.kind, actor=actor, now=page.now, after=before)
    if span:
        address = f"{reverse('bulk-undo', args=span)}?{urlencode({'query': _query_of(page.form)})}"
        messages.success(
            page.request, format_html('{} <a href="{}">{}</a>', words, address, act.undo_words(preview.number))
        )
    else:
        messages.success(page.request, words)


def _query_of(form: BulkForm) -> str:
    """The filter of the list that the sites were chosen in."""
    return canonical(read_query(str(form["query"].value() or "")))


def _list_of(form: BulkForm) -> str:
    query = _query_of(form)
    return f"{reverse('sites')}?{query}" if query else reverse("sites")


@needs("instances.view_instance")
@require_http_methods(["GET", "HEAD", "POST"])
def undo(request: HttpRequest, first: int, last: int) -> HttpResponse:
    """Takes back an act whose changes have these numbers, where nobody has changed the sites again."""
    now = clock.now()
    try:
        found = undo_between(min(first, 2**62), min(last, 2**62), now)
    except NothingToUndo as error:
        raise Http404(str(error)) from error
    night = next_night(now)
    query = request.GET.get("query", "")
    form = UndoForm(request.POST) if request.method == "POST" else UndoForm(_first_values(found.sites, query))
    sites = _sites_of(form) if request.method == "POST" else found.sites
    act = UndoAct(sites, form, now, night, found)
    check(request, act.of.permission)
    if act.consents_to_older:
        check(request, DOWNGRADE)
    form.full_clean()
    page = Page(request, UndoAct, sites, form, now, night, act, overtaken=found.overtaken)
    if request.method != "POST":
        return _answer(page)
    known = {site.pk for site in found.sites}
    if any(site.pk not in known for site in sites):
        page.sites = act.sites = found.sites
        return _again(page, _("Sites were changed again. Nothing was taken back."))
    act.undo = found
    return _confirmed(page)


def _answer(page: Page, status: int = 200) -> HttpResponse:
    fragment = wants_fragment(page.request) and "preview" in page.request.POST
    if page.form.is_bound and page.form.errors and status == 200 and page.request.method == "POST" and not fragment:
        status = 422
    return render(page.request, TEMPLATE + ("#effect" if fragment else ""), _context(page), status=status)


def _context(page: Page) -> dict[str, Any]:
    preview = page.preview() if page.sites else None
    number = preview.number if preview else 0
    title = _title(page, number if page.act and number else len(page.sites))
    return {
        "page": page,
        "act": page.act,
        "form": page.form,
        "preview": preview,
        "undoes": isinstance(page.act, UndoAct),
        "title": title,
        "verb": title,
        "fields": page.kind.template,
        "seen": _seen(page),
        "ids": ",".join(str(site.pk) for site in page.sites),
        "back": _list_of(page.form),
        "sub": _sub(page),
        "zone": timezone.get_current_timezone_name(),
        "wants_reason": page.form.wants_reason() if page.form.is_bound else bool(page.form.needs_reason),
        "overtaken": page.overtaken or {},
        "rows_json": json.dumps(preview.rows) if preview and page.act else "",
        **_choices(page),
    }


def _seen(page: Page) -> str:
    """What the next answer will have seen: what is there now, once a conflict has shown it (T7)."""
    if page.changed or page.theirs:
        return SeenOfAllField.text(last_seen_of(page.sites))
    return str(page.form["seen"].value())


def _title(page: Page, number: int) -> str:
    return page.act.named(number) if isinstance(page.act, UndoAct) else page.kind.title(number)


def _sub(page: Page) -> str:
    live = sum(site.kind == "live" for site in page.sites)
    number = ngettext("%(n)d site, %(live)d of them LIVE.", "%(n)d sites, %(live)d of them LIVE.", len(page.sites))
    begins = _("Nothing is upgraded now: the next night begins at %(time)s UTC.") % {
        "time": f"{page.night.starts_at:%H:%M}"
    }
    return f"{number % {'n': len(page.sites), 'live': live}} {begins}"


def _choices(page: Page) -> dict[str, Any]:
    """What the fields offer."""
    if page.kind is TargetAct:
        builds = Build.objects.order_by("-version_key").filter(withdrawn_at=None)
        heads = channel_heads(gather_builds().values())
        return {
            "channels": [(one.channel, head.version if (head := heads[one]) else "") for one in reversed(CHANNELS)],
            "builds": [build.version for build in builds],
            "ends": PinEndChoice.choices,
            "going_back": page.act.going_back if isinstance(page.act, TargetAct) else [],
            "may_go_back": page.request.user.has_perm(DOWNGRADE),
            "who_may_go_back": roles_with(DOWNGRADE)[0],
        }
    return {"tags": Tag.objects.values_list("name", flat=True)} if page.kind is ACTS["tags"] else {}
