"""The channels as the pages show them: each with its build, its sites and its build's next step."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.utils.translation import gettext as _

from builds import sentences
from builds.maturity import (
    CHANNELS,
    BuildFacts,
    ChannelPolicy,
    Gate,
    GateCode,
    Judgement,
    Maturity,
    channel_heads,
    judge,
)
from builds.models import Build
from releasemgr.lib import words
from releasemgr.lib.choices import Colour
from releasemgr.pages.fleet import Fleet

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


class Word(NamedTuple):
    """A few words with their colour and icon, as a StateChoices has them."""

    label: str
    colour: Colour
    icon: str


@dataclass(frozen=True)
class Clock:
    """A soak clock that runs or has run out, in days, or in hours where the soak is not whole days (R6)."""

    done: int
    total: int
    label: str
    complete: bool


def clock_of(gate: Gate, now: datetime) -> Clock | None:
    """None for what is no soak, and while its clock stands still."""
    if not gate.soak or gate.since is None or gate.ends_at is None:
        return None
    unit = HOUR if gate.soak % DAY else DAY
    total = -(-gate.soak // unit)
    if gate.passed:
        return Clock(total, total, _complete(total, unit), complete=True)
    done = (now - gate.since) // unit + 1
    return Clock(done, total, _running(done, total, unit, words.moment_of(gate.ends_at, now)), complete=False)


def _complete(total: int, unit: timedelta) -> str:
    text = _("%(n)d of %(n)d days, complete") if unit == DAY else _("%(n)d of %(n)d hours, complete")
    return text % {"n": total}


def _running(done: int, total: int, unit: timedelta, end: str) -> str:
    text = _("Day %(done)d of %(total)d, ends %(end)s")
    if unit == HOUR:
        text = _("Hour %(done)d of %(total)d, ends %(end)s")
    return text % {"done": done, "total": total, "end": end}


def soak_clock(judgement: Judgement | None, now: datetime) -> Clock | None:
    """The clock of a judgement's soak gate."""
    gates = judgement.gates if judgement else ()
    clocks = [clock_of(gate, now) for gate in gates if gate.code is GateCode.SOAK]
    return next((clock for clock in clocks if clock), None)


@dataclass(frozen=True)
class Lane:
    """A channel, the build that it means now, and whether that build may go on to the next channel.

    `step` is None at the last channel, without a build, and where the build is in a later channel already.
    """

    channel: Maturity
    build: Build | None
    following: int
    on_it: int
    step: Judgement | None
    clock: Clock | None

    @property
    def name(self) -> str:
        return self.channel.channel

    @property
    def is_own(self) -> bool:
        """Whether its build came just so far: a later channel's build serves the channels before it too (R4)."""
        return self.build is not None and self.build.stage == self.channel

    @property
    def next_name(self) -> str:
        return self.step.to.channel if self.step else ""

    @property
    def next_step(self) -> Word:
        if self.build is None:
            return Word(_("No build"), Colour.IDLE, "")
        if not self.is_own:
            return Word(_("Its build is %(channel)s already") % {"channel": self.build.stage.channel}, Colour.IDLE, "")
        if self.step is None:
            return Word(_("No next channel"), Colour.IDLE, "")
        return _step_word(self.step, self.clock)


def _step_word(step: Judgement, clock: Clock | None) -> Word:
    if step.allowed:
        if clock is None:
            return Word(_("Ready for %(channel)s") % {"channel": step.to.channel}, Colour.OK, "circle-check")
        ready = _("%(soak)s, ready for %(channel)s")
        return Word(ready % {"soak": _days_done(step), "channel": step.to.channel}, Colour.OK, "circle-check")
    if clock and step.when:
        return Word(clock.label, Colour.RUN, "clock")
    return Word(sentences.gate_detail(step.failing[0], step), Colour.BAD, "circle-x")


def _days_done(step: Judgement) -> str:
    return ", ".join(sentences.gate_title(gate) for gate in step.gates if gate.soak)


def channel_builds(builds: Mapping[int, BuildFacts]) -> dict[Maturity, Build | None]:
    """What each channel means now (R4). One query."""
    heads = channel_heads(builds.values())
    rows = Build.objects.in_bulk([head.id for head in heads.values() if head])
    return {channel: rows[head.id] if head else None for channel, head in heads.items()}


def lanes(
    heads: Mapping[Maturity, Build | None],
    fleet: Fleet,
    channels: Mapping[Maturity, ChannelPolicy],
    builds: Mapping[int, BuildFacts],
    now: datetime,
) -> list[Lane]:
    """From alpha to stable. No query."""

    def step_of(channel: Maturity, build: Build | None) -> Judgement | None:
        if build is None or build.stage != channel or channel is Maturity.STABLE:
            return None
        return judge(builds[build.pk], Maturity(channel + 1), channels, now, builds.values())

    return [_lane(channel, heads[channel], fleet, step_of(channel, heads[channel]), now) for channel in CHANNELS]


def _lane(channel: Maturity, build: Build | None, fleet: Fleet, step: Judgement | None, now: datetime) -> Lane:
    return Lane(
        channel=channel,
        build=build,
        following=fleet.following(channel.channel),
        on_it=fleet.following_on(channel.channel, build.version_key) if build else 0,
        step=step,
        clock=soak_clock(step, now),
    )
