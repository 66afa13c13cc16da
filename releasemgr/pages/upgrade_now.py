"""Upgrade now: names every site of a selection with what would happen, and starts exactly that (T9)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from instances.models import Instance
from instances.querysets import InstanceQuerySet
from releasemgr.lib import clock
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.components import Confirm
from releasemgr.lib.permission import needs, person
from releasemgr.pages.site_filter import SiteFilter
from releasemgr.pages.tonight_plan import plan_of_tonight
from upgrades.exceptions import PlanChanged
from upgrades.forms import UpgradeNowForm
from upgrades.plan import Decision, fingerprint, plan
from upgrades.sentences import LOOKS, Look, decision_sentence
from upgrades.services.facts import ALWAYS_WAIVED, facts_now
from upgrades.services.runs import start_upgrades


@needs("upgrades.start_upgrade")
@require_http_methods(["GET", "HEAD", "POST"])
def upgrade_now(request: HttpRequest) -> HttpResponse:
    now = clock.now()
    if request.method != "POST":
        return _confirm_page(request, Preview(list(_selected(request, now)), now))
    return _start(request, now)


def _selected(request: HttpRequest, now: datetime) -> InstanceQuerySet:
    """`?all=live|test|all`, `?site=…&site=…`, or the filters of the page Sites."""
    fleet = Instance.objects.for_list()
    if "all" in request.GET:
        return _everything(fleet, request.GET["all"])
    if "site" in request.GET and "matching" not in request.GET:
        return _named(fleet, [slug.replace("\x00", "") for slug in request.GET.getlist("site")])
    chosen = SiteFilter(request.GET, fleet, plan_of_tonight(now))
    if not chosen.is_valid():
        raise BadRequest("unknown filter")
    return chosen.chosen if chosen.given() or "matching" in request.GET else fleet.none()


def _everything(fleet: InstanceQuerySet, kind: str) -> InstanceQuerySet:
    if kind not in ("all", "live", "test"):
        raise BadRequest("unknown kind")
    return fleet if kind == "all" else fleet.filter(kind=kind)


def _named(fleet: InstanceQuerySet, slugs: Sequence[str]) -> InstanceQuerySet:
    found = fleet.filter(slug__in=slugs)
    if len(found) != len(set(slugs)):
        raise Http404("one of these sites does not exist")
    return found


@dataclass(frozen=True)
class Staying:
    """The sites which one reason keeps where they are."""

    look: Look
    sites: list[tuple[Instance, str]]


class Preview:
    """What starting these sites now would do, by the one plan (P1)."""

    def __init__(self, sites: list[Instance], now: datetime) -> None:
        self.sites = {site.pk: site for site in sites}
        self.decisions = plan(facts_now(sites, now, waived=ALWAYS_WAIVED), now) if sites else []
        self.going = [decision for decision in self.decisions if decision.upgrades]
        self.live = [decision for decision in self.going if decision.site.live]

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.decisions)

    @property
    def ids(self) -> str:
        return ",".join(str(number) for number in self.sites)

    @property
    def to_type(self) -> str:
        """What a person types before live sites are upgraded: the one's name, or how many. Empty for none."""
        if not self.live:
            return ""
        return self.live[0].site.slug if len(self.live) == 1 else str(len(self.live))

    def rows(self) -> list[tuple[Instance, Decision]]:
        """The sites that go, in the run's order."""
        return [(self.sites[decision.site.id], decision) for decision in self.going]

    def staying(self) -> list[Staying]:
        """The others, by reason."""
        codes = list(LOOKS)
        stay = sorted((d for d in self.decisions if not d.upgrades), key=lambda d: codes.index(d.code))
        return [
            Staying(LOOKS[code], [(self.sites[d.site.id], decision_sentence(d)) for d in group])
            for code, group in groupby(stay, key=lambda d: d.code)
        ]


def _start(request: HttpRequest, now: datetime) -> HttpResponse:
    form = UpgradeNowForm(request.POST)
    form.full_clean()
    if {"sites", "seen"} & form.errors.keys():
        raise BadRequest("no selection")
    preview = Preview(list(Instance.objects.for_list().filter(pk__in=form.ids())), now)
    if form.cleaned_data["seen"] != preview.fingerprint or not preview.going:
        return _confirm_page(request, preview, changed=True)
    form.require(preview.to_type)
    if not form.is_valid():
        return _confirm_page(request, preview, form=form)
    actor = Actor(Origin.PAGE, person(request))
    try:
        run = start_upgrades(
            list(preview.sites.values()), actor=actor, now=now, reason=form.cleaned_data["reason"],
            seen=form.cleaned_data["seen"],
        )  # fmt: skip
    except PlanChanged:
        return _confirm_page(request, Preview(list(preview.sites.values()), now), changed=True)
    return redirect(run)


def _confirm_page(
    request: HttpRequest, preview: Preview, *, form: UpgradeNowForm | None = None, changed: bool = False
) -> HttpResponse:
    """A refused form answers 422; a plan that is not the one that was confirmed answers 409."""
    context = {
        "preview": preview,
        "staying": preview.staying(),
        "form": form,
        "changed": changed,
        "confirm": _confirm(preview),
        "groups": [] if preview.decisions else _groups(),
    }
    status = 409 if changed else 422 if form else 200
    return render(request, "upgrades/upgrade_now.html", context, status=status)


def _groups() -> list[tuple[str, str, int]]:
    """What can be chosen at once: a label, the value of `all`, and how many sites. Two queries."""
    live, test = Instance.objects.live().count(), Instance.objects.test().count()
    return [
        (_("All test sites"), "test", test),
        (_("All live sites"), "live", live),
        (_("All sites"), "all", live + test),
    ]


def _confirm(preview: Preview) -> Confirm:
    number, stay = len(preview.going), len(preview.decisions) - len(preview.going)
    verb = ngettext("Upgrade %d site now", "Upgrade %d sites now", number) % number
    if number == 1:
        verb = _("Upgrade %(site)s now") % {"site": preview.going[0].site.slug}
    sentences = [_("It starts as soon as you confirm, at any hour.")] if number else []
    if stay:
        sentences.append(ngettext("%d site of the selection stays.", "%d sites of the selection stay.", stay) % stay)
    return Confirm(
        title=_title(preview, verb),
        effect=" ".join(sentences),
        verb=verb,
        back=_only_site(preview),
        danger=bool(preview.live),
    )


def _title(preview: Preview, verb: str) -> str:
    if preview.going:
        return _("%(verb)s?") % {"verb": verb}
    return _("Nothing to upgrade") if preview.decisions else _("Upgrade now")


def _only_site(preview: Preview) -> str:
    """Where Cancel leads: back to the one site, or to the list."""
    sites = list(preview.sites.values())
    return sites[0].get_absolute_url() if len(sites) == 1 else reverse("sites")
