"""What will happen to every site, and why: a pure function of facts and a time (P1).

The page Tonight, the sentence on each site, every preview and the night itself ask this one function. It imports
neither Django nor the models; `upgrades.services` gathers the facts, `upgrades.sentences` words the codes.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from builds.maturity import BuildFacts, ChannelPolicy, Maturity, automatic_promotions, channel_heads
from instances.pauses import Pause, PauseKind
from instances.pins import PinEnd, pin_is_over
from instances.windows import Window
from upgrades.turns import Turn, turn_of
from upgrades.waves import Candidate, Rollout, Wave, waves_of

Values = Mapping[str, str | int | float]


class Code(StrEnum):
    """Why a site gets what it gets (P2)."""

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    VERSION_UNKNOWN = "version_unknown"
    UP_TO_DATE = "up_to_date"
    AHEAD = "ahead"
    NO_BUILD = "no_build"
    TARGET_WITHDRAWN = "target_withdrawn"
    QUARANTINED = "quarantined"
    ARTIFACT_MISSING = "artifact_missing"
    SMOKE_FAILED = "smoke_failed"
    DOWNGRADE_REFUSED = "downgrade_refused"
    NEEDS_A_PERSON = "needs_a_person"
    ON_HOLD = "on_hold"
    FROZEN = "frozen"
    BLOCKED_BY_PROBLEM = "blocked_by_problem"
    BLOCKED_BY_HALT = "blocked_by_halt"
    PARKED = "parked"
    OUTSIDE_WINDOW = "outside_window"
    WINDOW_TOO_SHORT = "window_too_short"
    HOST_DISABLED = "host_disabled"
    HOST_KEY = "host_key"
    ALREADY_RUNNING = "already_running"


GOING = (Code.UPGRADE, Code.DOWNGRADE)
SETTLED = (Code.UP_TO_DATE, Code.AHEAD, Code.NO_BUILD)
"""Nothing to do: the site is where its target means it to be, or its target means nothing."""


class Rule(StrEnum):
    """The rules looked at, in the order in which the sentence names them (P2)."""

    VERSION = "version"
    TARGET = "target"
    BUILD = "build"
    DIRECTION = "direction"
    STANDING = "standing"
    PAUSE = "pause"
    BLOCKED = "blocked"
    PARKED = "parked"
    WINDOW = "window"
    HOST = "host"
    RUNNING = "running"


class NoWayDown(StrEnum):
    """Why a downgrade is refused (T4, T8)."""

    CONSENT = "consent"
    RECIPE = "recipe"
    STONE = "stone"


@dataclass(frozen=True)
class SiteFacts:
    """One site as the plan sees it. Exactly one of `channel` and `pin` is set (T1).

    `consent` is the sort key of the version that a person allowed it to leave downwards (T4), `goes_down` whether its
    recipe has a way down. `needs` is how long an upgrade of it may take (P6). `parked` names the upgrade that failed,
    by the build that it led to (P11). `canary` says that it is tagged as one.
    """

    id: int
    slug: str
    live: bool
    channel: Maturity | None
    pin: int | None
    reported: str
    key: str | None
    host: str
    host_enabled: bool = True
    host_key_trusted: bool = True
    running: int | None = None
    needs_a_person: int | None = None
    pin_ends: PinEnd = PinEnd.NEVER
    pin_until: datetime | None = None
    pin_then: Maturity | None = None
    consent: str | None = None
    goes_down: bool = False
    windows: tuple[Window, ...] = ()
    pauses: tuple[Pause, ...] = ()
    needs: timedelta = timedelta(0)
    parked: Mapping[int, int] = field(default_factory=dict)
    canary: bool = False


@dataclass(frozen=True)
class Facts:
    """Everything that the plan depends on. `running` and `needs_a_person` name upgrades by number.

    `channels` are the policies under which the night promotes by itself first; empty: it does not. `halted` names the
    run that a build's failures halted, by the build (P5). `waived` are the rules that a person set aside for a manual
    run. `salt` is the night's date, by which canaries are drawn.
    """

    sites: tuple[SiteFacts, ...]
    builds: Mapping[int, BuildFacts]
    channels: Mapping[Maturity, ChannelPolicy] = field(default_factory=dict)
    halted: Mapping[int, int] = field(default_factory=dict)
    hold_on_blockers: bool = True
    rollout: Rollout = field(default_factory=Rollout)
    waived: frozenset[Rule] = frozenset()
    salt: str = ""

    @cached_property
    def stepping_stones(self) -> list[BuildFacts]:
        """Oldest first (T8)."""
        return sorted((one for one in self.builds.values() if one.stepping_stone), key=lambda one: one.key)

    @cached_property
    def heads(self) -> dict[Maturity, BuildFacts | None]:
        """What each channel resolves to (R4)."""
        return channel_heads(self.builds.values())


@dataclass(frozen=True)
class Check:
    """One rule that was looked at. `code` is why the site may not move; None lets it. `values` are for the words.

    `waived` is why it might not have moved, had a person not set the rule aside for this run.
    """

    rule: Rule
    code: Code | None = None
    values: Values = field(default_factory=dict)
    waived: Code | None = None

    @property
    def passed(self) -> bool:
        return self.code is None


@dataclass(frozen=True)
class Decision:
    """What happens to one site. `to` is the build that its target means, also where it does not go there now.

    `checks` holds every rule looked at, in order; the first that did not pass decided. All reasons that hold are
    kept, also several of one rule; `code` is the first. `path` leads to `to` over the stepping stones (T8), `legs` is
    the part of it that fits now. `opens_at` is when the site's turn may come, `window_opens_at`
    since when its window is open then, by which waves are made (P4), `latest` until when it may begin; None
    where it does not go. `channel` is what it follows then, None for a pin; `wave` is its wave's number.
    """

    site: SiteFacts
    code: Code
    to: BuildFacts | None
    checks: tuple[Check, ...]
    path: tuple[BuildFacts, ...] = ()
    legs: tuple[BuildFacts, ...] = ()
    opens_at: datetime | None = None
    window_opens_at: datetime | None = None
    latest: datetime | None = None
    channel: Maturity | None = None
    wave: int | None = None

    @property
    def upgrades(self) -> bool:
        """Whether the site is brought to another build, up or down."""
        return self.code in GOING

    @property
    def deciding(self) -> Check | None:
        return next((check for check in self.checks if not check.passed), None)

    @property
    def off_target(self) -> bool:
        """Whether the site does not run what its target means, and stays where it is."""
        return self.code not in (*GOING, *SETTLED)


def plan(facts: Facts, at: datetime, until: datetime | None = None) -> list[Decision]:
    """One decision for each site, in the order in which they run: by wave, then the others by kind and name (P1).

    The night starts at `at` and ends at `until`. None: only the moment `at` counts.
    """
    return plan_with_waves(facts, at, until)[0]


def plan_with_waves(facts: Facts, at: datetime, until: datetime | None = None) -> tuple[list[Decision], list[Wave]]:
    """The same, and the waves of those that go (P4)."""
    facts = promoted(facts, at)
    decisions = [decide(site, facts, at, until) for site in facts.sites]
    waves = waves_of([_candidate(one) for one in decisions if one.upgrades], facts.rollout, facts.salt)
    wave_of = {site: wave for wave in waves for site in wave.sites}
    placed = [
        replace(one, wave=wave_of[one.site.id].number) if one.upgrades else one
        for one in decisions
    ]  # fmt: skip
    return sorted(placed, key=_turn_order), waves


def promoted(facts: Facts, at: datetime) -> Facts:
    """The facts after what the night promotes by itself when it starts (R10)."""
    if not any(policy.automatic for policy in facts.channels.values()):
        return facts
    builds, moves = automatic_promotions(facts.builds, facts.channels, at)
    return replace(facts, builds=builds) if moves else facts


def _candidate(decision: Decision) -> Candidate:
    site = decision.site
    assert decision.window_opens_at is not None  # noqa: S101 - what goes has a turn
    return Candidate(site.id, site.slug, site.live, site.canary, decision.window_opens_at)


def _turn_order(decision: Decision) -> tuple[bool, int, bool, str]:
    return (not decision.upgrades, decision.wave or 0, decision.site.live, decision.site.slug)


@dataclass(frozen=True)
class _Case:
    """One site with all that the looks look at. `to` is what its target means when its turn comes."""

    site: SiteFacts
    facts: Facts
    at: datetime
    turn: Turn
    channel: Maturity | None
    to: BuildFacts | None
    path: tuple[BuildFacts, ...]
    legs: tuple[BuildFacts, ...]

    @property
    def goes_back(self) -> bool:
        """Whether a pin is older than what runs: a downgrade (T4)."""
        return not self.channel and self.to is not None and self.site.key is not None and self.site.key > self.to.key


def decide(site: SiteFacts, facts: Facts, at: datetime, until: datetime | None = None) -> Decision:
    """The decision for one site, without its wave. Nothing is promoted first.

    Where a pin that ends during the night keeps it, what it follows then counts from there on (P1).
    """
    decision = _decide(site, facts, at, until)
    ends = site.pin_until
    if decision.upgrades or not site.pin_then or not ends or not until or not at < ends < until:
        return decision
    later = _decide(site, facts, ends, until)
    window = _case(site, facts, at, until).turn.window_opens_at
    return replace(later, window_opens_at=window or later.window_opens_at) if later.upgrades else decision


def _decide(site: SiteFacts, facts: Facts, at: datetime, until: datetime | None) -> Decision:
    case = _case(site, facts, at, until)
    checks = tuple(check for look in LOOKS for check in look(case))
    reasons = [check.code for check in checks if check.code]
    code = reasons[0] if reasons else Code.DOWNGRADE if case.goes_back else Code.UPGRADE
    decision = Decision(site, code, case.to, checks, case.path, channel=case.channel)
    if not decision.upgrades:
        return decision
    return replace(
        decision, legs=case.legs, opens_at=case.turn.opens_at or at, latest=case.turn.latest,
        window_opens_at=case.turn.window_opens_at or at,
    )  # fmt: skip


def _case(site: SiteFacts, facts: Facts, at: datetime, until: datetime | None) -> _Case:
    windows = () if Rule.WINDOW in facts.waived else site.windows
    pauses = () if Rule.PAUSE in facts.waived else site.pauses
    turn = turn_of(windows, pauses, site.needs, at, until)
    channel, to = _target_at(site, facts, turn.opens_at or at)
    path = _path(site, channel, to, facts)
    return _Case(site, facts, at, turn, channel, to, path, path[: _legs_that_fit(turn, site.needs)])


def _target_at(site: SiteFacts, facts: Facts, at: datetime) -> tuple[Maturity | None, BuildFacts | None]:
    """What the target means at that moment: a pin may be over by then (T2)."""
    if site.channel:
        return site.channel, facts.heads[site.channel]
    pin = facts.builds[site.pin or 0]
    if site.pin_then and pin_is_over(site.pin_ends, site.pin_until, site.pin_then, pin.key, facts.heads, at):
        return site.pin_then, facts.heads[site.pin_then]
    return None, pin


def _path(site: SiteFacts, channel: Maturity | None, to: BuildFacts | None, facts: Facts) -> tuple[BuildFacts, ...]:
    """The builds that lead to the target: every stepping stone on the way up, then the target itself (T8)."""
    ahead = channel and to is not None and site.key is not None and site.key > to.key
    if to is None or site.key is None or site.key == to.key or ahead:
        return ()
    stones = [stone for stone in facts.stepping_stones if site.key < stone.key < to.key]
    return (*stones, to)


def _legs_that_fit(turn: Turn, needs: timedelta) -> int:
    """At least one: whether that one fits is what the window is looked at for."""
    if turn.room is None or needs <= timedelta(0):
        return 1_000_000
    return max(1, turn.room // needs)


def _checks(rule: Rule, values: Values, *faults: tuple[bool, Code]) -> list[Check]:
    """One check for each fault that holds, or the one that lets the site move."""
    found = [Check(rule, code, values) for holds, code in faults if holds]
    return found or [Check(rule, None, values)]


def _version(case: _Case) -> list[Check]:
    return _checks(Rule.VERSION, {"reported": case.site.reported}, (case.site.key is None, Code.VERSION_UNKNOWN))


def _target(case: _Case) -> list[Check]:
    return [Check(Rule.TARGET, _target_code(case), _target_values(case))]


def _target_code(case: _Case) -> Code | None:
    site, to = case.site, case.to
    if to is None:
        return Code.NO_BUILD
    if site.key == to.key:
        return Code.UP_TO_DATE
    ahead = case.channel and site.key is not None and site.key > to.key
    return Code.AHEAD if ahead else None


def _target_values(case: _Case) -> dict[str, str]:
    """`from` is empty while the version is unknown: what cannot be read is not called older.

    `over` is what the site was pinned to until its pin ended (T2), `via` the stepping stones on the way (T8).
    """
    more = {
        "over": case.facts.builds[case.site.pin or 0].version if case.site.pin and case.channel else "",
        "via": ", ".join(leg.version for leg in case.path[:-1]),
    }
    return {
        "channel": case.channel.channel if case.channel else "",
        "to": case.to.version if case.to else "",
        "from": case.site.reported if case.site.key is not None else "",
    } | {name: words for name, words in more.items() if words}


def _build(case: _Case) -> list[Check]:
    """A channel resolves to none that fails here, but for a missing artefact; a pin or a stone may (R3, R9).

    The whole way is looked at, as for blocks and parking: nobody sets out for what cannot be reached.
    """
    if case.to is None:
        return []
    concerned = case.path or (case.to,)
    found = [check for build in concerned for check in _faults_of(build)]
    return found or [Check(Rule.BUILD, None, {"to": concerned[0].version})]


def _faults_of(build: BuildFacts) -> list[Check]:
    faults = (
        (build.withdrawn, Code.TARGET_WITHDRAWN),
        (build.quarantined, Code.QUARANTINED),
        (not build.artifact_present, Code.ARTIFACT_MISSING),
        (not build.smoke_passed, Code.SMOKE_FAILED),
    )
    return [Check(Rule.BUILD, code, {"to": build.version}) for holds, code in faults if holds]


def _direction(case: _Case) -> list[Check]:
    """Down goes only who was allowed to, for this pair of versions, and whose recipe can (T4)."""
    if not case.goes_back or case.to is None:
        return []
    values = {"to": case.to.version, "from": case.site.reported}
    if why := _no_way_down(case):
        return [Check(Rule.DIRECTION, Code.DOWNGRADE_REFUSED, values | {"why": why.value})]
    return [Check(Rule.DIRECTION, None, values)]


def _no_way_down(case: _Case) -> NoWayDown | None:
    if case.site.consent != case.site.key:
        return NoWayDown.CONSENT
    if not case.site.goes_down:
        return NoWayDown.RECIPE
    crossed = case.to and any(case.to.key < one.key < (case.site.key or "") for one in case.facts.stepping_stones)
    return NoWayDown.STONE if crossed else None


def _standing(case: _Case) -> list[Check]:
    if case.site.needs_a_person is None:
        return [Check(Rule.STANDING)]
    return [Check(Rule.STANDING, Code.NEEDS_A_PERSON, {"upgrade": case.site.needs_a_person})]


def _pause(case: _Case) -> list[Check]:
    """Holds before freezes, each the one that ends last (P8)."""
    if Rule.PAUSE in case.facts.waived:
        now = tuple(pause for pause in case.site.pauses if pause.span.covers(case.at))
        return _set_aside(Rule.PAUSE, [_pause_check(kind, now) for kind in PauseKind if _of(kind, now)])
    found = [_pause_check(kind, case.turn.paused_by) for kind in PauseKind if _of(kind, case.turn.paused_by)]
    return found or [Check(Rule.PAUSE)]


def _of(kind: PauseKind, pauses: Iterable[Pause]) -> list[Pause]:
    return [pause for pause in pauses if pause.kind is kind]


def _pause_check(kind: PauseKind, pauses: Iterable[Pause]) -> Check:
    last = max(_of(kind, pauses), key=lambda pause: (pause.span.ends_at, pause.number))
    values: dict[str, str | int] = {
        "number": last.number,
        "until": last.span.ends_at.isoformat(),
        "reason": last.reason,
        "scope": last.scope,
    }
    return Check(Rule.PAUSE, Code.ON_HOLD if kind is PauseKind.HOLD else Code.FROZEN, values)


def _blocked(case: _Case) -> list[Check]:
    """By a known problem that nobody has decided about (R7), or by a run that its failures halted (P5)."""
    if case.to is None:
        return []
    problems = [
        Check(Rule.BLOCKED, Code.BLOCKED_BY_PROBLEM, {"to": leg.version, "problem": one.number, "title": one.title})
        for leg in case.path
        for one in leg.open_blockers
        if case.facts.hold_on_blockers
    ]
    halts = [
        Check(Rule.BLOCKED, Code.BLOCKED_BY_HALT, {"to": leg.version, "run": case.facts.halted[leg.id]})
        for leg in case.path
        if leg.id in case.facts.halted
    ]
    if Rule.BLOCKED in case.facts.waived:
        return problems + _set_aside(Rule.BLOCKED, halts) if problems or halts else [Check(Rule.BLOCKED)]
    return problems + halts or [Check(Rule.BLOCKED, None, {"to": case.path[0].version if case.path else ""})]


def _parked(case: _Case) -> list[Check]:
    """What failed once on this site is not tried again by itself (P11)."""
    found = [
        Check(Rule.PARKED, Code.PARKED, {"to": leg.version, "upgrade": case.site.parked[leg.id]})
        for leg in case.path
        if leg.id in case.site.parked
    ]
    return _set_aside(Rule.PARKED, found) if Rule.PARKED in case.facts.waived else found


def _window(case: _Case) -> list[Check]:
    """Without a window a site is open at any time (P6)."""
    if not case.site.windows:
        return []
    if Rule.WINDOW in case.facts.waived:
        closed = turn_of(case.site.windows, (), case.site.needs, case.at, None)
        return _set_aside(Rule.WINDOW, [Check(Rule.WINDOW, Code.OUTSIDE_WINDOW)] if not closed.fits else [])
    minutes = -(-case.site.needs // timedelta(minutes=1))
    if not case.turn.opens:
        return [Check(Rule.WINDOW, Code.OUTSIDE_WINDOW, {"needs": minutes})]
    if not case.turn.fits:
        return [Check(Rule.WINDOW, Code.WINDOW_TOO_SHORT, {"needs": minutes})]
    opens_at = case.turn.opens_at.isoformat() if case.turn.opens_at else ""
    return [Check(Rule.WINDOW, None, {"needs": minutes, "opens_at": opens_at, "zone": case.site.windows[0].zone.key})]


def _set_aside(rule: Rule, found: list[Check]) -> list[Check]:
    """A person set the rule aside for this run: what would have held is kept, and lets the site move."""
    return [Check(rule, None, check.values, waived=check.code) for check in found] or [Check(rule)]


def _host(case: _Case) -> list[Check]:
    site = case.site
    return _checks(
        Rule.HOST,
        {"host": site.host},
        (not site.host_enabled, Code.HOST_DISABLED),
        (not site.host_key_trusted, Code.HOST_KEY),
    )


def _running(case: _Case) -> list[Check]:
    if case.site.running is None:
        return []
    return [Check(Rule.RUNNING, Code.ALREADY_RUNNING, {"upgrade": case.site.running})]


LOOKS: tuple[Callable[[_Case], list[Check]], ...] = (
    _version, _target, _build, _direction, _standing, _pause, _blocked, _parked, _window, _host, _running,
)  # fmt: skip


def counts(decisions: Iterable[Decision]) -> dict[Code, int]:
    """How many sites get each code, in the order of Code."""
    found = [decision.code for decision in decisions]
    return {code: found.count(code) for code in Code if code in found}


def fingerprint(decisions: Iterable[Decision]) -> str:
    """A short hash of what was shown to a person: each site, its decision, from what, to what and over what.

    Equal for equal decisions in any order, also in another process: a form carries it, and acts only while it holds.
    """
    shown = sorted(
        (it.site.id, it.code, it.to.version if it.to else "", [leg.version for leg in it.legs], it.site.reported)
        for it in decisions
    )
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:32]
