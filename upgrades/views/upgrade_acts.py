"""What a person does about an upgrade: cancels it, gives it up where its host is gone (U4), has its way back run.

Each is a page that says what it does, and asks for the reason.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from releasemgr.lib import queue
from releasemgr.lib.actors import Origin, name_of
from releasemgr.lib.components import Action, Confirm
from releasemgr.lib.permission import needs
from releasemgr.roles import roles_with
from upgrades.choices import BEGUN, Outcome, StepState, UpgradeState
from upgrades.models import Step, Upgrade
from upgrades.recipes.recipe import Phase
from upgrades.services.cancels import Cancel, cancel_upgrade, give_up
from upgrades.services.ends import run_way_back
from upgrades.views.acts import Act, act_on

if TYPE_CHECKING:
    from django.contrib.auth.models import User

CANCEL, DECIDE = "upgrades.cancel_upgrade", "upgrades.decide_upgrade"
UNTOUCHED_YET = (UpgradeState.WAITING, UpgradeState.STARTING)


def actions_for(upgrade: Upgrade, user: "User | AnonymousUser") -> list[Action]:
    """What can be done about it as it stands."""
    roles = () if user.has_perm(CANCEL) else roles_with(CANCEL)[:1]
    found = [
        (_("Cancel…"), "upgrade-cancel", "circle-slash", _not_to_cancel(upgrade)),
        (_("Give up…"), "upgrade-give-up", "unplug", _not_to_give_up(upgrade)),
    ]
    return [
        Action(label, reverse(name, args=[upgrade.pk]), icon, roles)
        for label, name, icon, refusal in found
        if not refusal
    ]


def cancelling_words(upgrade: Upgrade) -> str:
    """How far a cancel has come; empty where nobody cancelled, or it is over."""
    if not upgrade.is_active or not upgrade.cancel_asked_at:
        return ""
    said = {"who": name_of(upgrade.cancel_asked_by, Origin.COMMAND), "why": upgrade.cancel_reason}
    return " ".join([_("Cancelled by %(who)s: “%(why)s”.") % said, _waits_for(upgrade)])


def _waits_for(upgrade: Upgrade) -> str:
    host, step = upgrade.instance.host, _running_step(upgrade)
    if silent := host.silent:
        return _("%(host)s does not answer. It is asked as soon as it does.") % {"host": silent.name}
    if upgrade.state == UpgradeState.ROLLING_BACK:
        return _("The way back is under way.")
    if step and step.phase == Phase.CHANGE:
        return _("“%(step)s” changes the site, so its end is waited for. Then it goes back.") % {"step": step.title}
    if step:
        return _("“%(step)s” is being ended on %(host)s.") % {"step": step.title, "host": host.name}
    return _("%(host)s is asked to end it.") % {"host": host.name}


def _running_step(upgrade: Upgrade) -> Step | None:
    return upgrade.steps.filter(state=StepState.RUNNING).order_by("-position").first()


# The pages.


@needs(CANCEL)
@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: HttpRequest, number: int) -> HttpResponse:
    return _act(request, number, CANCELLING)


@needs(CANCEL)
@require_http_methods(["GET", "HEAD", "POST"])
def abandon(request: HttpRequest, number: int) -> HttpResponse:
    return _act(request, number, GIVING_UP)


def _act(request: HttpRequest, number: int, act: Act[Upgrade]) -> HttpResponse:
    rows = Upgrade.objects.select_related("build", "instance__host", "cancel_asked_by").defer("journal")
    upgrade = get_object_or_404(rows, pk=number)
    return act_on(request, act, upgrade, crumb=str(upgrade), about=upgrade.instance)


def whatever_was_seen(act: Callable[..., Any]) -> Callable[..., Any]:
    """For an act that is urgent, and asks under its lock what it needs to know."""
    return lambda upgrade, *, seen, **said: act(upgrade, **said)


def _cancelling(upgrade: Upgrade) -> Confirm:
    values = {"site": upgrade.instance.slug, "n": upgrade.pk, "old": upgrade.from_version, "new": upgrade.build.version}
    parking = _("The nights do not try %(new)s on %(site)s again until somebody retries.") % values
    title, effect = _("Cancel upgrade %(n)s of %(site)s?") % values, f"{_effect(upgrade, values)} {parking}"
    return Confirm(title, effect, _("Cancel the upgrade"), upgrade.get_absolute_url(), danger=True)


def _effect(upgrade: Upgrade, values: dict[str, Any]) -> str:
    step = _running_step(upgrade)
    values = values | {"step": step.title if step else "", "host": upgrade.instance.host.name}
    if upgrade.state in UNTOUCHED_YET:
        return _("It has not begun: %(site)s stays on %(old)s.") % values
    if step and step.phase == Phase.CHANGE:
        return _("“%(step)s” changes the site: its end is waited for, then %(site)s goes back to %(old)s.") % values
    return _("What runs on %(host)s is ended with all its processes, and %(site)s is left on %(old)s.") % values


def _cancelled(upgrade: Upgrade, done: Cancel) -> str:
    values = {"n": upgrade.pk, "host": upgrade.instance.host.name}
    return {
        Cancel.DONE: _("Upgrade %(n)s is cancelled. Nothing was touched."),
        Cancel.ASKED: _("%(host)s is asked to end upgrade %(n)s. This page says how it ended."),
        Cancel.ASKED_BEFORE: _("Upgrade %(n)s is being cancelled already."),
        Cancel.OVER: _("Upgrade %(n)s had ended before."),
    }[done] % values


def _not_to_cancel(upgrade: Upgrade) -> str:
    values = {"n": upgrade.pk}
    if not upgrade.is_active:
        return _("Upgrade %(n)s has ended.") % values
    if upgrade.cancel_asked_at:
        return _("Upgrade %(n)s is being cancelled already.") % values
    if upgrade.state == UpgradeState.ROLLING_BACK:
        return _("Upgrade %(n)s goes back already. A way back is never cut short.") % values
    return ""


def _giving_up(upgrade: Upgrade) -> Confirm:
    values = {"n": upgrade.pk, "site": upgrade.instance.slug, "host": upgrade.instance.host.name}
    effect = _(
        "%(host)s does not answer, so nobody knows how far it came. Its log ends here, and %(site)s is locked until "
        "somebody has looked at it."
    )
    title = _("Give up upgrade %(n)s of %(site)s?") % values
    return Confirm(title, effect % values, _("Give the upgrade up"), upgrade.get_absolute_url(), danger=True)


def _not_to_give_up(upgrade: Upgrade) -> str:
    if upgrade.state not in BEGUN:
        return _("Upgrade %(n)s is not under way.") % {"n": upgrade.pk}
    if upgrade.instance.host.silent is None:
        return _("%(host)s answers: cancel the upgrade instead.") % {"host": upgrade.instance.host.name}
    return ""


# What can be done about one that needs a person, beside unlocking its site.


@require_POST
@needs(DECIDE)
def ask(request: HttpRequest, number: int) -> HttpResponse:
    """Asks the site for its version once more, by a worker (P10)."""
    upgrade = get_object_or_404(Upgrade.objects.select_related("instance").defer("journal"), pk=number)
    queue.enqueue("upgrades.tasks.ask_versions_later", [upgrade.instance_id])
    messages.info(
        request, _("%(site)s is being asked for its version. Reload in a moment.") % {"site": upgrade.instance}
    )
    return redirect(upgrade)


@needs(DECIDE)
@require_http_methods(["GET", "HEAD", "POST"])
def go_back(request: HttpRequest, number: int) -> HttpResponse:
    return _act(request, number, GOING_BACK)


def _going_back(upgrade: Upgrade) -> Confirm:
    values = {"n": upgrade.pk, "site": upgrade.instance.slug, "old": upgrade.from_version}
    effect = _(
        "Each step of the way back whose step had begun runs once more on the site, and its log goes on here. Only "
        "when the site reports %(old)s again is it called rolled back, else it still needs a person."
    )
    title = _("Run the way back of upgrade %(n)s of %(site)s?") % values
    return Confirm(title, effect % values, _("Run the way back"), upgrade.get_absolute_url(), danger=True)


def _not_to_go_back(upgrade: Upgrade) -> str:
    if upgrade.outcome != Outcome.NEEDS_A_PERSON or upgrade.decided_at:
        return _("Upgrade %(n)s does not wait for a person.") % {"n": upgrade.pk}
    return ""


CANCELLING = Act(_cancelling, whatever_was_seen(cancel_upgrade), _cancelled, _not_to_cancel)
GIVING_UP = Act(
    _giving_up,
    whatever_was_seen(give_up),
    lambda upgrade, _done: (
        _("Upgrade %(n)s is given up: %(site)s needs a person.") % {"n": upgrade.pk, "site": upgrade.instance.slug}
    ),
    _not_to_give_up,
)
GOING_BACK = Act(
    _going_back,
    run_way_back,
    lambda upgrade, _done: _("The way back of upgrade %(n)s runs once more.") % {"n": upgrade.pk},
    _not_to_go_back,
)
