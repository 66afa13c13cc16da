"""Withdrawing a build: what it does to each site, then a reason and the version typed (R9)."""

import json
from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from builds.exceptions import BuildError
from builds.forms import ReplacementForm, WithdrawalForm
from builds.models import Build
from instances.models import Instance
from releasemgr.lib import clock
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.history.services import ChangedMeanwhile
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import needs, person
from releasemgr.pages.effects import change_seen, differing, rows_of, shown_rows
from releasemgr.pages.found import build_or_404
from releasemgr.pages.meanwhile import meanwhile_words
from upgrades.exceptions import PlanChanged
from upgrades.services.planning import MovePreview, next_night, preview_withdrawal
from upgrades.services.promotions import withdraw_as_shown
from upgrades.services.under_way import under_way_to

REFUSED, INVALID = 409, 422
TEMPLATE = "builds/withdrawal.html"


@require_http_methods(["GET", "HEAD", "POST"])
@needs("builds.withdraw_build")
def withdraw(request: HttpRequest, version: str) -> HttpResponse:
    """GET with `?replacement=` shows what it does with that build as the stepping stone in its place (T8)."""
    build = build_or_404(version)
    if build.is_withdrawn:
        messages.info(request, _("%(version)s is withdrawn already.") % {"version": build.version})
        return redirect(build)
    if request.method != "POST":
        return _page(request, build, None)
    form = WithdrawalForm(request.POST, build=build)
    if "preview" in request.POST:
        return _page(request, build, form)
    if not form.is_valid():
        return _page(request, build, form, shown=form.cleaned_data.get("shown"), status=INVALID)
    return _withdraw(request, build, form)


def _withdraw(request: HttpRequest, build: Build, form: WithdrawalForm) -> HttpResponse:
    said, now = form.cleaned_data, clock.now()
    try:
        withdraw_as_shown(
            build, seen=said["seen"], actor=Actor(Origin.PAGE, person(request)), now=now, reason=said["reason"],
            replacement=form.chosen(), last_change=said["last_change"],
        )  # fmt: skip
    except (PlanChanged, BuildError) as refused:
        return _page(request, build, form, shown=said["shown"], refusal=str(refused), status=REFUSED)
    except ChangedMeanwhile as refused:
        words = meanwhile_words(refused, now)
        return _page(request, build, form, shown=said["shown"], refusal=words, status=REFUSED)
    messages.success(request, _done(build))
    return redirect(build)


def _done(build: Build) -> str:
    """With what becomes of the upgrades under way, as far as the hosts have told."""
    under_way = under_way_to(build)
    stopped, finishing = len(under_way.stopped), len(under_way.finishing)
    said = [_("%(version)s is withdrawn. No site is upgraded to it again.") % {"version": build}]
    if stopped:
        words = ngettext(
            "%(n)d upgrade to it is stopped before its switch.",
            "%(n)d upgrades to it are stopped before their switch.", stopped,
        )  # fmt: skip
        said.append(words % {"n": stopped})
    if finishing:
        words = ngettext("%(n)d is past it and finishes.", "%(n)d are past it and finish.", finishing)
        said.append(words % {"n": finishing})
    return " ".join(said)


def _page(
    request: HttpRequest, build: Build, sent: WithdrawalForm | None, *, shown: Mapping[str, str] | None = None,
    refusal: str = "", status: int = 200,
) -> HttpResponse:  # fmt: skip
    """With `shown`, what a person saw before, the rows that differ are marked."""
    night = next_night(clock.now())
    preview = preview_withdrawal(build, night, replacement=_replacement(request, build))
    context = (
        _effect(build, preview, shown)
        | differing(preview, shown)
        | {
            "build": build,
            "form": _form(build, preview, sent),
            "refusal": refusal,
        }
    )
    template = f"{TEMPLATE}#effect" if wants_fragment(request) and request.method != "POST" else TEMPLATE
    return render(request, template, context, status=status)


def _replacement(request: HttpRequest, build: Build) -> Build | None:
    """What the form says now, as far as it can be understood."""
    form = ReplacementForm(request.POST if request.method == "POST" else request.GET)
    form.is_valid()
    chosen = form.cleaned_data.get("replacement")
    return chosen if build.stepping_stone and chosen != build else None


def _form(build: Build, preview: MovePreview, sent: WithdrawalForm | None) -> WithdrawalForm:
    """The form for what is shown now, with what was written into the one that came."""
    now = {"seen": preview.fingerprint, "shown": shown_rows(preview), "last_change": change_seen(sent, build)}
    if sent is None:
        return WithdrawalForm(initial=now, build=build)
    data = {**dict(sent.data.items()), **now, "shown": json.dumps(now["shown"])}
    if sent.is_valid() or "preview" in data:
        kept = {name: data.get(name, "") for name in ("reason", "replacement")}
        return WithdrawalForm(initial=now | kept, build=build)
    return WithdrawalForm(data, build=build)


def _effect(build: Build, preview: MovePreview, shown: Mapping[str, str] | None) -> dict[str, Any]:
    rows = rows_of(preview.changed, shown)
    falls_back = {(row.before, row.to) for row in rows}
    return {
        "preview": preview,
        "rows": rows,
        "falls_back": sorted(to for before, to in falls_back if before == build.version and to not in ("", before)),
        "running_it": Instance.objects.filter(reported_key=build.version_key).count(),
        "pinned_to_it": Instance.objects.for_list().filter(target_build=build),
        "under_way": under_way_to(build),
    }
