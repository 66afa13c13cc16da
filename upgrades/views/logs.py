"""The fragments that a page's log grows by, and the log as it is."""

from datetime import datetime

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from releasemgr.lib import clock
from releasemgr.lib.permission import needs
from upgrades.log_lines import Cursor, Piece
from upgrades.models import Upgrade
from upgrades.services.assignments import place_of_log
from upgrades.views.log_blocks import Log
from upgrades.views.upgrades import facts_of, upgrade_for_page


@require_safe
@needs("upgrades.view_upgrade")
def news(request: HttpRequest, number: int) -> HttpResponse:
    """What follows the cursor (`after`, with the number of `steps` that the page has), or the lines `before` one."""
    now = clock.now()
    upgrade = upgrade_for_page(number)
    log = Log(upgrade, now)
    if "before" in request.GET:
        shown = log.earlier(_number(request, "before"))
        return render(request, "upgrades/_log_earlier.html", {"upgrade": upgrade, "log": log, "shown": shown})
    return _what_follows(request, upgrade, log, now)


def _what_follows(request: HttpRequest, upgrade: Upgrade, log: Log, now: datetime) -> HttpResponse:
    try:
        cursor = Cursor.parse(request.GET.get("after", ""))
    except ValueError as error:
        raise BadRequest("not a cursor") from error
    by_hand = "by_hand" in request.GET
    found = log.news(cursor, _number(request, "steps"), by_hand=by_hand)
    context = facts_of(request, upgrade, log, now) | {"news": found, "shown": found.shown, "following": not by_hand}
    if log.over:
        context["total"] = log.count()
        context["errors"] = log.count_errors(context["total"])
    return render(request, "upgrades/_log_news.html", context)


def _number(request: HttpRequest, name: str) -> int:
    value = request.GET.get(name, "")
    if not (value.isascii() and value.isdigit() and len(value) < 12):
        raise BadRequest(f"{name} is no number")
    return int(value)


@require_safe
@needs("upgrades.view_upgrade")
def raw(request: HttpRequest, number: int) -> StreamingHttpResponse:
    """The bytes as they were printed, a few chunks at a time; a line says where some were left out (U9)."""
    upgrades = Upgrade.objects.select_related("instance__host").defer("journal")
    upgrade = get_object_or_404(upgrades, pk=number)
    place = place_of_log(upgrade)
    name = f"upgrade-{upgrade.pk}-{upgrade.instance.slug}.log"
    return StreamingHttpResponse(
        (piece.data or _gap_words(piece, place) for piece in upgrade.log_pieces()),
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _gap_words(gap: Piece, place: str) -> bytes:
    words = _("[%(bytes)d bytes in %(lines)d lines were left out here. The whole log is on %(place)s]") % {
        "bytes": gap.skipped,
        "lines": gap.feeds,
        "place": place,
    }
    return f"\n{words}\n".encode()
