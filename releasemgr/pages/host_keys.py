"""The key of a host: asking the host for it, and approving it by its fingerprint (U6)."""

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from instances.exceptions import HostKeyMismatch, InvalidInput
from instances.models import Host
from instances.services import approve_host_key, ask_for_key
from releasemgr.lib import clock, queue
from releasemgr.lib.permission import needs
from releasemgr.pages.acting import actor_of
from releasemgr.pages.hosts import APPROVE, load, page_of, scan_of


@needs(APPROVE)
@require_POST
def host_key(request: HttpRequest, name: str) -> HttpResponse:
    """Approves the key that the person saw (U6). In place of another one it wants the host's name, and a reason."""
    shown, seen = load(name), request.POST.get("seen", "").replace("\x00", "")
    reason = request.POST.get("reason", "").replace("\x00", "")
    refused = {}
    if shown.key_changed and seen != shown.host_key and request.POST.get("typed", "").strip() != shown.name:
        refused["typed"] = _("Type %(name)s to confirm.") % {"name": shown.name}
    if shown.key_changed and seen != shown.host_key and not reason.strip():
        refused["reason"] = _("Say why the key changed.")
    if refused:
        return page_of(request, shown, refused=refused, typed=reason, status=422)
    try:
        approve_host_key(shown, seen=seen, actor=actor_of(request), now=clock.now(), reason=reason)
    except InvalidInput as invalid:
        told = {field: " ".join(sentences) for field, sentences in invalid.errors.items()}
        return page_of(request, load(name), refused=told, typed=reason, status=422)
    except HostKeyMismatch as mismatch:
        messages.error(request, str(mismatch))
        return page_of(request, load(name), status=409)
    messages.success(request, _("The key of %(host)s is approved. Upgrades run there.") % {"host": shown})
    return redirect(shown)


@needs(APPROVE)
@require_POST
def host_scan(request: HttpRequest, name: str) -> HttpResponse:
    """Has a worker ask the host: pages never reach one. The host's page shows what came of it."""
    shown = load(name)
    with transaction.atomic():
        ask_for_key(shown, now=clock.now())
        queue.enqueue("upgrades.tasks.scan_host_key", shown.pk)
    return redirect(shown)


@needs("instances.view_host")
@require_safe
def host_scanning(request: HttpRequest, name: str) -> HttpResponse:
    """What is asked every two seconds while a scan runs. Once it is over, the page around it is renewed."""
    shown: Host = load(name)
    answer = render(request, "instances/_scan.html", {"host": shown, "scan": scan_of(shown)})
    if not shown.is_being_scanned:
        answer.headers["HX-Refresh"] = "true"
    return answer
