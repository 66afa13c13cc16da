"""How mature a build is, what a channel resolves to, and the one judgement of a promotion (R11).

Pure: facts in, decision out. It imports neither Django nor the models; `builds.services` gathers the facts,
`builds.sentences` words the codes.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum


class Maturity(IntEnum):
    """R4, in order. All but CANDIDATE are channels."""

    CANDIDATE = 0
    ALPHA = 1
    BETA = 2
    RELEASE = 3
    STABLE = 4

    @property
    def channel(self) -> str:
        """The channel's name, which is also its key in the database."""
        return self.name.lower()

    @property
    def before(self) -> "Maturity":
        """Raises ValueError for CANDIDATE, which has nothing before it."""
        return Maturity(self - 1)


CHANNELS = tuple(Maturity)[1:]


def channel_named(name: str) -> Maturity:
    """Raises KeyError for what is not a channel."""
    return {channel.channel: channel for channel in CHANNELS}[name]


class Severity(StrEnum):
    """Of a known problem (R7)."""

    BLOCKER = "blocker"
    MINOR = "minor"

    def covers(self, other: "Severity") -> bool:
        """Whether who accepted a problem of this severity also accepted one of the other."""
        return self is Severity.BLOCKER or other is Severity.MINOR


def problem_name(number: int) -> str:
    """What a problem is called everywhere."""
    return f"P-{number}"


@dataclass(frozen=True)
class ProblemFacts:
    """An open problem of a build. `acknowledged` is whether somebody accepted it for this build, by name (R7)."""

    number: int
    severity: Severity
    title: str = ""
    acknowledged: bool = False

    @property
    def name(self) -> str:
        return problem_name(self.number)


@dataclass(frozen=True)
class BuildFacts:
    """`key` sorts as the version does. `since` is when its unbroken stay in its channel began (R6).

    `problems` are the open ones that affect it, `was_dismissed` says that another was dismissed as not real (R7).
    `sent_back` says that a person demoted it and nobody has promoted it since (R10). `archived`: its artefact was
    removed on purpose, since nothing needs it any more.
    """

    id: int
    version: str
    key: str
    maturity: Maturity
    since: datetime
    smoke_passed: bool
    withdrawn: bool = False
    quarantined: bool = False
    artifact_present: bool = True
    problems: tuple[ProblemFacts, ...] = ()
    was_dismissed: bool = False
    sent_back: bool = False
    stepping_stone: bool = False
    archived: bool = False

    @property
    def open_blockers(self) -> tuple[ProblemFacts, ...]:
        """Those that nobody has accepted for this build."""
        return tuple(one for one in self.problems if one.severity is Severity.BLOCKER and not one.acknowledged)

    @property
    def eligible(self) -> bool:
        """Whether a channel may resolve to it (R3, R4)."""
        return self.smoke_passed and not self.withdrawn and not self.quarantined and not self.archived

    def accepting(self, numbers: Collection[int]) -> "BuildFacts":
        """The same build once somebody accepted these problems for it (R7)."""
        problems = [replace(one, acknowledged=one.acknowledged or one.number in numbers) for one in self.problems]
        return replace(self, problems=tuple(problems))

    def moved(self, to: Maturity, at: datetime) -> "BuildFacts":
        """The same build after it was moved there: its stay begins (R6), and going back holds automation off (R10)."""
        return replace(self, maturity=to, since=at, sent_back=to < self.maturity)


def resolve(builds: Iterable[BuildFacts], channel: Maturity) -> BuildFacts | None:
    """The highest version among the eligible builds at least as mature as the channel (R4)."""
    mature = [build for build in builds if build.eligible and build.maturity >= channel]
    return max(mature, key=lambda build: build.key, default=None)


@dataclass(frozen=True)
class ChannelPolicy:
    """`soak` is the time needed in the channel before (R6); `automatic` lets the night promote into it (R10)."""

    soak: timedelta = timedelta(0)
    automatic: bool = False


def channel_heads(builds: Collection[BuildFacts]) -> dict[Maturity, BuildFacts | None]:
    """What each channel resolves to (R4)."""
    return {channel: resolve(builds, channel) for channel in CHANNELS}


class GateCode(StrEnum):
    SMOKE = "smoke"
    NOT_WITHDRAWN = "not_withdrawn"
    NOT_QUARANTINED = "not_quarantined"
    NOT_ARCHIVED = "not_archived"
    SOAK = "soak"
    NO_BLOCKERS = "no_blockers"
    ACKNOWLEDGED = "acknowledged"


NEVER_OVERRIDDEN = frozenset({GateCode.SMOKE, GateCode.NOT_WITHDRAWN, GateCode.NOT_QUARANTINED, GateCode.NOT_ARCHIVED})
"""What nobody may promote through (R8)."""

GUARDED = (Maturity.RELEASE, Maturity.STABLE)
"""The channels that an open blocker keeps a build out of (R7)."""


@dataclass(frozen=True)
class Gate:
    """One condition of a promotion. `into` is the channel it guards; None where it guards all.

    For SOAK: `soak` is the time needed in the channel before, `since` when the clock started, `ends_at` when it
    will be or was long enough. Both are None while the clock stands still.
    For NO_BLOCKERS and ACKNOWLEDGED: the `problems` that it looked at, those that fail it first.
    """

    code: GateCode
    passed: bool
    into: Maturity | None = None
    soak: timedelta = timedelta(0)
    since: datetime | None = None
    ends_at: datetime | None = None
    problems: tuple[ProblemFacts, ...] = ()

    @property
    def overridable(self) -> bool:
        """Whether a person with the permission may promote through it (R8)."""
        return self.code not in NEVER_OVERRIDDEN

    @property
    def in_the_way(self) -> tuple[ProblemFacts, ...]:
        """The problems that fail it."""
        if self.code is GateCode.ACKNOWLEDGED:
            return tuple(problem for problem in self.problems if not problem.acknowledged)
        return self.problems

    @property
    def keys(self) -> frozenset[str]:
        """What an override of this gate names: the channel, and each problem with its severity (R8)."""
        name = f"{self.code}:{self.into.channel}" if self.into else str(self.code)
        problems = {f"{name}:{problem.number}:{problem.severity}" for problem in self.in_the_way}
        return frozenset(problems or {name})


@dataclass(frozen=True)
class Judgement:
    """May this build enter this channel; if not, why not, and when (R11)."""

    build: BuildFacts
    to: Maturity
    gates: tuple[Gate, ...]

    @property
    def allowed(self) -> bool:
        return all(gate.passed for gate in self.gates)

    @property
    def failing(self) -> tuple[Gate, ...]:
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def overridable(self) -> bool:
        """Whether an override could open it: something fails, and nothing that nobody overrides (R8)."""
        return not self.allowed and all(gate.overridable for gate in self.failing)

    @property
    def keys(self) -> frozenset[str]:
        """All that fails, as an override names it."""
        return frozenset(key for gate in self.failing for key in gate.keys)

    @property
    def in_the_way(self) -> frozenset[int]:
        """The numbers of the problems that fail a gate: an override accepts them (R8)."""
        return frozenset(problem.number for gate in self.failing for problem in gate.in_the_way)

    @property
    def when(self) -> datetime | None:
        """When every gate will pass by the clock alone; None where something else must happen first."""
        ends = [gate.ends_at for gate in self.failing]
        return max(end for end in ends if end) if ends and all(ends) else None


@dataclass(frozen=True)
class Override:
    """What a person saw and promotes through all the same, as `Judgement.keys` names it, and why (R8)."""

    seen: frozenset[str]
    reason: str

    def uncovered(self, judgement: Judgement) -> tuple[Gate, ...]:
        """The failing gates that it does not open: nobody may, or the person did not see all of it."""
        return tuple(gate for gate in judgement.failing if not gate.overridable or not gate.keys <= self.seen)


def judge(
    build: BuildFacts,
    to: Maturity,
    channels: Mapping[Maturity, ChannelPolicy],
    now: datetime,
    builds: Collection[BuildFacts],
) -> Judgement:
    """Judges a step upwards. Every gate on the way must pass (R5), and each soak is a gate (R6).

    `builds` are all of them: a problem that a channel's own build has too makes nothing worse there (R7).
    """
    gates = [
        Gate(GateCode.SMOKE, build.smoke_passed),
        Gate(GateCode.NOT_WITHDRAWN, not build.withdrawn),
        Gate(GateCode.NOT_QUARANTINED, not build.quarantined),
    ]
    if build.archived:
        gates.append(Gate(GateCode.NOT_ARCHIVED, passed=False))
    entered = [channel for channel in CHANNELS if build.maturity < channel <= to]
    gates += [_soak_gate(build, channel, channels[channel].soak, now) for channel in entered]
    if any(channel in GUARDED for channel in entered):
        gates += _problem_gates(build, to, entered, builds)
    return Judgement(build, to, tuple(gates))


def _soak_gate(build: BuildFacts, into: Maturity, soak: timedelta, now: datetime) -> Gate:
    """A soak of zero passes also when the channel before was skipped (R6); the end is inclusive."""
    if soak <= timedelta(0):
        return Gate(GateCode.SOAK, passed=True, into=into)
    if build.maturity != into.before or not build.eligible:
        return Gate(GateCode.SOAK, passed=False, into=into, soak=soak)
    ends_at = build.since + soak
    return Gate(GateCode.SOAK, passed=now >= ends_at, into=into, soak=soak, since=build.since, ends_at=ends_at)


def _problem_gates(
    build: BuildFacts, to: Maturity, entered: Collection[Maturity], builds: Collection[BuildFacts]
) -> list[Gate]:
    """R7. An acknowledgement opens only the second: a blocker that is new to a channel needs an override."""
    if not build.problems:
        return [Gate(code, passed=True, into=to) for code in (GateCode.NO_BLOCKERS, GateCode.ACKNOWLEDGED)]
    shared = _shared_problems(build, entered, builds)
    blockers = [problem for problem in build.problems if problem.severity is Severity.BLOCKER]
    new = tuple(problem for problem in blockers if problem.number not in shared)
    warnings = [problem for problem in blockers if problem.number in shared]
    if to is Maturity.STABLE:
        warnings += [problem for problem in build.problems if problem.severity is Severity.MINOR]
    warnings.sort(key=lambda problem: (problem.acknowledged, problem.number))
    accepted = all(problem.acknowledged for problem in warnings)
    return [
        Gate(GateCode.NO_BLOCKERS, passed=not new, into=to, problems=new),
        Gate(GateCode.ACKNOWLEDGED, passed=accepted, into=to, problems=tuple(warnings)),
    ]


def _shared_problems(build: BuildFacts, entered: Collection[Maturity], builds: Collection[BuildFacts]) -> set[int]:
    """The numbers of those that the present build of each guarded channel on the way has too."""
    others = [one for one in builds if one.id != build.id]
    heads = [resolve(others, channel) for channel in GUARDED if channel in entered]
    theirs = [{problem.number for problem in head.problems} if head else set() for head in heads]
    return set.intersection(*theirs)


@dataclass(frozen=True)
class Move:
    """A promotion that nobody has to ask for. `build` is as it was before."""

    build: BuildFacts
    to: Maturity


def automatic_promotions(
    builds: Mapping[int, BuildFacts], channels: Mapping[Maturity, ChannelPolicy], now: datetime
) -> tuple[dict[int, BuildFacts], list[Move]]:
    """What is promoted by itself at `now`, in order, and all builds after it (R10). At most one build a channel."""
    after, moves = dict(builds), []
    for channel in CHANNELS:
        if not channels[channel].automatic:
            continue
        chosen = _next_by_itself(after.values(), channel, channels, now)
        if chosen:
            moves.append(Move(chosen, channel))
            after[chosen.id] = chosen.moved(channel, now)
    return after, moves


def _next_by_itself(
    builds: Collection[BuildFacts], channel: Maturity, channels: Mapping[Maturity, ChannelPolicy], now: datetime
) -> BuildFacts | None:
    """The newest of the channel before that may enter, is newer than the channel's build, and needs no person.

    A person decides where one sent it back (R10), and where a problem of it was dismissed as not real (R7).
    """
    waiting = [build for build in newer_than_channel(builds, channel) if build.maturity == channel.before]
    free = [build for build in waiting if not build.sent_back and not build.was_dismissed]
    for build in sorted(free, key=lambda build: build.key, reverse=True):
        if judge(build, channel, channels, now, builds).allowed:
            return build
    return None


def newer_than_channel(builds: Collection[BuildFacts], channel: Maturity) -> list[BuildFacts]:
    """Those that a promotion would make the channel's build, as far as their version says."""
    head = resolve(builds, channel)
    return [build for build in builds if head is None or build.key > head.key]
