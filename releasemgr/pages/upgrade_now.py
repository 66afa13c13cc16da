"""Upgrade now: names every site of a selection with what would happen, and starts exactly that (T9)."""

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from instances.models import Instance
from releasemgr.lib import clock
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.components import Confirm
from releasemgr.lib.permission import check, needs, person
from releasemgr.pages.once import once
from releasemgr.pages.selection import SelectionRefused, filter_refused, selected
from releasemgr.roles import roles_with
from upgrades.choices import WaveChoice
from upgrades.exceptions import PlanChanged
from upgrades.forms import THROUGH, UpgradeNowForm, live_to_type
from upgrades.plan import Decision, Rule, fingerprint, plan_with_waves
from upgrades.sentences import LOOKS, Look, decision_sentence, rule_sentence
from upgrades.services.facts import ALWAYS_WAIVED, facts_now
from upgrades.services.runs import start_upgrades
from upgrades.waves import Wave

SET_ASIDE = "upgrades.set_aside"


@needs("upgrades.start_upgrade")
@require_http_methods(["GET", "HEAD", "POST"])
@once
def upgrade_now(request: HttpRequest) -> HttpResponse:
    """GET names the sites, with what the address sets aside; POST starts what was shown, or shows it anew."""
    now = clock.now()
    if request.method == "POST":
        return _posted(request, now)
    waived = frozenset(rule for name, rule in THROUGH.items() if name in request.GET)
    if waived:
        check(request, SET_ASIDE)
    try:
        chosen = selected(request, now)
    except SelectionRefused as refused:
        return filter_refused(request, refused.faults)
    return _confirm_page(request, Preview(chosen.sites, now, waived))


@dataclass(frozen=True)
class Staying:
    """The sites which one reason keeps where they are."""

    look: Look
    sites: list[tuple[Instance, str]]


class Preview:
    """What starting these sites now would do, by the one plan (P1)."""

    def __init__(self, sites: list[Instance], now: datetime, waived: frozenset[Rule] = frozenset()) -> None:
        self.sites = {site.pk: site for site in sites}
        self.waived = waived
        facts = facts_now(sites, now, waived=ALWAYS_WAIVED | waived)
        self.decisions, self.waves = plan_with_waves(facts, now) if sites else ([], [])
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
        return live_to_type([decision.site.slug for decision in self.live])

    def by_wave(self) -> list["WaveRows"]:
        """The sites that go, in the run's order."""
        going = {decision.site.id: decision for decision in self.going}
        return [
            WaveRows(wave, [GoingRow(self.sites[site], going[site]) for site in wave.sites]) for wave in self.waves
        ]  # fmt: skip

    @property
    def set_aside(self) -> list[tuple[Instance, str]]:
        """Of each site that goes, what is set aside for it, in sentences (P8)."""
        found = [(self.sites[decision.site.id], _set_aside(decision)) for decision in self.going]
        return [(site, words) for site, words in found if words]

    def kept_by(self, rule: Rule) -> int:
        """How many sites stay because of this rule: what setting it aside is about."""
        return sum(bool(one.deciding and one.deciding.rule is rule) for one in self.decisions)

    def staying(self) -> list[Staying]:
        """The others, by reason."""
        codes = list(LOOKS)
        stay = sorted((d for d in self.decisions if not d.upgrades), key=lambda d: codes.index(d.code))
        return [
            Staying(LOOKS[code], [(self.sites[d.site.id], decision_sentence(d)) for d in group])
            for code, group in groupby(stay, key=lambda d: d.code)
        ]


@dataclass(frozen=True)
class GoingRow:
    site: Instance
    decision: Decision

    @property
    def over(self) -> str:
        """The stepping stones on the way (T8)."""
        return ", ".join(leg.version for leg in self.decision.legs[:-1])


@dataclass(frozen=True)
class WaveRows:
    wave: Wave
    rows: list[GoingRow]

    @property
    def label(self) -> str:
        return str(WaveChoice(self.wave.kind).label)


def _set_aside(decision: Decision) -> str:
    """What holds, freezes and windows would have said."""
    checks = [one for one in decision.checks if one.waived and one.rule in (Rule.PAUSE, Rule.WINDOW)]
    return " ".join(rule_sentence(one.rule, one.waived, one.values) for one in checks)


def _posted(request: HttpRequest, now: datetime) -> HttpResponse:
    form = UpgradeNowForm(request.POST)
    form.full_clean()
    if {"sites", "seen"} & form.errors.keys():
        raise BadRequest("no selection")
    if form.waived:
        check(request, SET_ASIDE)
    preview = Preview(list(Instance.objects.for_list().filter(pk__in=form.ids())), now, form.waived)
    if "preview" in request.POST:
        return _confirm_page(request, preview, said=form)
    return _start(request, form, preview, now)


def _start(request: HttpRequest, form: UpgradeNowForm, preview: "Preview", now: datetime) -> HttpResponse:
    if form.cleaned_data["seen"] != preview.fingerprint or not preview.going:
        return _confirm_page(request, preview, said=form, changed=True)
    form.require(preview.to_type)
    if not form.is_valid():
        return _confirm_page(request, preview, form=form)
    actor = Actor(Origin.PAGE, person(request))
    try:
        run = start_upgrades(
            list(preview.sites.values()), actor=actor, now=now, reason=form.cleaned_data["reason"],
            seen=form.cleaned_data["seen"], waived=form.waived,
        )  # fmt: skip
    except PlanChanged:
        fresh = Preview(list(preview.sites.values()), now, form.waived)
        return _confirm_page(request, fresh, said=form, changed=True)
    return redirect(run)


def _confirm_page(
    request: HttpRequest, preview: Preview, *, form: UpgradeNowForm | None = None,
    said: UpgradeNowForm | None = None, changed: bool = False,
) -> HttpResponse:  # fmt: skip
    """A refused form answers 422; a plan that is not the one that was confirmed answers 409.

    `said` is a form that is not refused, but shown again with what was written into it.
    """
    context = {
        "preview": preview,
        "staying": preview.staying(),
        "form": form or said,
        "aside": _asides(preview),
        "may_set_aside": request.user.has_perm(SET_ASIDE),
        "who_may_set_aside": roles_with(SET_ASIDE)[0],
        "changed": changed,
        "confirm": _confirm(preview),
        "groups": [] if preview.decisions else _groups(),
    }
    status = 409 if changed else 422 if form else 200
    return render(request, "upgrades/upgrade_now.html", context, status=status)


@dataclass(frozen=True)
class Aside:
    """Something that can be set aside. `sites` stay because of it."""

    name: str
    label: str
    sites: int
    chosen: bool


def _asides(preview: Preview) -> list[Aside]:
    labels = {
        "through_holds": _("Also through holds and freezes"),
        "outside_window": _("Also outside their windows"),
    }
    found = [
        Aside(name, labels[name], preview.kept_by(rule), rule in preview.waived) for name, rule in THROUGH.items()
    ]  # fmt: skip
    return [aside for aside in found if aside.sites or aside.chosen]


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
    if aside := len(preview.set_aside):
        sentences.append(
            ngettext(
                "For %d site a hold, a freeze or its window is set aside.",
                "For %d sites a hold, a freeze or their window is set aside.", aside,
            ) % aside
        )  # fmt: skip
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
