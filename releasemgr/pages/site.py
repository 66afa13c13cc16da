"""One site: what it runs, what it should run, what tonight does and why, and its history."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import push_url

from instances.exceptions import TargetRefused
from instances.forms import PIN, TargetChoiceForm, TargetForm
from instances.models import Instance, TargetChange
from instances.sentences import target_words
from instances.services import set_target
from releasemgr.lib import clock, queue
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.choices import Colour
from releasemgr.lib.history.services import ChangedMeanwhile, last_seen
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import check, needs, person
from releasemgr.pages.history import entries, history_rows
from releasemgr.pages.release_notes import ReleaseNotes, release_notes
from releasemgr.pages.target_choice import channel_options, pin_groups, preview_of
from releasemgr.roles import roles_with
from upgrades.night import Night
from upgrades.plan import Check, Code, Decision, Facts
from upgrades.sentences import LOOKS, RULE_TITLES, Look, check_sentence, short_sentence
from upgrades.services.facts import facts_of_night
from upgrades.services.planning import decisions_of, next_night

TARGET = "instances.change_target"
LAST_FEW, PER_PAGE, NEIGHBOURS, NOTES = 8, 50, 8, 5


@needs("instances.view_instance")
@require_safe
def site(request: HttpRequest, slug: str) -> HttpResponse:
    return _page(request, _load(slug), clock.now())


@needs("instances.view_instance")
@require_http_methods(["GET", "HEAD", "POST"])
def site_target(request: HttpRequest, slug: str) -> HttpResponse:
    """GET says what tonight would do (T3); POST saves, or says the same where the button Preview was pressed."""
    now, shown = clock.now(), _load(slug)
    if request.method != "POST" or "preview" in request.POST:
        return _preview(request, shown, now)
    check(request, TARGET)
    form = TargetForm(request.POST)
    if not form.is_valid() or not _saved(request, shown, form, now):
        return _page(request, shown, now, form=form, status=422)
    if wants_fragment(request):
        renewed = push_url(_page(request, _load(slug), now), shown.get_absolute_url())
        renewed["HX-Reswap"] = "outerHTML show:window:top"  # where the receipt stands
        return renewed
    return redirect(shown)


def _preview(request: HttpRequest, shown: Instance, now: datetime) -> HttpResponse:
    form = TargetChoiceForm(request.POST if request.method == "POST" else request.GET)
    if wants_fragment(request):
        context = {"preview": preview_of(shown, form, night=next_night(now))}
        return render(request, "instances/_target_form.html#preview", context)
    return _page(request, shown, now, form=form)


def _saved(request: HttpRequest, shown: Instance, form: TargetForm, now: datetime) -> bool:
    """Whether it was; else the form has the reason."""
    actor = Actor(Origin.PAGE, person(request))
    reason, seen = form.cleaned_data["reason"], form.cleaned_data["seen"]
    try:
        change = set_target(shown, form.chosen(), actor=actor, now=now, reason=reason, seen=seen)
    except ChangedMeanwhile as refused:
        words = _theirs(shown) if refused.theirs.kind == "target.changed" else refused.theirs.reason
        form.add_error(None, f"{refused} {words}")
    except TargetRefused as refused:
        form.add_error(refused.field if refused.field in form.fields else None, str(refused))
    else:
        messages.success(request, _receipt(shown, change))
    return form.is_valid()


def _theirs(shown: Instance) -> str:
    """What someone else saved meanwhile (T7)."""
    theirs = _last_change(shown)
    if theirs is None:
        return ""
    words = {"name": theirs.made_by, "target": target_words(theirs.after), "reason": theirs.reason}
    if theirs.reason:
        return _("%(name)s set it to %(target)s: “%(reason)s”.") % words
    return _("%(name)s set it to %(target)s.") % words


def _receipt(shown: Instance, change: TargetChange | None) -> str | SafeString:
    """What was saved, and the way back: another change."""
    if change is None or change.before is None:
        return _("%(site)s had this target already. Nothing was changed.") % {"site": shown}
    words = _("The target of %(site)s is %(target)s now.") % {"site": shown, "target": target_words(change.after)}
    undo = _("Go back to %(target)s…") % {"target": target_words(change.before)}
    return format_html('{} <a href="{}#target">{}</a>', words, _address_of(shown, change), undo)


def _address_of(shown: Instance, change: TargetChange) -> str:
    query = {"target": change.from_channel_id or PIN}
    if change.from_build:
        query["build"] = change.from_build.version
    return reverse("site-target", args=[shown.slug], query=query)


def _load(slug: str) -> Instance:
    return get_object_or_404(Instance.objects.for_list().with_current_build(), slug=slug)


def _last_change(shown: Instance) -> TargetChange | None:
    return shown.target_changes.select_related("by", "to_build").first()


@dataclass(frozen=True)
class WhyLine:
    """One rule that the planner looked at. `url` leads to what it speaks of."""

    title: str
    sentence: str
    look: Look
    decides: bool
    url: str = ""


STUCK = LOOKS[Code.NEEDS_A_PERSON]
PASSED = Look(gettext_lazy("Passed"), Colour.OK, "circle-check")


def why(decision: Decision, shown: Instance) -> list[WhyLine]:
    return [
        WhyLine(
            str(RULE_TITLES[look.rule]), check_sentence(look), LOOKS[look.code] if look.code else PASSED,
            look is decision.deciding, _leads_to(look, shown),
        )
        for look in decision.checks
    ]  # fmt: skip


def _leads_to(look: Check, shown: Instance) -> str:
    if "upgrade" in look.values:
        return reverse("upgrade", args=[look.values["upgrade"]])
    return shown.host.get_absolute_url() if look.code and "host" in look.values else ""


def _page(
    request: HttpRequest, shown: Instance, now: datetime, *, form: TargetChoiceForm | None = None, status: int = 200
) -> HttpResponse:
    """The page, or its body for a form that asks by htmx."""
    template = "instances/site_detail.html"
    if wants_fragment(request):
        template += "#body"
    return render(request, template, _context(request, shown, now, form), status=status)


def _context(request: HttpRequest, shown: Instance, now: datetime, form: TargetChoiceForm | None) -> dict[str, Any]:
    night = next_night(now)
    neighbours = list(Instance.objects.for_list().filter(customer=shown.customer_id).exclude(pk=shown.pk))
    facts = facts_of_night(night, [shown, *neighbours[:NEIGHBOURS]])
    decisions = {decision.site.id: decision for decision in decisions_of(facts, night)}
    return (
        {
            "site": shown,
            "now": now,
            "night": night,
            "last_change": _last_change(shown),
            "seen": last_seen(shown),
            "history": entries(history_rows(shown)[:LAST_FEW]),
            "neighbours": [(other, _row(decisions[other.pk])) for other in neighbours[:NEIGHBOURS]],
            "changes": _changes(shown, decisions[shown.pk]),
            "hooks": _hooks(shown),
            "address": shown.url.partition("://")[2].rstrip("/"),
            "more_neighbours": len(neighbours) > NEIGHBOURS,
            "may_start": request.user.has_perm("upgrades.start_upgrade"),
            "may_change": request.user.has_perm(TARGET),
            "who_may_change": roles_with(TARGET)[0],
        }
        | _plan_context(shown, decisions[shown.pk])
        | _form_context(shown, facts, form, night)
    )


def _changes(shown: Instance, decision: Decision) -> ReleaseNotes | None:
    """From what it runs to what its target means; None where it is there, or nobody knows."""
    if shown.reported_key is None or decision.to is None or decision.to.key == shown.reported_key:
        return None
    return release_notes(shown.reported_key, decision.to.key, limit=NOTES)


def _plan_context(shown: Instance, decision: Decision) -> dict[str, Any]:
    lines = why(decision, shown)
    return _row(decision) | {"why": lines, "stuck": next((line for line in lines if line.look is STUCK), None)}


def _row(decision: Decision) -> dict[str, Any]:
    return {"decision": decision, "look": LOOKS[decision.code], "short": short_sentence(decision)}


def _hooks(shown: Instance) -> list[tuple[str, str]]:
    """The commands and addresses that an upgrade uses, without those that the site does not have."""
    hooks = [
        (_("Health page"), shown.health_url), (_("Version page"), shown.version_url),
        (_("Version"), shown.version_command), (_("Backup"), shown.backup_command),
        (_("Migrate"), shown.migrate_command), (_("Undo migrate"), shown.migrate_undo_command),
        (_("Restart"), shown.restart_command),
    ]  # fmt: skip
    return [(title, command) for title, command in hooks if command]


def _form_context(shown: Instance, facts: Facts, form: TargetChoiceForm | None, night: Night) -> dict[str, Any]:
    target = shown.target
    chosen = {"target": target.channel or PIN, "build": str(target.build or "")}
    if form is not None:
        chosen = {name: form.data.get(name, "") for name in ("target", "build", "reason")}
    return {
        "form": form,
        "chosen": chosen,
        "options": channel_options(shown, facts),
        "pins": pin_groups(shown, facts),
        "preview": preview_of(shown, form, night=night) if form and form.is_valid() else None,
    }


@needs("instances.view_instance")
@require_safe
def site_history(request: HttpRequest, slug: str) -> HttpResponse:
    shown = _load(slug)
    upgrades_only = request.GET.get("only") == "upgrades"
    page = Paginator(history_rows(shown, upgrades_only=upgrades_only), PER_PAGE).get_page(request.GET.get("page"))
    context = {"site": shown, "page": page, "history": entries(page), "upgrades_only": upgrades_only}
    return render(request, "instances/site_history.html", context)


@needs(TARGET)
@require_POST
def site_ask(request: HttpRequest, slug: str) -> HttpResponse:
    """Asks the site for its version, by a worker (P10)."""
    shown = _load(slug)
    queue.enqueue("upgrades.tasks.ask_versions_later", [shown.pk])
    messages.info(request, _("%(site)s is being asked for its version. Reload in a moment.") % {"site": shown})
    return redirect(shown)
