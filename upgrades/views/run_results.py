"""What a run did: its rows by wave, its failures by their kind, and the note at its top."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, Min
from django.urls import reverse
from django.utils.translation import gettext as _

from builds.models import Build, Problem
from instances.choices import Kind
from releasemgr.lib.choices import Colour
from releasemgr.templatetags import ui
from upgrades import run_words, sentences
from upgrades.choices import BEGUN, BROKE, GOOD, UNTOUCHED, EndCode, HaltEnd, Outcome, UpgradeState
from upgrades.halting import Limits, WaveSoFar, most_allowed
from upgrades.models import Decision, Policy, Run, RunHalt, Upgrade, Wave
from upgrades.plan import Code, Rule
from upgrades.services.halts import unreachable
from upgrades.services.retries import is_parking
from upgrades.views.site_rows import RowGroup, RowLink, SiteRow
from upgrades.waves import WaveKind

RETRY = "upgrades.start_upgrade"


# Rows


def upgrade_row(upgrade: Upgrade, legs: Mapping[int, int], *, halted: bool) -> SiteRow:
    """`legs` is how many each site has in this run, `halted` whether nothing of it begins."""
    look = upgrade.status
    said = sentences.result_words(look, upgrade.end_values) if isinstance(look, Outcome) else str(look.label)
    if halted and look is UpgradeState.WAITING:
        said = _("Waiting, the run is halted")
    why = (
        sentences.end_words(EndCode(upgrade.end_code), upgrade.end_values)
        if look in UNTOUCHED or upgrade.was_stopped
        else ""
    )
    return SiteRow(
        slug=upgrade.instance.slug,
        live=upgrade.instance.kind == Kind.LIVE,
        old=upgrade.from_version,
        new=upgrade.build.version,
        words=said,
        look=look,
        way=leg_words(upgrade.leg, legs.get(upgrade.instance_id, 1)),
        more=why,
        cells=(
            ui.when(upgrade.started_at, "time") if upgrade.started_at else "",
            ui.took(upgrade.took),
        ),
        links=[RowLink(_("Log"), upgrade.get_absolute_url(), f"u-{upgrade.pk}", quiet=True)]
        if upgrade.started_at or upgrade.has_failed
        else [],
    )


def leg_words(leg: int, legs: int) -> str:
    """“leg 1 of 2”; empty for a straight way (T8)."""
    return _("leg %(leg)d of %(legs)d") % {"leg": leg, "legs": legs} if legs > 1 else ""


def legs_of(upgrades: Iterable[Upgrade]) -> dict[int, int]:
    """How many legs each site has, by its key."""
    legs: dict[int, int] = defaultdict(int)
    for upgrade in upgrades:
        legs[upgrade.instance_id] += 1
    return legs


def decision_row(decision: Decision) -> SiteRow:
    look = sentences.LOOKS[Code(decision.code)]
    return SiteRow(
        slug=decision.instance.slug,
        live=decision.instance.kind == Kind.LIVE,
        old=decision.from_version,
        new=decision.build.version if decision.build else "",
        words=str(look.label),
        look=look,
        more=_why(decision),
        cells=("", ""),
    )


def _why(decision: Decision) -> str:
    """The sentence of the check that decided."""
    deciding = next((check for check in decision.checks if check["code"]), None)
    if deciding is None:
        return ""
    return sentences.rule_sentence(Rule(deciding["rule"]), Code(deciding["code"]), deciding["values"])


# Waves


def wave_groups(
    run: Run, shown: Mapping[int | None, Sequence[SiteRow]], upgrades: Sequence[Upgrade], halts: Sequence[RunHalt]
) -> list[RowGroup]:
    """`shown` are rows by their wave's key, `upgrades` all of the run. Two queries.

    What belongs to no wave stands below as test and live sites.
    """
    limits = Policy.objects.get().limits if not run.ended_at else None
    members: dict[int | None, list[Upgrade]] = defaultdict(list)
    for upgrade in upgrades:
        members[upgrade.wave_id].append(upgrade)
    groups = [
        RowGroup(
            run_words.wave_name(wave.number, wave.kind),
            shown[wave.pk],
            _wave_note(wave, members[wave.pk], [halt for halt in halts if halt.wave_id == wave.pk], limits),
        )
        for wave in run.waves.all()
        if shown.get(wave.pk)
    ]
    return groups + _kind_groups(shown.get(None, ()))


def _kind_groups(rows: Sequence[SiteRow]) -> list[RowGroup]:
    groups = [(_("Test sites"), False), (_("Live sites"), True)]
    found = [(title, [row for row in rows if row.live == live]) for title, live in groups]
    return [RowGroup(title, rows, str(len(rows))) for title, rows in found if rows]


def _wave_note(wave: Wave, upgrades: Sequence[Upgrade], halts: Sequence[RunHalt], limits: Limits | None) -> str:
    """`halts` are those of this wave; `limits` are None for a run that is over."""
    begun = [one.started_at for one in upgrades if one.started_at]
    if not begun and not halts:
        return _("from %(time)s, not started") % {"time": run_words.clock_time(wave.opens_at)}
    so_far = WaveSoFar(
        wave.number, WaveKind(wave.kind), wave.planned,
        failed=sum(one.outcome in BROKE and not one.was_stopped for one in upgrades),
        unreachable=unreachable(upgrades),
    )  # fmt: skip
    said = [_wave_times(wave, upgrades, begun), run_words.wave_result(so_far, _limit(wave, halts, limits))]
    return ", ".join([*said, _("halted here")] if halts else said)


def _wave_times(wave: Wave, upgrades: Sequence[Upgrade], begun: Sequence[datetime]) -> str:
    begin = run_words.clock_time(min(begun, default=wave.opens_at))
    ended = [one.ended_at for one in upgrades if one.ended_at]
    if not begun or len(ended) < len(upgrades):
        return _("from %(time)s") % {"time": begin}
    return _("%(begin)s to %(end)s") % {"begin": begin, "end": run_words.clock_time(max(ended))}


def _limit(wave: Wave, halts: Sequence[RunHalt], limits: Limits | None) -> int | None:
    """What a halt of this wave was judged by; else what the policy says, while the wave may still be judged."""
    judged = [halt.values["limit"] for halt in halts if "limit" in halt.values]
    if judged:
        return int(judged[-1])
    if limits is None:
        return None
    return limits.canaries - 1 if wave.kind == WaveKind.CANARY else most_allowed(wave.planned, limits)


# Failures


@dataclass(frozen=True)
class Failure:
    """One site that failed, and what a person can do about it now."""

    upgrade: Upgrade
    words: str
    standing: str
    links: Sequence[RowLink] = ()


@dataclass(frozen=True)
class FailureGroup:
    """Failures of one kind: `again` says where else, and since when, it was seen."""

    failures: list[Failure]
    error: str
    again: str = ""


def failure_groups(run: Run, upgrades: Sequence[Upgrade], now: datetime, *, may_retry: bool) -> list[FailureGroup]:
    """In the run's order, equal failures together. Two queries, none where nothing failed."""
    failed = [upgrade for upgrade in upgrades if upgrade.has_failed]
    if not failed:
        return []
    later, seen = _later(run, failed), _seen_before(failed)
    groups: dict[str, list[Upgrade]] = defaultdict(list)
    for upgrade in failed:
        groups[upgrade.fingerprint or str(upgrade.pk)].append(upgrade)
    return [
        FailureGroup(
            [_failure(one, later.get(one.instance_id), run, may_retry=may_retry) for one in members],
            _error(members),
            run_words.same_failure(*seen.get(key, (1, 1, None)), before=run.starts_at, now=now),
        )
        for key, members in groups.items()
    ]


def _later(run: Run, failed: Sequence[Upgrade]) -> dict[int, Upgrade]:
    """The last upgrade of each of these sites since this run, by the site's key. Legs of this run are none (T8)."""
    sites, last = [one.instance_id for one in failed], max((one.pk for one in failed), default=0)
    since = Upgrade.objects.filter(instance__in=sites, pk__gt=last).exclude(run=run)
    found = since.order_by("instance_id", "-pk").distinct("instance_id")
    return {one.instance_id: one for one in found.defer("journal")}


def _seen_before(failed: Sequence[Upgrade]) -> dict[str, tuple[int, int, datetime | None]]:
    """By fingerprint: on how many sites, how often, and since when it has been seen, in all runs."""
    prints = {one.fingerprint for one in failed if one.fingerprint}
    counted = Upgrade.objects.filter(fingerprint__in=prints).order_by().values_list("fingerprint")
    rows = counted.annotate(sites=Count("instance", distinct=True), times=Count("pk"), first=Min("ended_at"))
    return {key: (sites, times, first) for key, sites, times, first in rows}


def _failure(upgrade: Upgrade, later: Upgrade | None, run: Run, *, may_retry: bool) -> Failure:
    outcome = Outcome(upgrade.outcome or "")
    return Failure(
        upgrade,
        sentences.result_words(outcome, upgrade.end_values),
        sentences.standing_words(outcome, upgrade.end_values),
        [*_what_to_do(upgrade, later, run, may_retry=may_retry), _log_link(upgrade)],
    )


def _what_to_do(upgrade: Upgrade, later: Upgrade | None, run: Run, *, may_retry: bool) -> list[RowLink]:
    if later is not None:
        return [_later_link(later)]
    if upgrade.outcome == Outcome.NEEDS_A_PERSON and not upgrade.decided_at:
        return [RowLink(_("Unlock…"), f"{upgrade.get_absolute_url()}#decide", f"unlock-{upgrade.pk}", "lock-open")]
    if not may_retry:
        return []
    address = reverse("run-retry", args=[run.pk], query={"site": upgrade.instance.slug})
    links = [RowLink(_("Retry…"), address, f"retry-{upgrade.pk}", "rotate-cw")]
    if is_parking(upgrade):
        links.append(
            RowLink(_("Let the nights try…"), f"{upgrade.get_absolute_url()}#parked", f"let-{upgrade.pk}", quiet=True)
        )
    return links


def _later_link(newest: Upgrade) -> RowLink:
    """What has become of the site since."""
    label = _("Retry running") if newest.is_active else _("Later: %(state)s") % {"state": newest.status.label}
    return RowLink(label, newest.get_absolute_url(), f"later-{newest.pk}", quiet=not newest.is_active)


def _log_link(upgrade: Upgrade) -> RowLink:
    line = upgrade.first_error_line
    address = upgrade.get_absolute_url() + (f"?line={line}#L{line}" if line else "")
    label = _("Log, line %(line)d") % {"line": line} if line else _("Log")
    return RowLink(label, address, f"log-{upgrade.pk}", quiet=True)


def _error(members: Sequence[Upgrade]) -> str:
    """The first error line of the log, or what happened where nothing was printed: to one site, or to all of them."""
    shared = {text for one in members if (text := sentences.shared_words(EndCode(one.end_code), one.end_values))}
    first = members[0]
    alone = first.first_error or sentences.end_words(EndCode(first.end_code), first.end_values)
    return max(shared, default=alone)


@dataclass(frozen=True)
class Blamed:
    """A build that failures were on the way to, and its open problems."""

    build: Build
    failures: int
    problems: Sequence[Problem] = ()


def blamed(groups: Sequence[FailureGroup]) -> Blamed | None:
    """The one build that every failure was on the way to; None where they were several. One query."""
    failed = [failure.upgrade for group in groups for failure in group.failures]
    builds = {upgrade.build_id: upgrade.build for upgrade in failed}
    if len(builds) != 1:
        return None
    (build,) = builds.values()
    return Blamed(build, len(failed), list(Problem.objects.affecting(build).order_by("pk")))


# The note at the top


@dataclass(frozen=True)
class Note:
    """What happened, what it means, what to do."""

    colour: str
    icon: str
    strong: str
    more: list[str] = field(default_factory=list)


def note_of(run: Run, upgrades: Sequence[Upgrade], halts: Sequence[RunHalt], now: datetime) -> Note:
    halt = halts[-1] if halts and halts[-1].end != HaltEnd.RESUMED else None
    if halt:
        return _halted_note(run, upgrades, halt, now)
    awaiting = sum(one.outcome == Outcome.NEEDS_A_PERSON and not one.decided_at for one in upgrades)
    first, *more = _story(run, upgrades, awaiting)
    colour = Colour.BAD if awaiting else Colour(run.state.colour)
    return Note(colour, run.state.icon if not awaiting else "octagon-x", first, more)


def _halted_note(run: Run, upgrades: Sequence[Upgrade], halt: RunHalt, now: datetime) -> Note:
    more = [run_words.halt_cause(halt), run_words.halt_end(halt)]
    if run.ended_at:
        more.append(run_words.left_out(sum(one.outcome == Outcome.NOT_STARTED for one in upgrades)))
    else:
        states = [one.state for one in upgrades]
        more += run_words.left_waiting(states.count(UpgradeState.WAITING), sum(state in BEGUN for state in states))
    if not halt.ended_at and run.ends_at > now:
        more.append(_("It can be resumed until %(time)s.") % {"time": run_words.clock_time(run.ends_at)})
    more.append(run_words.kept_back([build.version for build in kept_builds([halt])]))
    look = run.state
    colour = Colour.BAD if not halt.ended_at or not halt.released_at else Colour(look.colour)
    return Note(colour, "octagon-x", run_words.halt_title(halt), [text for text in more if text])


def kept_builds(halts: Sequence[RunHalt]) -> list[Build]:
    """What these halts keep from the sites. The builds are prefetched."""
    kept = {build.pk: build for halt in halts if not halt.released_at for build in halt.builds.all()}
    return sorted((one for one in kept.values() if not one.is_withdrawn), key=lambda build: build.version_key)


def earlier_halts(halts: Sequence[RunHalt]) -> list[str]:
    """Those that the note does not tell of, in a sentence each."""
    told = halts[:-1] if halts and halts[-1].end != HaltEnd.RESUMED else halts
    parts = [(run_words.halt_title(one), run_words.halt_cause(one), run_words.halt_end(one)) for one in told]
    return [" ".join(filter(None, texts)) for texts in parts]


def _story(run: Run, upgrades: Sequence[Upgrade], awaiting: int) -> list[str]:
    return sentences.run_story(
        run.state,
        planned=len(upgrades),
        good=sum(upgrade.outcome in GOOD for upgrade in upgrades),
        failed=sum(upgrade.has_failed for upgrade in upgrades),
        stopped=sum(upgrade.was_stopped for upgrade in upgrades),
        ended=sum(not upgrade.is_active for upgrade in upgrades),
        late=sum(upgrade.outcome == Outcome.NOT_STARTED for upgrade in upgrades),
        awaiting=awaiting,
    )
