"""Draws fleets for properties of the plan: few versions and names, so that the rules meet each other often."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, time, timedelta
from itertools import product
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from builds.maturity import CHANNELS, BuildFacts, ChannelPolicy, Maturity, ProblemFacts, Severity
from instances.pauses import Pause, PauseKind
from instances.pins import PinEnd
from instances.windows import Span, Window
from tests.factories import NOW
from upgrades.plan import Facts, SiteFacts
from upgrades.waves import Rollout, parse_sizes

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
VERSIONS = [f"4.{minor}" for minor in range(7)]
ZONES = ["UTC", "UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"]
SIZES = ["", "1", "2, 1", "30 %", "1, 50 %"]

nights = st.sampled_from([None, *(NOW + hours * HOUR for hours in (1, 4, 9, 24))])
"""Until when a night lasts that starts at NOW; None for the moment alone."""

few = st.sampled_from([0, 0, 1, 2])
SEVERITIES = {1: Severity.BLOCKER, 2: Severity.MINOR, 3: Severity.BLOCKER, 4: Severity.MINOR}
"""A problem has one severity, whichever build it affects."""
PROBLEMS = [
    ProblemFacts(number, severity, "Loses mail", acknowledged)
    for (number, severity), acknowledged in product(SEVERITIES.items(), (True, False))
]
some_problems = st.sampled_from(
    [
        (),
        (),
        *((one,) for one in PROBLEMS),
        *((one, other) for one, other in product(PROBLEMS, repeat=2) if one.number < other.number),
    ]
)


@st.composite
def channel_policies(draw: st.DrawFn) -> dict[Maturity, ChannelPolicy]:
    automatic = draw(st.integers(0, 15))
    soaks = draw(st.integers(0, 3**4 - 1))
    return {
        channel: ChannelPolicy([0 * DAY, DAY, 14 * DAY][soaks // 3**place % 3], bool(automatic >> place & 1))
        for place, channel in enumerate(CHANNELS)
    }


class Coins:
    """So many coins in one draw, each of which falls on its edge once in eight times. Shrinks to none that does."""

    def __init__(self, draw: st.DrawFn, number: int) -> None:
        self._left = draw(st.integers(0, 8**number - 1))

    def seldom(self) -> bool:
        self._left, edge = divmod(self._left, 8)
        return edge == 7

    def mostly(self) -> bool:
        return not self.seldom()


@st.composite
def a_build(draw: st.DrawFn, number: int, version: str) -> BuildFacts:
    coins = Coins(draw, 8)
    withdrawn, archived = coins.seldom(), coins.seldom()
    return BuildFacts(
        number, version, version, draw(st.sampled_from(Maturity)), NOW - draw(st.sampled_from([0, 1, 14, 15])) * DAY,
        smoke_passed=coins.mostly(), withdrawn=withdrawn, quarantined=coins.seldom(),
        artifact_present=not archived and coins.mostly(), archived=archived, was_dismissed=coins.seldom(),
        problems=draw(some_problems), sent_back=coins.seldom(),
        stepping_stone=not withdrawn and not archived and coins.seldom(),
    )  # fmt: skip


@st.composite
def some_builds(draw: st.DrawFn) -> dict[int, BuildFacts]:
    versions = draw(st.lists(st.sampled_from(VERSIONS), min_size=1, max_size=4, unique=True))
    return {number: draw(a_build(number, version)) for number, version in enumerate(versions, 1)}


@st.composite
def a_pause(draw: st.DrawFn) -> Pause:
    """That begins a day before the night at the earliest, and a day after it at the latest."""
    starts_at = NOW + draw(st.sampled_from([-24, -1, 0, 1, 2, 20])) * HOUR
    span = Span(starts_at, starts_at + draw(st.sampled_from([1, 2, 3, 30])) * HOUR)
    return Pause(draw(st.sampled_from(PauseKind)), draw(st.integers(1, 9)), span, "Audit", "all sites")


@st.composite
def a_window(draw: st.DrawFn) -> Window:
    start = draw(st.sampled_from([0, 11, 12, 13, 14, 20]))
    return Window(
        frozenset(draw(st.sampled_from([range(7), range(5), (0, 2), (1,)]))), time(start),
        time((start + draw(st.sampled_from([1, 2, 8]))) % 24), ZoneInfo(draw(st.sampled_from(ZONES))),
    )  # fmt: skip


@st.composite
def a_site(draw: st.DrawFn, number: int, known: Mapping[int, BuildFacts]) -> SiteFacts:
    builds, versions = sorted(known), sorted(build.version for build in known.values())
    reported = draw(st.sampled_from([*versions, "4.0", "4.2.5", "5", "", "<html>"]))
    key = reported if reported[:1].isdigit() else None
    coins = Coins(draw, 9)
    site = SiteFacts(
        number, f"{'abc'[draw(st.integers(0, 2))]}{number}", draw(st.booleans()), draw(st.sampled_from(CHANNELS)), None,
        reported, key, "web1", host_enabled=coins.mostly(), host_key_trusted=coins.mostly(),
        running=7 if coins.seldom() else None, needs_a_person=8 if coins.seldom() else None,
        windows=tuple(draw(a_window()) for _each in range(draw(few))),
        pauses=tuple(draw(a_pause()) for _each in range(draw(few))),
        needs=draw(st.sampled_from([0, 15, 45, 150])) * timedelta(minutes=1), canary=coins.seldom(),
        parked={draw(st.sampled_from(builds)): 79} if coins.seldom() else {},
        goes_down=coins.mostly(), consent="4.9" if coins.seldom() else None if coins.seldom() else key,
    )  # fmt: skip
    return _pinned(draw, site, builds) if draw(st.booleans()) else replace(site, consent=None)


def _pinned(draw: st.DrawFn, site: SiteFacts, builds: Sequence[int]) -> SiteFacts:
    ends = draw(st.sampled_from(PinEnd))
    until: datetime | None = NOW + draw(st.sampled_from([-1, 1, 2, 3])) * HOUR if ends is PinEnd.ON_DATE else None
    return replace(
        site, channel=None, pin=draw(st.sampled_from(builds)), pin_ends=ends, pin_until=until,
        pin_then=None if ends is PinEnd.NEVER else site.channel,
    )  # fmt: skip


@st.composite
def fleets(draw: st.DrawFn) -> Facts:
    builds = draw(some_builds())
    numbers = sorted(builds)
    return Facts(
        tuple(draw(a_site(number, builds)) for number in range(1, draw(st.integers(0, 4)) + 1)),
        builds,
        channels=draw(st.one_of(st.just({}), channel_policies())),
        halted=draw(st.dictionaries(st.sampled_from(numbers), st.just(412), max_size=1)),
        hold_on_blockers=draw(st.booleans()),
        rollout=Rollout(draw(st.sampled_from([0, 10, 50, 100])), parse_sizes(draw(st.sampled_from(SIZES)))),
        salt=draw(st.sampled_from(["2026-11-23", "2026-11-24"])),
    )
