"""Activity: every change, who made it, when, from what to what, why and from where; and its exports."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe
from django_htmx.http import push_url

from builds.models import Build, Problem
from instances.models import Customer, Freeze, Host, Instance
from releasemgr.lib import clock
from releasemgr.lib.actors import Origin
from releasemgr.lib.exports import csv_lines
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import changes_of
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import needs, person
from releasemgr.pages.activity_filter import ActivityFilter
from releasemgr.pages.activity_words import Difference, Look, differences, look_of

VIEW = "history.view_change"
PER_PAGE = 50
AT_ONCE = 1000
INVALID = 422
LONGEST_NAME = 180

ADDRESSES: dict[str, tuple[type[Model], str, str]] = {
    "instance": (Instance, "site", "slug"),
    "customer": (Customer, "customer", "slug"),
    "host": (Host, "host", "name"),
    "build": (Build, "build", "version"),
    "problem": (Problem, "problem", "pk"),
    "freeze": (Freeze, "freeze", "pk"),
}
"""By the subject's type: where its page is, and which field the address takes."""


@dataclass(frozen=True)
class Line:
    """One change, worded. `url` leads to its subject, and is empty where that is gone or has no page."""

    change: Change
    look: Look
    differences: list[Difference]
    url: str

    @property
    def came_from(self) -> str:
        """Beside the person's name; where nobody is named, `who` says it already."""
        return str(Origin(self.change.origin).label) if self.change.by_id else ""


def activity_of(subject: Model, limit: int = 8) -> list[Line]:
    """The last changes of one thing, for components/_activity.html on its page. One query, or two."""
    return lines_of(list(changes_of(subject)[:limit]), clock.now())


def lines_of(changes: list[Change], now: datetime) -> list[Line]:
    """Needs `by`. One query for each type of subject, whatever the number of changes."""
    urls = _addresses(changes)
    return [
        Line(
            change, look_of(change.kind), differences(change.kind, change.before, change.after, now),
            urls.get((change.subject_type, change.subject_id), ""),
        )
        for change in changes
    ]  # fmt: skip


def _addresses(changes: list[Change]) -> dict[tuple[str, str], str]:
    numbers = defaultdict(set)
    for change in changes:
        numbers[change.subject_type].add(change.subject_id)
    found = {}
    for kind, (model, route, field) in ADDRESSES.items():
        if kind in numbers:
            for number, name in model._default_manager.filter(pk__in=numbers[kind]).values_list("pk", field):
                found[kind, str(number)] = reverse(route, args=[name])
    return found


@needs(VIEW)
@require_safe
def activity(request: HttpRequest) -> HttpResponse:
    """Filters that cannot be understood select nothing, and the page says what is wrong with them."""
    chosen = _chosen(request)
    page = Paginator(chosen.chosen, PER_PAGE).get_page(request.GET.get("page"))
    refusals = chosen.refusals
    given = chosen.given()
    context = {
        "filter": chosen,
        "refusals": refusals,
        "page": page,
        "lines": lines_of(list(page.object_list), clock.now()),
        "filtered": bool(given),
        "query": urlencode(given),
        "summary": ngettext("%d change", "%d changes", page.paginator.count) % page.paginator.count,
    }
    status = INVALID if refusals else 200
    if not wants_fragment(request):
        return render(request, "releasemgr/activity.html", context, status=status)
    return push_url(render(request, "releasemgr/activity.html#activity", context, status=status), _address(request))


def _chosen(request: HttpRequest) -> ActivityFilter:
    return ActivityFilter(request.GET, Change.objects.select_related("by"))


def _address(request: HttpRequest) -> str:
    """This list, without the filters that are empty: an address to hand on."""
    given = [(name, value) for name, value in request.GET.items() if value]
    return f"{request.path}?{urlencode(given)}" if given else request.path


@needs(VIEW)
@require_safe
def activity_csv(request: HttpRequest) -> HttpResponseBase:
    """Every row that the filters find, sent while it is read."""
    return _export(request, "csv", "text/csv; charset=utf-8")


@needs(VIEW)
@require_safe
def activity_json(request: HttpRequest) -> HttpResponseBase:
    """The same as one JSON object, whose `changes` are in the order of the page."""
    return _export(request, "json", "application/json")


def _export(request: HttpRequest, kind: str, content_type: str) -> HttpResponseBase:
    chosen, now = _chosen(request), clock.now()
    if chosen.refusals:
        return HttpResponse("\n".join(chosen.refusals), status=INVALID, content_type="text/plain; charset=utf-8")
    changes = chosen.chosen.iterator(chunk_size=AT_ONCE)
    about = {"exported_by": person(request).get_username(), "exported_at": now, "filters": chosen.given()}
    parts = csv_lines(_csv_rows(changes, now)) if kind == "csv" else _json_parts(changes, about)
    answer = StreamingHttpResponse(parts, content_type=content_type)
    answer["Content-Disposition"] = content_disposition_header(True, _file_name(about, kind)) or ""
    return answer


def _file_name(about: dict[str, Any], kind: str) -> str:
    """Says of which changes it is, who exported it and when."""
    filters = [f"{name} {value}" for name, value in about["filters"].items()]
    said = "-".join(["activity", *filters, "exported by", about["exported_by"]])
    words = re.sub(r"[^\w.@]+", "-", said).strip("-")[:LONGEST_NAME]
    return f"{words}-{about['exported_at'].astimezone(UTC):%Y-%m-%dT%H%MZ}.{kind}"


def _csv_rows(changes: Iterable[Change], now: datetime) -> Iterator[list[str]]:
    yield [
        _("Number"), _("At"), _("Who"), _("Username"), _("From where"), _("What"), _("Kind"), _("Type"), _("Name"),
        _("Change"), _("Reason"), _("Before"), _("After"),
    ]  # fmt: skip
    for change in changes:
        differing = differences(change.kind, change.before, change.after, now)
        yield [
            str(change.pk), change.at.isoformat(), change.who, _username(change) or "", change.origin,
            str(look_of(change.kind).label), change.kind, change.subject_type, change.subject_name,
            "; ".join(each.words for each in differing), change.reason, _as_json(change.before),
            _as_json(change.after),
        ]  # fmt: skip


def _json_parts(changes: Iterable[Change], about: dict[str, Any]) -> Iterator[str]:
    yield f'{_as_json(about)[:-1]}, "changes": ['
    comma = ""
    for change in changes:
        yield f"{comma}\n{_as_json(_shape(change))}"
        comma = ","
    yield "\n]}\n"


def _shape(change: Change) -> dict[str, Any]:
    return {
        "number": change.pk,
        "at": change.at,
        "by": _username(change),
        "who": change.who,
        "origin": change.origin,
        "kind": change.kind,
        "what": str(look_of(change.kind).label),
        "subject": {"type": change.subject_type, "id": change.subject_id, "name": change.subject_name},
        "before": change.before,
        "after": change.after,
        "reason": change.reason,
    }


def _username(change: Change) -> str | None:
    return change.by.get_username() if change.by else None


def _as_json(value: object) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
