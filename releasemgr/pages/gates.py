"""The gates of the channels: soak times, and what the night promotes by itself (R6, R10)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from builds.choices import ChannelName
from builds.forms import ChannelPolicyForm
from builds.maturity import ChannelPolicy
from builds.models import Channel
from builds.sentences import in_days
from builds.services import set_channel_policy
from releasemgr.lib import clock
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import type_of
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import needs
from releasemgr.pages.acting import SAVED, actor_of, carried_out, wants_preview, with_seen
from releasemgr.pages.activity import Line, activity_of, lines_of
from releasemgr.pages.outlook import Tonight, tonight_of
from releasemgr.roles import roles_with
from upgrades.services.outlooks import preview_channel
from upgrades.services.planning import next_night

PERMISSION = "builds.change_policy"
CHANGES_SHOWN = 15


@dataclass(frozen=True)
class GateRow:
    """A channel with what a build needs to enter it."""

    channel: Channel
    guards: bool

    @property
    def soak(self) -> str:
        """Empty without a soak time."""
        return in_days(self.channel.soak) if self.channel.soak else ""

    @property
    def before(self) -> str:
        return self.channel.maturity.before.name.lower()


@require_safe
@needs("builds.view_channel")
def gates(request: HttpRequest) -> HttpResponse:
    context = {
        "rows": [GateRow(channel, channel.name in ("release", "stable")) for channel in _channels()],
        "lines": _history(clock.now()),
        "may": request.user.has_perm(PERMISSION),
        "who_may": roles_with(PERMISSION)[0],
    }
    return render(request, "builds/gates.html", context)


def _channels() -> list[Channel]:
    """From alpha to stable."""
    return sorted(Channel.objects.all(), key=lambda channel: channel.maturity)


def _history(now: datetime) -> list[Line]:
    """The last changes of all four."""
    changes = Change.objects.filter(subject_type=type_of(Channel())).select_related("by")
    return lines_of(list(changes[:CHANGES_SHOWN]), now)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(PERMISSION)
def channel_gates(request: HttpRequest, name: str) -> HttpResponse:
    channel, now = _channel_or_404(name), clock.now()
    if wants_fragment(request) and request.method != "POST":
        tonight = _tonight(channel, ChannelPolicyForm(request.GET), now)
        return render(request, "components/_outlook.html", {"tonight": tonight})
    if request.method != "POST":
        return _page(request, channel, ChannelPolicyForm(initial=ChannelPolicyForm.initial_of(channel)), now)
    form, status = ChannelPolicyForm(request.POST), SAVED
    if not wants_preview(request):
        saved, status = carried_out(form, lambda _given: _save(request, channel, form, now), now)
        if saved:
            messages.success(request, _receipt(*saved))
            return redirect("gates")
    return _page(request, channel, form, now, status)


def _channel_or_404(name: str) -> Channel:
    if name not in ChannelName.values:
        raise Http404(_("There is no channel %(name)s.") % {"name": name})
    return Channel.objects.get(name=name)


def _save(request: HttpRequest, channel: Channel, form: ChannelPolicyForm, now: datetime) -> tuple[Channel, bool]:
    said = form.cleaned_data
    return set_channel_policy(
        channel.maturity, soak=form.soak(), automatic=said["automatic"], actor=actor_of(request),
        now=now, reason=said["reason"], seen=said["seen"],
    )  # fmt: skip


def _receipt(channel: Channel, changed: bool) -> str:
    if not changed:
        return _("The gates of %(channel)s were like that already. Nothing was changed.") % {"channel": channel}
    values = {"channel": channel.name, "soak": in_days(channel.soak)}
    if channel.automatic:
        return _("A build enters %(channel)s by itself after %(soak)s, once every gate passes.") % values
    return _("A build may enter %(channel)s after %(soak)s. A person promotes it.") % values


def _tonight(channel: Channel, form: ChannelPolicyForm, now: datetime) -> Tonight | None:
    """None while the form cannot be understood."""
    form.is_valid()
    soak = form.soak()
    if soak is None:
        return None
    policy = ChannelPolicy(soak, form.cleaned_data.get("automatic", False))
    return tonight_of(preview_channel(channel.maturity, policy, next_night(now)))


def _page(
    request: HttpRequest, channel: Channel, form: ChannelPolicyForm, now: datetime, status: int = SAVED
) -> HttpResponse:
    context: dict[str, Any] = {
        "channel": channel,
        "row": GateRow(channel, channel.name in ("release", "stable")),
        "form": with_seen(form, channel, status),
        "title": _("Gates of %(channel)s") % {"channel": channel.name},
        "verb": _("Save the gates of %(channel)s") % {"channel": channel.name},
        "back": reverse("gates"),
        "tonight": _tonight(channel, form, now) if form.is_bound else None,
        "previewed": "amount,unit,automatic",
        "lines": activity_of(channel),
    }
    return render(request, "builds/channel_gates.html", context, status=status)
