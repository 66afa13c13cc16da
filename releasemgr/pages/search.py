"""Search: rows that show the answer itself, and the only hit opened at once."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_safe

from builds.models import Build, Problem
from instances.models import Customer, Instance
from releasemgr.context import SECTIONS
from releasemgr.lib import clock, words
from releasemgr.lib.permission import needs
from upgrades.models import Run, Upgrade
from upgrades.sentences import short_sentence
from upgrades.services.planning import decide_sites, next_night

AT_MOST = 20
LONGEST_NUMBER = 18


@dataclass(frozen=True)
class Hit:
    """`exact` where what was typed is its name, so that it is opened at once if nothing else is."""

    name: str
    answer: str
    url: str
    icon: str
    kind: str = ""
    exact: bool = False


@dataclass(frozen=True)
class Group:
    title: str | Promise
    hits: list[Hit] = field(default_factory=list)
    more_url: str = ""


@require_safe
@needs("instances.view_instance")
def search(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("q", "").strip().replace("\x00", "")
    groups = [group for group in _groups(text, clock.now()) if group.hits] if text else []
    exact = [hit for group in groups for hit in group.hits if hit.exact]
    if len(exact) == 1:
        return redirect(exact[0].url)
    return render(request, "releasemgr/search.html", {"text": text, "groups": groups})


def _groups(text: str, now: datetime) -> Iterator[Group]:
    """In the order in which people mean them. About ten queries."""
    yield _sites(text, now)
    yield Group(gettext_lazy("Customers"), list(_customers(text)))
    yield Group(gettext_lazy("Builds"), list(_builds(text)))
    yield Group(gettext_lazy("Problems"), list(_problems(text)))
    yield Group(gettext_lazy("Runs and upgrades"), list(_numbered(text, now)))
    yield Group(gettext_lazy("Pages"), list(_pages(text)))


def _sites(text: str, now: datetime) -> Group:
    found = list(Instance.objects.for_list().matching(text)[: AT_MOST + 1])
    if not found:
        return Group(gettext_lazy("Sites"))
    decisions = decide_sites(found, next_night(now))
    hits = [
        Hit(
            name=site.slug,
            kind=site.kind,
            answer=_("%(version)s, %(tonight)s")
            % {
                "version": site.reported_version or _("version unknown"),
                "tonight": _uncapitalised(short_sentence(decisions[site.pk])),
            },
            url=site.get_absolute_url(),
            icon="app-window",
            exact=site.slug == text.lower(),
        )
        for site in found[:AT_MOST]
    ]
    more = reverse("sites", query={"q": text}) if len(found) > AT_MOST else ""
    return Group(gettext_lazy("Sites"), hits, more)


def _uncapitalised(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _customers(text: str) -> Iterator[Hit]:
    for customer in Customer.objects.filter(name__icontains=text).annotate(sites=Count("instances"))[:AT_MOST]:
        yield Hit(
            name=customer.name,
            answer=ngettext("%(n)d site", "%(n)d sites", customer.sites) % {"n": customer.sites},
            url=reverse("customer", args=[customer.slug]),
            icon="building-2",
            exact=customer.name.lower() == text.lower(),
        )


def _builds(text: str) -> Iterator[Hit]:
    for build in Build.objects.newest_first().filter(version__icontains=text)[:AT_MOST]:
        state = _("withdrawn") if build.is_withdrawn else build.stage.name.lower()
        yield Hit(build.version, state, build.get_absolute_url(), "package", exact=build.version == text)


def _problems(text: str) -> Iterator[Hit]:
    """By title, or by name: P-118."""
    number = text.upper().removeprefix("P-")
    named = number.isdecimal() and len(number) <= LONGEST_NUMBER and text.upper() != number
    found = Problem.objects.filter(pk=number) if named else Problem.objects.filter(title__icontains=text)
    for problem in found.order_by("-pk")[:AT_MOST]:
        answer = f"{problem.title}, {str(problem.state.label).lower()}"
        yield Hit(problem.name, answer, problem.get_absolute_url(), "bug", exact=named)


def _numbered(text: str, now: datetime) -> Iterator[Hit]:
    """Runs and upgrades by their number, with or without the #."""
    digits = text.removeprefix("#")
    if not digits.isdecimal() or len(digits) > LONGEST_NUMBER:
        return
    for run in Run.objects.filter(pk=digits):
        day = words.moment_of(run.starts_at, now)
        name = _("Run #%(n)d") % {"n": run.pk}
        yield Hit(name, f"{day}, {run.state.label}", run.get_absolute_url(), "moon", exact=True)
    for upgrade in Upgrade.objects.for_list().filter(pk=digits):
        name = _("Upgrade %(n)d") % {"n": upgrade.pk}
        answer = f"{upgrade.instance}, {upgrade.from_version} → {upgrade.build}, {upgrade.status.label}"
        yield Hit(name, answer, upgrade.get_absolute_url(), "circle-arrow-up", exact=True)


def _pages(text: str) -> Iterator[Hit]:
    for section in SECTIONS:
        if text.lower() in str(section.label).lower():
            url = reverse("overview") + section.paths[0]
            yield Hit(str(section.label), "", url, section.icon)
