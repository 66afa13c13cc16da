"""The change of a site's target: its preview, its consent, and what someone else saved meanwhile (T3, T4, T7)."""

from datetime import datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods
from django_htmx.http import push_url

from instances.exceptions import TargetRefused
from instances.forms import PIN, TargetChoiceForm, TargetForm
from instances.models import Instance, TargetChange
from instances.sentences import target_words
from instances.services import complete_target, set_target
from releasemgr.lib import clock
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.history.services import ChangedMeanwhile
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import check, needs, person
from releasemgr.pages.meanwhile import meanwhile_words
from releasemgr.pages.site import TARGET, load_site, site_page
from releasemgr.pages.target_choice import DOWNGRADE, needs_consent, preview_of, way_down_refusal
from upgrades.services.planning import next_night, preview_target

INVALID, CONFLICT = 422, 409


@needs("instances.view_instance")
@require_http_methods(["GET", "HEAD", "POST"])
def site_target(request: HttpRequest, slug: str) -> HttpResponse:
    """GET says what tonight would do (T3); POST saves, or says the same where the button Preview was pressed."""
    now, shown = clock.now(), load_site(slug)
    if request.method != "POST" or "preview" in request.POST:
        return _preview(request, shown, now)
    check(request, TARGET)
    form = TargetForm(request.POST)
    if status := _refused(request, shown, form, now):
        return site_page(request, load_site(slug), now, form=form, status=status)
    if wants_fragment(request):
        renewed = push_url(site_page(request, load_site(slug), now), shown.get_absolute_url())
        renewed["HX-Reswap"] = "outerHTML show:window:top"  # where the receipt stands
        return renewed
    return redirect(shown)


def _preview(request: HttpRequest, shown: Instance, now: datetime) -> HttpResponse:
    form = TargetChoiceForm(request.POST if request.method == "POST" else request.GET)
    if not wants_fragment(request):
        return site_page(request, shown, now, form=form)
    preview = preview_of(shown, form, night=next_night(now), now=now, may_go_back=request.user.has_perm(DOWNGRADE))
    return render(request, "instances/_target_form.html#preview", {"preview": preview, "consent": preview.consent})


def _refused(request: HttpRequest, shown: Instance, form: TargetForm, now: datetime) -> int:
    """The status of a refusal, of which the form has the reason; 0 where it was saved."""
    if not form.is_valid():
        return INVALID
    target = complete_target(shown, form.chosen(shown.target))
    consents = form.cleaned_data["downgrade"] and needs_consent(shown, target)
    if consents:
        check(request, DOWNGRADE)
        if refusal := way_down_refusal(preview_target(shown, target, next_night(now), consent=True).after):
            form.add_error("build", refusal)
            return INVALID
    try:
        change = set_target(
            shown, target, actor=Actor(Origin.PAGE, person(request)), now=now, downgrade=consents,
            reason=form.cleaned_data["reason"], seen=form.cleaned_data["seen"],
        )  # fmt: skip
    except ChangedMeanwhile as refused:
        form.add_error(None, meanwhile_words(refused, now))
        return CONFLICT
    except TargetRefused as refused:
        form.add_error(refused.field if refused.field in form.fields else None, str(refused))
        return INVALID
    messages.success(request, _receipt(shown, change))
    return 0


def _receipt(shown: Instance, change: TargetChange | None) -> str | SafeString:
    """What was saved, and the way back: another change."""
    if change is None or change.before is None:
        return _("%(site)s had this target already. Nothing was changed.") % {"site": shown}
    words = _("The target of %(site)s is %(target)s now.") % {"site": shown, "target": target_words(change.after)}
    undo = _("Go back to %(target)s…") % {"target": target_words(change.before)}
    return format_html('{} <a href="{}#target">{}</a>', words, _address_of(shown, change), undo)


def _address_of(shown: Instance, change: TargetChange) -> str:
    """The form as it would bring the target before back."""
    before = change.before
    query = {"target": before.channel if before and before.channel else PIN}
    if before and before.build:
        until = timezone.localtime(before.until).date().isoformat() if before.until else ""
        terms = {"build": before.build.version, "ends": before.ends.value, "until": until, "then": before.then or ""}
        query |= {name: value for name, value in terms.items() if value and value != "never"}
    return reverse("site-target", args=[shown.slug], query=query)
