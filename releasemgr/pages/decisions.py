"""What needs a decision: worked out from what is there whenever the page is opened, and never stored."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from builds import sentences as build_sentences
from instances.models import Host, Instance
from releasemgr.lib import words
from releasemgr.lib.choices import Colour
from releasemgr.pages.channels import Lane
from releasemgr.pages.fleet import Fleet
from upgrades.choices import ACTIVE, GOOD, EndCode, Outcome
from upgrades.models import Run, Upgrade
from upgrades.night import Night
from upgrades.plan import Facts
from upgrades.sentences import end_sentence
from upgrades.services.planning import preview_move

SITES_NAMED = 3
HOSTS_OWN = (EndCode.UNREACHABLE, EndCode.HOST_KEY)
"""Ends that a host's own entry explains."""


@dataclass(frozen=True)
class Entry:
    """One thing to decide: what happened in bold, what it means, and one button; `main` is the page's blue one."""

    icon: str
    colour: Colour
    title: str
    text: str
    url: str
    button: str
    sites: list[Instance] = field(default_factory=list)
    more: int = 0
    main: bool = False


def waiting_decisions(
    *, last: Run | None, lanes: list[Lane], fleet: Fleet, facts: Facts, night: Night, now: datetime
) -> list[Entry]:
    """Most urgent first. Five queries, whatever the number of sites. `night` is the next one."""
    return [
        *_stuck(),
        *_missed(last, now),
        *_fallen(last),
        *_soaked(lanes, facts, night, now),
        *_hosts(now),
        *_unknown(fleet),
    ]


def _stuck() -> Iterator[Entry]:
    """Upgrades that left a site in doubt (U2)."""
    for upgrade in Upgrade.objects.awaiting_a_person().select_related("instance", "build"):
        yield Entry(
            icon="octagon-x",
            colour=Colour.BAD,
            title=_("Upgrade to %(version)s needs a person") % {"version": upgrade.build.version},
            sites=[upgrade.instance],
            text=end_sentence(Outcome.NEEDS_A_PERSON, EndCode(upgrade.end_code), upgrade.end_values),
            url=upgrade.get_absolute_url(),
            button=_("Open upgrade"),
        )


def _missed(last: Run | None, now: datetime) -> Iterator[Entry]:
    if last and last.missed:
        yield Entry(
            icon="circle-x",
            colour=Colour.BAD,
            title=_("The night of %(day)s was missed") % {"day": words.day_of(last.starts_at, now)},
            text=_("Nothing ran when it was due. What was planned is planned again for the next night."),
            url=last.get_absolute_url(),
            button=_("Open run"),
        )


def _fallen(last: Run | None) -> Iterator[Entry]:
    """Last night's rollbacks and failures, one entry for each build and outcome.

    One is over once the site has a newer upgrade that is under way or went well.
    """
    if last is None:
        return
    newer = Upgrade.objects.filter(instance=OuterRef("instance"), pk__gt=OuterRef("pk"))
    explained = Q(end_code__in=HOSTS_OWN, instance__host__in=Host.objects.asking_for_a_person())
    failed = (
        last.upgrades.filter(outcome__in=(Outcome.ROLLED_BACK, Outcome.FAILED_CLEAN, Outcome.BLOCKED))
        .exclude(Exists(newer.filter(Q(outcome__in=GOOD) | Q(state__in=ACTIVE))))
        .exclude(explained)
        .select_related("instance", "build")
        .order_by("outcome", "-build__version_key", "instance__slug")
    )
    for (outcome, _build), group in groupby(failed, key=lambda upgrade: (upgrade.outcome, upgrade.build)):
        yield _fallen_entry(Outcome(outcome or ""), list(group))


def _fallen_entry(outcome: Outcome, upgrades: list[Upgrade]) -> Entry:
    values = {"version": upgrades[0].build.version, "n": len(upgrades)}
    if outcome is Outcome.ROLLED_BACK:
        title = ngettext(
            "%(version)s rolled back on %(n)d site", "%(version)s rolled back on %(n)d sites", len(upgrades)
        )
        text = ngettext(
            "The site is up on the version from before.", "The sites are up on the version from before.", len(upgrades)
        )
    elif outcome is Outcome.BLOCKED:
        title = ngettext(
            "%(version)s was blocked on %(n)d site", "%(version)s was blocked on %(n)d sites", len(upgrades)
        )
        text = _("Nothing was changed.")
    else:
        title = ngettext("%(version)s failed on %(n)d site", "%(version)s failed on %(n)d sites", len(upgrades))
        text = _("Nothing was changed.")
    return Entry(
        icon=outcome.icon,
        colour=Colour(outcome.colour),
        title=title % values,
        sites=[upgrade.instance for upgrade in upgrades[:SITES_NAMED]],
        more=max(0, len(upgrades) - SITES_NAMED),
        text=f"{text} {_('The next night tries again.')}",
        url=upgrades[0].get_absolute_url() if len(upgrades) == 1 else upgrades[0].build.get_absolute_url(),
        button=_("Open log") if len(upgrades) == 1 else _("Open build"),
    )


def _soaked(lanes: list[Lane], facts: Facts, night: Night, now: datetime) -> Iterator[Entry]:
    """Builds whose soak is complete and which would change something."""
    for lane in lanes:
        if not (lane.build and lane.step and lane.step.allowed and lane.clock):
            continue
        preview = preview_move(lane.build, lane.step.to, night, now=now, facts=facts)
        if preview.changed:
            yield _soaked_entry(lane, len(preview.upgrading))


def _soaked_entry(lane: Lane, upgrading: int) -> Entry:
    assert lane.build  # noqa: S101 - its caller looked
    soak = next(build_sentences.in_days(gate.soak) for gate in lane.step.gates if gate.soak) if lane.step else ""
    text = ngettext(
        "Promoting it to %(next)s upgrades %(n)d site tonight.",
        "Promoting it to %(next)s upgrades %(n)d sites tonight.",
        upgrading,
    )
    return Entry(
        icon="circle-check",
        colour=Colour.OK,
        title=_("%(version)s finished its %(soak)s in %(channel)s")
        % {"version": lane.build.version, "soak": soak, "channel": lane.name},
        text=text % {"next": lane.next_name, "n": upgrading},
        url=reverse("promote", args=[lane.build.version, lane.next_name]),
        button=_("Review promotion"),
        main=True,
    )


def _hosts(now: datetime) -> Iterator[Entry]:
    """Hosts that do not answer, and those whose key a person has to look at (U6)."""
    hosts: Iterable[Any] = Host.objects.asking_for_a_person().annotate(site_count=Count("instances")).order_by("name")
    for host in hosts:
        if host.failing_since:
            yield _unanswering(host, host.site_count, now)
        if host.offered_key:
            yield _asking_for_its_key(host, host.site_count)


def _sites(number: int) -> str:
    return ngettext("%(n)d site.", "%(n)d sites.", number) % {"n": number}


def _unanswering(host: Host, sites: int, now: datetime) -> Entry:
    assert host.failing_since  # noqa: S101 - its caller looked
    since = words.moment_of(host.failing_since, now)
    return Entry(
        icon="unplug",
        colour=Colour.BAD,
        title=_("%(host)s has not answered since %(since)s") % {"host": host.name, "since": since},
        text=f"{_sites(sites)} {host.failure}",
        url=host.get_absolute_url(),
        button=_("Open host"),
    )


def _asking_for_its_key(host: Host, sites: int) -> Entry:
    title = (
        _("%(host)s offers another key than the approved one")
        if host.key_changed
        else _("%(host)s waits for its key to be approved")
    )
    return Entry(
        icon="key-round",
        colour=Colour.BAD if host.key_changed else Colour.WARN,
        title=title % {"host": host.name},
        text=f"{_sites(sites)} {_('Nothing runs there until a person compared the fingerprint.')}",
        url=host.get_absolute_url(),
        button=_("Compare keys"),
    )


def _unknown(fleet: Fleet) -> Iterator[Entry]:
    """Sites that are never upgraded blind (P3)."""
    if not fleet.unknown:
        return
    named = list(Instance.objects.never_reported().order_by("slug")[:SITES_NAMED])
    title = ngettext("The version of %(n)d site is not known", "The version of %(n)d sites is not known", fleet.unknown)
    yield Entry(
        icon="triangle-alert",
        colour=Colour.WARN,
        title=title % {"n": fleet.unknown},
        sites=named,
        more=fleet.unknown - len(named),
        text=_("They are asked before the night, and not upgraded until they answer."),
        url=f"{reverse('sites')}?version=unknown",
        button=_("Show sites"),
    )
