"""How mature a build is, what a channel resolves to, and the one judgement of a promotion (R11).

Pure: facts in, decision out. It imports neither Django nor the models; `builds.services` gathers the facts,
`builds.sentences` words the codes.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class ProblemFacts:
    """An open problem of a build. `acknowledged` is whether somebody accepted it for this build, by name (R7)."""

    number: int
    severity: Severity
    title: str = ""
    acknowledged: bool = False


@dataclass(frozen=True)
class BuildFacts:
    """`key` sorts as the version does. `since` is when its unbroken stay in its channel began (R6).

    `problems` are the open ones that affect it, `was_dismissed` says that another was dismissed as not real (R7).
    `sent_back` says that a person demoted it and nobody has promoted it since (R10).
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

    @property
    def open_blockers(self) -> tuple[ProblemFacts, ...]:
        """Those that nobody has accepted for this build."""
        return tuple(one for one in self.problems if one.severity is Severity.BLOCKER and not one.acknowledged)

    @property
    def eligible(self) -> bool:
        """Whether a channel may resolve to it (R3, R4)."""
        return self.smoke_passed and not self.withdrawn and not self.quarantined


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
    SOAK = "soak"


@dataclass(frozen=True)
class Gate:
    """One condition of a promotion.

    For SOAK: `into` is the channel it guards, `soak` the time needed in the channel before it, `since` when
    the clock started, `ends_at` when it will be or was long enough. Both are None while the clock stands still.
    """

    code: GateCode
    passed: bool
    into: Maturity | None = None
    soak: timedelta = timedelta(0)
    since: datetime | None = None
    ends_at: datetime | None = None


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
    def when(self) -> datetime | None:
        """When every gate will pass by the clock alone; None where something else must happen first."""
        ends = [gate.ends_at for gate in self.failing]
        return max(end for end in ends if end) if ends and all(ends) else None


def judge(build: BuildFacts, to: Maturity, soaks: Mapping[Maturity, timedelta], now: datetime) -> Judgement:
    """Judges a step upwards. Every gate on the way must pass (R5), and each soak is a gate (R6)."""
    gates = [
        Gate(GateCode.SMOKE, build.smoke_passed),
        Gate(GateCode.NOT_WITHDRAWN, not build.withdrawn),
        Gate(GateCode.NOT_QUARANTINED, not build.quarantined),
    ]
    entered = [channel for channel in CHANNELS if build.maturity < channel <= to]
    gates += [_soak_gate(build, channel, soaks[channel], now) for channel in entered]
    return Judgement(build, to, tuple(gates))


def _soak_gate(build: BuildFacts, into: Maturity, soak: timedelta, now: datetime) -> Gate:
    """A soak of zero passes also when the channel before was skipped (R6); the end is inclusive."""
    if soak <= timedelta(0):
        return Gate(GateCode.SOAK, passed=True, into=into)
    if build.maturity != into.before or not build.eligible:
        return Gate(GateCode.SOAK, passed=False, into=into, soak=soak)
    ends_at = build.since + soak
    return Gate(GateCode.SOAK, passed=now >= ends_at, into=into, soak=soak, since=build.since, ends_at=ends_at)
