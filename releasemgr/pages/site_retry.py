"""A site that failed and is parked: a person lets the nights try again (P11)."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from instances.forms import RetryForm
from instances.models import Instance
from releasemgr.lib import clock
from releasemgr.lib.permission import needs
from releasemgr.pages.acting import SAVED, Given, actor_of, carried_out, with_seen
from releasemgr.pages.foreseen import foresee_site
from releasemgr.pages.site import DECIDE, load_site
from upgrades.choices import EndCode, Outcome
from upgrades.models import Upgrade
from upgrades.sentences import end_sentence
from upgrades.services.planning import next_night
from upgrades.services.retries import is_parking, let_retry


@needs(DECIDE)
@require_http_methods(["GET", "HEAD", "POST"])
def retry(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Says what tonight would do then; saving needs a word on what has changed."""
    shown = load_site(slug)
    upgrade = Upgrade.objects.select_related("build", "instance").filter(instance=shown, pk=number).first()
    if upgrade is None:
        raise Http404(_("%(site)s had no upgrade %(number)s.") % {"site": shown, "number": number})
    if not is_parking(upgrade):
        messages.info(
            request, _("Upgrade %(number)s keeps nothing from being tried. Nothing was changed.") % {"number": number}
        )
        return redirect(shown)
    form = RetryForm(request.POST or None)
    if request.method != "POST":
        return _page(request, shown, upgrade, form)

    def act(given: Given) -> Instance:
        said = {"note": given["note"], "seen": given["seen"]}
        return let_retry(upgrade, actor=actor_of(request), now=clock.now(), **said)

    saved, status = carried_out(form, act, clock.now())
    if saved is None:
        return _page(request, shown, upgrade, form, status)
    words = _("The nights may try %(build)s on %(site)s again.") % {"build": upgrade.build, "site": shown}
    messages.success(request, words)
    return redirect(shown)


def _page(
    request: HttpRequest, shown: Instance, upgrade: Upgrade, form: RetryForm, status: int = SAVED
) -> HttpResponse:
    now = clock.now()

    def act() -> None:
        let_retry(upgrade, actor=actor_of(request), now=now, note="–")

    upgrade.refresh_from_db(fields=["retried_at"])
    said = foresee_site(act, shown, next_night(now), now) if is_parking(upgrade) else None
    context = {
        "site": shown,
        "upgrade": upgrade,
        "form": with_seen(form, shown, status),
        "said": said,
        "sentence": end_sentence(Outcome(upgrade.outcome or ""), EndCode(upgrade.end_code), upgrade.end_values),
    }
    return render(request, "instances/site_retry.html", context, status=status)
