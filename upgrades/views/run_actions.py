"""What a person does about a run: halts it, lets it go on, ends it, offers its builds again, tries again what failed.

Each is a page that says what it does, and asks for the reason.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from builds.models import Build
from instances.models import Instance
from releasemgr.lib import clock
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.components import Action, Confirm
from releasemgr.lib.permission import needs, person
from releasemgr.roles import roles_with
from upgrades import run_words, sentences
from upgrades.choices import BEGUN, UpgradeState
from upgrades.exceptions import NothingToUpgrade, PlanChanged
from upgrades.forms import RetryForm, live_to_type
from upgrades.models import Run, RunHalt
from upgrades.plan import Decision
from upgrades.services import halts as verbs
from upgrades.services.retries import RetryPreview, preview_retry, retry_failed
from upgrades.views.acts import Act, act_on
from upgrades.views.run_results import RETRY, FailureGroup, kept_builds
from upgrades.views.site_rows import RowGroup, SiteRow, SiteRows, end_of, target_words, way_words

if TYPE_CHECKING:
    from django.contrib.auth.models import User

HALT = "upgrades.halt_run"


def actions_for(
    run: Run, halts: Sequence[RunHalt], failures: Sequence[FailureGroup], user: "User | AnonymousUser", now: datetime
) -> list[Action]:
    """What can be done about the run as it stands."""
    return [
        Action(label, reverse(name, args=[run.pk]), icon, () if user.has_perm(needed) else roles_with(needed)[:1])
        for label, name, icon, needed in _possible(run, halts, failures, now)
    ]


def _possible(
    run: Run, halts: Sequence[RunHalt], failures: Sequence[FailureGroup], now: datetime
) -> list[tuple[str, str, str, str]]:
    halted = any(halt.ended_at is None for halt in halts)
    found = []
    if number := _to_retry(failures):
        found.append((_("Retry failed (%(n)d)…") % {"n": number}, "run-retry", "rotate-cw", RETRY))
    if halted and run.ends_at > now:
        found.append((_("Resume…"), "run-resume", "play", HALT))
    if halted:
        found.append((_("End run…"), "run-end", "square", HALT))
    elif run.ended_at is None:
        found.append((_("Halt…"), "run-halt", "octagon-x", HALT))
    elif kept := kept_builds(halts):
        label = _("Offer %(versions)s again…") % {"versions": _versions(kept)}
        found.append((label, "run-release", "package-check", HALT))
    return found


def _to_retry(failures: Sequence[FailureGroup]) -> int:
    """How many sites have seen nothing since, and wait for nobody."""
    urls = [link.id for group in failures for failure in group.failures for link in failure.links]
    return sum(name.startswith("retry-") for name in urls)


def _versions(builds: Sequence[Build]) -> str:
    return ", ".join(build.version for build in builds)


# Pages with a reason


@needs(HALT)
@require_http_methods(["GET", "HEAD", "POST"])
def halt(request: HttpRequest, number: int) -> HttpResponse:
    return _act(request, number, HALTING)


@needs(HALT)
@require_http_methods(["GET", "HEAD", "POST"])
def resume(request: HttpRequest, number: int) -> HttpResponse:
    return _act(request, number, RESUMING)


@needs(HALT)
@require_http_methods(["GET", "HEAD", "POST"])
def end(request: HttpRequest, number: int) -> HttpResponse:
    return _act(request, number, ENDING)


@needs(HALT)
@require_http_methods(["GET", "HEAD", "POST"])
def release(request: HttpRequest, number: int) -> HttpResponse:
    return _act(request, number, RELEASING)


def _act(request: HttpRequest, number: int, act: Act[Run]) -> HttpResponse:
    run = get_object_or_404(Run, pk=number)
    return act_on(request, act, run, crumb=run_words.numbered(run), about=run)


def _left(run: Run) -> tuple[int, int]:
    """How many upgrades have not begun, and how many run."""
    states = list(run.upgrades.active().values_list("state", flat=True))
    return states.count(UpgradeState.WAITING), sum(state in BEGUN for state in states)


def _halting(run: Run) -> Confirm:
    waiting, running = _left(run)
    effect = [
        ngettext(
            "%(n)d upgrade that has not begun waits until the run is resumed or ended.",
            "%(n)d upgrades that have not begun wait until the run is resumed or ended.", waiting,
        ) % {"n": waiting},
        ngettext("%(n)d that runs finishes.", "%(n)d that run finish.", running) % {"n": running} if running else "",
    ]  # fmt: skip
    return _confirm(run, _("Halt run #%(n)d?"), _("Halt the run"), effect, danger=True)


def _resuming(run: Run) -> Confirm:
    waiting, _running = _left(run)
    effect = [
        ngettext(
            "%(n)d upgrade goes on, the halted wave first. Failures up to now count no more.",
            "%(n)d upgrades go on, the halted wave first. Failures up to now count no more.", waiting,
        ) % {"n": waiting},
        _offered(run),
    ]  # fmt: skip
    return _confirm(run, _("Resume run #%(n)d?"), _("Resume the run"), effect)


def _ending(run: Run) -> Confirm:
    waiting, running = _left(run)
    effect = [
        ngettext(
            "%(n)d upgrade is recorded as not started; its site is planned again the night after.",
            "%(n)d upgrades are recorded as not started; their sites are planned again the night after.", waiting,
        ) % {"n": waiting},
        ngettext("%(n)d that runs finishes.", "%(n)d that run finish.", running) % {"n": running} if running else "",
        run_words.kept_back([build.version for build in kept_builds(_halts(run))]),
    ]  # fmt: skip
    return _confirm(run, _("End run #%(n)d?"), _("End the run"), effect, danger=True)


def _releasing(run: Run) -> Confirm:
    builds = kept_builds(_halts(run))
    title = _("Offer %(versions)s again?") % {"versions": _versions(builds)}
    effect = _(
        "From the next night on, sites whose target means it are upgraded to it again. Those on which it failed wait "
        "until somebody retries."
    )
    return Confirm(title, effect, title.rstrip("?"), run.get_absolute_url())


def _offered(run: Run) -> str:
    kept = kept_builds(_halts(run))
    return _("%(versions)s is offered to sites again.") % {"versions": _versions(kept)} if kept else ""


def _halts(run: Run) -> list[RunHalt]:
    return list(run.halts.for_page())


def _confirm(run: Run, title: str, verb: str, effect: Sequence[str], *, danger: bool = False) -> Confirm:
    return Confirm(title % {"n": run.pk}, " ".join(filter(None, effect)), verb, run.get_absolute_url(), danger=danger)


def _not_to_halt(run: Run) -> str:
    if run.ended_at:
        return _("Run #%(n)d has ended.") % {"n": run.pk}
    return _("Run #%(n)d is halted already.") % {"n": run.pk} if run.halts.undecided().exists() else ""


def _not_halted(run: Run) -> str:
    return "" if run.halts.undecided().exists() else _("Run #%(n)d is not halted.") % {"n": run.pk}


def _nothing_kept(run: Run) -> str:
    kept = run.halts.unreleased().exists()
    return "" if kept else _("Run #%(n)d keeps no build from the sites.") % {"n": run.pk}


HALTING = Act(
    _halting, verbs.halt_run, lambda run, _halt: _("Run #%(n)d is halted.") % {"n": run.pk}, _not_to_halt,
)  # fmt: skip
RESUMING = Act(
    _resuming, verbs.resume_run, lambda run, _halt: _("Run #%(n)d goes on.") % {"n": run.pk}, _not_halted,
)  # fmt: skip
ENDING = Act(
    _ending,
    verbs.end_run,
    lambda _run, left: ngettext(
        "The run has ended. %(n)d upgrade was not started.", "The run has ended. %(n)d upgrades were not started.", left
    ) % {"n": left},
    _not_halted,
)  # fmt: skip
RELEASING = Act(
    _releasing,
    verbs.release_run,
    lambda _run, builds: _("%(versions)s is offered to sites again.") % {"versions": _versions(builds)},
    _nothing_kept,
)


# Trying again


@needs(RETRY)
@require_http_methods(["GET", "HEAD", "POST"])
def retry(request: HttpRequest, number: int) -> HttpResponse:
    """What failed in the run is tried again: all of it, or `?site=…` alone. Says first what would run."""
    run = get_object_or_404(Run, pk=number)
    slug = request.POST.get("site") or request.GET.get("site") or ""
    site = get_object_or_404(Instance, slug=slug.replace("\x00", "")) if slug else None
    now = clock.now()
    preview = preview_retry(run, site, now=now)
    if not preview.upgrades:
        messages.info(request, _("Nothing of run #%(n)d is left to be tried again.") % {"n": run.pk})
        return redirect(run)
    if request.method != "POST":
        return _retry_page(request, run, site, preview, RetryForm())
    form = RetryForm(request.POST)
    if form.is_valid():
        form.require(_to_type(preview))
    if not form.is_valid():
        return _retry_page(request, run, site, preview, form, status=422)
    if not preview.going:
        return _retry_page(request, run, site, preview, form, status=409)
    try:
        started = retry_failed(
            run, [site.pk] if site else None, actor=Actor(Origin.PAGE, person(request)), now=now,
            reason=form.cleaned_data["reason"], seen=form.cleaned_data["seen"],
        )  # fmt: skip
    except (PlanChanged, NothingToUpgrade):
        return _retry_page(request, run, site, preview_retry(run, site, now=now), form, status=409)
    return redirect(started)


def _to_type(preview: RetryPreview) -> str:
    return live_to_type([decision.site.slug for decision in preview.going if decision.site.live])


def _retry_page(
    request: HttpRequest, run: Run, site: Instance | None, preview: RetryPreview, form: RetryForm, *, status: int = 200
) -> HttpResponse:
    """422 for a form that is refused; 409 where something else would run than was shown."""
    context = {
        "run": run,
        "site": site,
        "preview": preview,
        "form": form,
        "to_type": _to_type(preview),
        "changed": status == 409,
        "confirm": _retry_confirm(run, preview),
        "going": _retry_table(_("Sites that are tried again"), preview.going, preview),
        "staying": _retry_table(_("Sites that stay as they are"), preview.staying, preview),
    }
    return render(request, "upgrades/run_retry.html", context, status=status)


def _retry_confirm(run: Run, preview: RetryPreview) -> Confirm:
    number = len(preview.going)
    title = ngettext("Retry %(n)d failed site?", "Retry %(n)d failed sites?", number) % {"n": number}
    if not number:
        title = _("Nothing can be tried again now")
    live = sum(decision.site.live for decision in preview.going)
    effect = [
        _("It starts as soon as you confirm, at any hour.") if number else "",
        ngettext("%(n)d live site is restarted.", "%(n)d live sites are restarted.", live) % {"n": live}
        if live
        else "",
    ]
    verb = ngettext("Retry %(n)d site now", "Retry %(n)d sites now", number) % {"n": number}
    return Confirm(title, " ".join(filter(None, effect)), verb, run.get_absolute_url(), danger=bool(live))


def _retry_table(caption: str, decisions: Sequence[Decision], preview: RetryPreview) -> SiteRows:
    rows = [_retry_row(decision, preview) for decision in decisions]
    groups = [RowGroup("", rows)] if rows else []
    return SiteRows(caption, _("Change"), _("Because"), (_("Failed before"),), groups)


def _retry_row(decision: Decision, preview: RetryPreview) -> SiteRow:
    before = preview.upgrades[decision.site.id]
    return SiteRow(
        slug=decision.site.slug,
        live=decision.site.live,
        old=decision.site.reported,
        new=end_of(decision),
        words=target_words(decision) if decision.upgrades else sentences.decision_sentence(decision),
        look=None if decision.upgrades else sentences.LOOKS[decision.code],
        way=way_words(decision),
        cells=(str(before.status.label),),
    )
