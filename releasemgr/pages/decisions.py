"""What needs a decision: worked out from what is there whenever the page is opened, and never stored.

A person may put an entry off for a day, for all: that is kept, under the entry's key.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from django.db.models import Count, Exists, OuterRef, Q
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from builds import sentences as build_sentences
from builds.maturity import BuildFacts, ChannelPolicy, Maturity, automatic_promotions, judge, problem_name
from builds.models import Build
from builds.services import eligible_promotions
from instances.models import Instance
from instances.services import left_alone
from releasemgr.lib import words
from releasemgr.lib.choices import Colour
from releasemgr.pages.decision_entry import SITES_NAMED, Entry
from releasemgr.pages.fleet import Fleet
from releasemgr.pages.host_decisions import explained_by_hosts, host_entries
from releasemgr.pages.nights_off import nights_off_words
from releasemgr.pages.tonight_plan import TonightPlan
from upgrades import run_words
from upgrades.choices import ACTIVE, CONNECTION_TROUBLE, GOOD, EndCode, Outcome
from upgrades.models import Policy, Run, RunHalt, Upgrade
from upgrades.plan import Code, Decision
from upgrades.sentences import end_sentence
from upgrades.services.planning import preview_move

SOON = timedelta(days=7)


def waiting_decisions(*, last: Run | None, fleet: Fleet, plan: TonightPlan, now: datetime) -> list[Entry]:
    """Most urgent first. Some twenty queries, whatever the number of sites."""
    decisions = list(plan.decisions.values())
    return [
        *_nights_off(now),
        *_stuck(),
        *_foreign(),
        *_halted(now),
        *_missed(last, now),
        *_parked(decisions),
        *_blocked(last),
        *_blockers(decisions),
        *_eligible(plan, now),
        *host_entries(now),
        *_withdrawn_pins(decisions),
        *_ending_pins(now),
        *_left_alone(now),
        *_unknown(fleet),
    ]


def _nights_off(now: datetime) -> Iterator[Entry]:
    """P5: shown until somebody switches them on again."""
    policy = Policy.objects.select_related("nights_off_by").get()
    if policy.nights_off_since is None:
        return
    yield Entry(
        key=f"nights-off:{policy.nights_off_since:%Y%m%dT%H%M%S}",
        icon="circle-pause",
        colour=Colour.HOLD,
        title=_("Nights are switched off"),
        text=nights_off_words(policy, now),
        url=reverse("tonight"),
        button=_("Open the plan"),
    )


def _halted(now: datetime) -> Iterator[Entry]:
    """Runs that stand still, and builds that nobody is offered since one did (P5)."""
    undecided = RunHalt.objects.filter(Q(pk__in=RunHalt.objects.undecided()) | Q(pk__in=RunHalt.objects.unreleased()))
    waiting = dict(
        Upgrade.objects.waiting().filter(run__in=undecided.values("run")).order_by().values_list("run")
        .annotate(n=Count("pk"))
    )  # fmt: skip
    for halt in undecided.for_page():
        yield _halt_entry(halt, waiting.get(halt.run_id, 0), now)


def _halt_entry(halt: RunHalt, waiting: int, now: datetime) -> Entry:
    kept = sorted((one for one in halt.builds.all() if not one.is_withdrawn), key=lambda build: build.version_key)
    versions = ", ".join(build.version for build in kept)
    if halt.ended_at is None:
        title = _("Run #%(n)d is halted") % {"n": halt.run_id}
        if halt.wave:
            title = _("Run #%(n)d halted in wave %(wave)d") % {"n": halt.run_id, "wave": halt.wave.number}
        said = [run_words.halt_cause(halt) or run_words.halt_title(halt), *run_words.left_waiting(waiting, 0)]
    else:
        title = _("%(versions)s is offered to no site") % {"versions": versions}
        day = words.day_of(halt.at, now)
        said = [_("It halted run #%(n)d on %(day)s.") % {"n": halt.run_id, "day": day}, run_words.halt_cause(halt)]
    return Entry(
        key=f"halt:{halt.pk}:{'over' if halt.ended_at else 'open'}",
        icon="octagon-x",
        colour=Colour.BAD,
        title=title,
        text=" ".join(filter(None, said)),
        url=halt.run.get_absolute_url(),
        button=_("Review run"),
    )


def _stuck() -> Iterator[Entry]:
    """Upgrades that left a site in doubt (U2)."""
    for upgrade in Upgrade.objects.awaiting_a_person().select_related("instance", "build"):
        yield Entry(
            key=f"stuck:{upgrade.pk}",
            icon="octagon-x",
            colour=Colour.BAD,
            title=_("Upgrade to %(version)s needs a person") % {"version": upgrade.build.version},
            sites=[upgrade.instance],
            text=end_sentence(Outcome.NEEDS_A_PERSON, EndCode(upgrade.end_code), upgrade.end_values),
            url=upgrade.get_absolute_url(),
            button=_("Open upgrade"),
        )


def _foreign() -> Iterator[Entry]:
    """Sites whose directory says that it is another one's, and nobody has said whose."""
    for site in Instance.objects.in_doubt_whose().order_by("slug"):
        yield Entry(
            key=f"directory:{site.pk}:{site.foreign_mark[:60]}",
            icon="folder-x",
            colour=Colour.BAD,
            title=_("A directory is marked as another site’s"),
            sites=[site],
            text=_("No upgrade begins there until a person says whose it is."),
            url=site.get_absolute_url(),
            button=_("Open site"),
        )


def _missed(last: Run | None, now: datetime) -> Iterator[Entry]:
    if last and last.missed:
        yield Entry(
            key=f"missed:{last.pk}",
            icon="circle-x",
            colour=Colour.BAD,
            title=_("The night of %(day)s was missed") % {"day": words.day_of(last.starts_at, now)},
            text=_("Nothing ran when it was due. What was planned is planned again for the next night."),
            url=last.get_absolute_url(),
            button=_("Open run"),
        )


def _parked(decisions: Sequence[Decision]) -> Iterator[Entry]:
    """Sites on which the build that they are on the way to failed: the nights leave them alone (P11).

    One entry for each build and outcome.
    """
    numbers = [
        int(check.values["upgrade"]) for decision in decisions for check in decision.checks if check.code is Code.PARKED
    ]
    parked = Upgrade.objects.filter(pk__in=numbers).exclude(pk__in=Upgrade.objects.awaiting_a_person())
    rows = parked.select_related("instance", "build").defer("journal")
    ordered = rows.order_by("outcome", "-build__version_key", "instance__slug")
    for (outcome, _build), group in groupby(ordered, key=lambda upgrade: (upgrade.outcome, upgrade.build)):
        yield _failed_entry(Outcome(outcome or ""), list(group), _("It is not tried again until somebody retries."))


def _blocked(last: Run | None) -> Iterator[Entry]:
    """What last night could not reach, unless the host's own entry tells it, or a newer upgrade made it good."""
    if last is None:
        return
    newer = Upgrade.objects.filter(instance=OuterRef("instance"), pk__gt=OuterRef("pk"))
    failed = (
        last.upgrades.filter(outcome=Outcome.BLOCKED, end_code__in=CONNECTION_TROUBLE)
        .exclude(Exists(newer.filter(Q(outcome__in=GOOD) | Q(state__in=ACTIVE))))
        .exclude(explained_by_hosts())
        .exclude(end_code=EndCode.OTHER_SITE)
        .select_related("instance", "build")
        .order_by("-build__version_key", "instance__slug")
    )
    for _build, group in groupby(failed, key=lambda upgrade: upgrade.build):
        yield _failed_entry(Outcome.BLOCKED, list(group), _("The next night tries again."))


def _failed_entry(outcome: Outcome, upgrades: list[Upgrade], next_step: str) -> Entry:
    values = {"version": upgrades[0].build.version, "n": len(upgrades)}
    text = _("Nothing was changed.")
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
    else:
        title = ngettext("%(version)s failed on %(n)d site", "%(version)s failed on %(n)d sites", len(upgrades))
    only = upgrades[0] if len(upgrades) == 1 else None
    return Entry(
        key=f"failed:{upgrades[0].build_id}:{outcome}:{max(one.pk for one in upgrades)}",
        icon=outcome.icon,
        colour=Colour(outcome.colour),
        title=title % values,
        sites=[upgrade.instance for upgrade in upgrades[:SITES_NAMED]],
        more=max(0, len(upgrades) - SITES_NAMED),
        text=f"{text} {next_step}",
        url=only.get_absolute_url() if only else upgrades[0].build.get_absolute_url(),
        button=_("Open upgrade") if only else _("Open build"),
    )


def _blockers(decisions: Sequence[Decision]) -> Iterator[Entry]:
    """Open blockers that keep sites from a build until somebody decides (R7)."""
    held: dict[tuple[int, str, str], int] = defaultdict(int)
    for decision in decisions:
        for check in decision.checks:
            if check.code is Code.BLOCKED_BY_PROBLEM:
                values = check.values
                held[int(values["problem"]), str(values["to"]), str(values["title"])] += 1
    for (number, version, title), sites in sorted(held.items()):
        said = ngettext("“%(title)s”. %(n)d site waits.", "“%(title)s”. %(n)d sites wait.", sites)
        yield Entry(
            key=f"blocker:{number}:{version}",
            icon="bug",
            colour=Colour.BAD,
            title=_("%(problem)s holds upgrades to %(version)s")
            % {"problem": problem_name(number), "version": version},
            text=said % {"title": title, "n": sites},
            url=reverse("problem", args=[number]),
            button=_("Open problem"),
        )


def _eligible(plan: TonightPlan, now: datetime) -> Iterator[Entry]:
    """The newest build that may enter each channel, if that would change something and a person has to say so (R10)."""
    facts, channels = plan.facts, plan.facts.channels
    by_itself = {(move.build.id, move.to) for move in automatic_promotions(facts.builds, channels, now)[1]}
    newest: dict[Maturity, BuildFacts] = {}
    for build, to in sorted(eligible_promotions(facts.builds.values(), channels, now), key=lambda one: one[0].key):
        newest[to] = build
    rows = Build.objects.in_bulk([build.id for build in newest.values()])
    for to, build in sorted(newest.items(), reverse=True):
        if (build.id, to) in by_itself:
            continue
        preview = preview_move(rows[build.id], to, plan.night, now=now, facts=facts)
        if preview.changed:
            yield _eligible_entry(build, to, len(preview.upgrading), _soaked(build, to, channels, facts.builds, now))


def _soaked(
    build: BuildFacts, to: Maturity, channels: Mapping[Maturity, ChannelPolicy], builds: Mapping[int, BuildFacts],
    now: datetime,
) -> timedelta:  # fmt: skip
    gates = judge(build, to, channels, now, builds.values()).gates
    return max((gate.soak for gate in gates), default=timedelta(0))


def _eligible_entry(build: BuildFacts, to: Maturity, upgrading: int, soak: timedelta) -> Entry:
    values = {
        "version": build.version, "next": to.channel, "n": upgrading, "channel": build.maturity.name.lower(),
        "soak": build_sentences.in_days(soak),
    }  # fmt: skip
    title = _("%(version)s finished its %(soak)s in %(channel)s") if soak else _("%(version)s may enter %(next)s")
    text = ngettext(
        "Promoting it to %(next)s upgrades %(n)d site tonight.",
        "Promoting it to %(next)s upgrades %(n)d sites tonight.",
        upgrading,
    )
    return Entry(
        key=f"eligible:{build.id}:{to.channel}:{build.since:%Y%m%dT%H%M%S}",
        icon="circle-check",
        colour=Colour.OK,
        title=title % values,
        text=text % values,
        url=reverse("promote", args=[build.version, to.channel]),
        button=_("Review promotion"),
        main=True,
    )


def _withdrawn_pins(decisions: Sequence[Decision]) -> Iterator[Entry]:
    """Pins to what was withdrawn: their owners have to choose anew (R9). One entry for each build."""
    pinned: dict[str, list[int]] = defaultdict(list)
    for decision in decisions:
        if decision.to and decision.to.withdrawn and decision.site.pin == decision.to.id:
            pinned[decision.to.version].append(decision.site.id)
    numbers = [number for sites in pinned.values() for number in sites]
    rows = Instance.objects.select_related("pin_owner").in_bulk(numbers)
    for version, ids in pinned.items():
        sites = sorted((rows[number] for number in ids), key=lambda site: site.slug)
        yield _withdrawn_entry(version, sites)


def _withdrawn_entry(version: str, sites: Sequence[Instance]) -> Entry:
    owners = sorted({(one.pin_owner.get_full_name() or one.pin_owner.get_username()) for one in sites if one.pin_owner})
    title = ngettext(
        "%(version)s was withdrawn, and %(n)d site is pinned to it",
        "%(version)s was withdrawn, and %(n)d sites are pinned to it",
        len(sites),
    )
    pinned_by = _("Pinned by %(owners)s.") % {"owners": ", ".join(owners)} if owners else ""
    return Entry(
        key=f"withdrawn-pin:{version}:{_digest(sites)}",
        icon="ban",
        colour=Colour.BAD,
        title=title % {"version": version, "n": len(sites)},
        sites=sites[:SITES_NAMED],
        more=max(0, len(sites) - SITES_NAMED),
        text=" ".join(filter(None, [pinned_by, _("Choose another target.")])),
        url=sites[0].get_absolute_url() if len(sites) == 1 else reverse("pins"),
        button=_("Open site") if len(sites) == 1 else _("Show pins"),
    )


def _digest(sites: Iterable[Instance]) -> int:
    """Differs once another site is concerned."""
    return max(site.pk for site in sites)


def _ending_pins(now: datetime) -> Iterator[Entry]:
    """Announced seven days ahead (T2)."""
    sites = list(Instance.objects.pins_ending(now, now + SOON))
    if not sites:
        return
    first = sites[0]
    assert first.pin_until  # noqa: S101 - it was asked for
    title = ngettext("The pin of %(n)d site ends soon", "The pins of %(n)d sites end soon", len(sites))
    text = _("The first on %(day)s, and %(site)s follows %(channel)s then.") % {
        "day": words.moment_of(first.pin_until, now), "site": first.slug, "channel": first.pin_then_id,
    }  # fmt: skip
    if len(sites) == 1:
        text = _("On %(day)s; then it follows %(channel)s.") % {
            "day": words.moment_of(first.pin_until, now), "channel": first.pin_then_id,
        }  # fmt: skip
    yield Entry(
        key=f"pins-ending:{_digest(sites)}:{len(sites)}",
        icon="pin",
        colour=Colour.HOLD,
        title=title % {"n": len(sites)},
        sites=sites[:SITES_NAMED],
        more=max(0, len(sites) - SITES_NAMED),
        text=text,
        url=first.get_absolute_url() if len(sites) == 1 else reverse("pins"),
        button=_("Open site") if len(sites) == 1 else _("Show pins"),
    )


def _left_alone(now: datetime) -> Iterator[Entry]:
    """Sites that holds and freezes have left alone for over 90 days without a break."""
    alone = left_alone(now)
    if not alone:
        return
    sites = [one.site for one in alone]
    title = ngettext(
        "%(n)d site has been left alone for over 90 days",
        "%(n)d sites have been left alone for over 90 days",
        len(sites),
    )
    yield Entry(
        key=f"left-alone:{_digest(sites)}:{len(sites)}",
        icon="calendar-clock",
        colour=Colour.WARN,
        title=title % {"n": len(sites)},
        sites=sites[:SITES_NAMED],
        more=max(0, len(sites) - SITES_NAMED),
        text=_("The longest since %(day)s, until %(until)s.")
        % {"day": words.day_of(alone[0].since, now), "until": words.day_of(alone[0].until, now)},
        url=sites[0].get_absolute_url(),
        button=_("Open site"),
    )


def _unknown(fleet: Fleet) -> Iterator[Entry]:
    """Sites that are never upgraded blind (P3)."""
    if not fleet.unknown:
        return
    named = list(Instance.objects.never_reported().order_by("slug")[:SITES_NAMED])
    title = ngettext("The version of %(n)d site is not known", "The version of %(n)d sites is not known", fleet.unknown)
    yield Entry(
        key=f"unknown:{fleet.unknown}",
        icon="triangle-alert",
        colour=Colour.WARN,
        title=title % {"n": fleet.unknown},
        sites=named,
        more=fleet.unknown - len(named),
        text=_("They are asked before the night, and not upgraded until they answer."),
        url=f"{reverse('sites')}?version=unknown",
        button=_("Show sites"),
    )
