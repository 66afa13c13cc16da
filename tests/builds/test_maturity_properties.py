"""R6, R8, R10: what holds of every soak and of every promotion that nobody asks for."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from builds.maturity import (
    CHANNELS,
    BuildFacts,
    ChannelPolicy,
    Gate,
    GateCode,
    Maturity,
    automatic_promotions,
    channel_heads,
    judge,
)
from tests.effort import examples
from tests.factories import NOW
from tests.upgrades.fleets import a_build, channel_policies, some_builds, some_problems

drawn = settings(max_examples=examples(50), deadline=None)
Builds = dict[int, BuildFacts]
Policies = dict[Maturity, ChannelPolicy]


def soak_gate(build: BuildFacts, into: Maturity, policies: Policies, now: datetime, builds: Builds) -> Gate:
    gates = judge(build, into, policies, now, builds.values()).gates
    return next(gate for gate in gates if gate.code is GateCode.SOAK and gate.into is into)


def other_things(data: st.DataObject, builds: Builds, watched: int, now: datetime) -> Builds:
    """One thing that happens to other builds, or to what is known of this one, but that does not move it."""
    others = [number for number in builds if number != watched]
    acts: list[Callable[[], Builds]] = [
        lambda: builds | {99: data.draw(a_build(99, "4.9"))},
        lambda: builds | {watched: replace(builds[watched], problems=data.draw(some_problems))},
        lambda: builds | {watched: replace(builds[watched], was_dismissed=True, stepping_stone=True)},
    ]
    if others:
        other = builds[data.draw(st.sampled_from(others))]
        acts += [
            lambda: builds | {other.id: other.moved(data.draw(st.sampled_from(Maturity)), now)},
            lambda: builds | {other.id: replace(other, withdrawn=True, stepping_stone=False)},
            lambda: builds | {other.id: replace(other, quarantined=True, smoke_passed=False)},
        ]
    return data.draw(st.sampled_from(acts))()


@given(
    some_builds(), channel_policies(), st.lists(st.timedeltas(timedelta(0), timedelta(days=9)), max_size=5), st.data()
)
@drawn
def test_r6_a_soak_never_shrinks_while_a_build_stays_whatever_else_happens(
    builds: Builds, policies: Policies, waits: list[timedelta], data: st.DataObject
) -> None:
    watched = data.draw(st.sampled_from(sorted(builds)))
    if builds[watched].maturity is Maturity.STABLE:
        builds[watched] = replace(builds[watched], maturity=Maturity.RELEASE)
    into, now = Maturity(builds[watched].maturity + 1), NOW
    before = soak_gate(builds[watched], into, policies, now, builds)
    for wait in waits:
        now += wait
        builds = other_things(data, builds, watched, now)
        after = soak_gate(builds[watched], into, policies, now, builds)
        assert (after.since, after.ends_at) == (before.since, before.ends_at)
        assert after.passed >= before.passed, "what has passed stays passed"
        assert after.passed or after.ends_at is None or now < after.ends_at
        before = after


@given(some_builds(), channel_policies(), st.timedeltas(timedelta(0), timedelta(days=20)))
@drawn
def test_r10_nothing_is_promoted_by_itself_through_a_failing_gate_or_against_a_person_and_nothing_twice(
    builds: Builds, policies: Policies, later: timedelta
) -> None:
    now = NOW + later
    after, moves = automatic_promotions(builds, policies, now)

    current: dict[int, Any] = dict(builds)
    for move in moves:
        build = move.build
        assert current[build.id] == build
        assert policies[move.to].automatic
        assert build.maturity == move.to.before
        assert judge(build, move.to, policies, now, current.values()).allowed
        assert not build.sent_back
        assert not build.was_dismissed
        head = channel_heads(list(current.values()))[move.to]
        assert head is None or build.key > head.key
        current[build.id] = build.moved(move.to, now)
    assert after == current
    assert [move.to for move in moves] == sorted({move.to for move in moves}), "at most one build a channel"
    assert automatic_promotions(after, policies, now) == (after, []), "a second time moves nothing"


@given(some_builds(), channel_policies(), st.randoms())
@drawn
def test_r4_r10_the_order_in_which_builds_are_read_decides_nothing(
    builds: Builds, policies: Policies, random: Any
) -> None:
    shuffled = list(builds.items())
    random.shuffle(shuffled)

    assert automatic_promotions(dict(shuffled), policies, NOW) == automatic_promotions(builds, policies, NOW)
    assert channel_heads(dict(shuffled).values()) == channel_heads(builds.values())


@given(some_builds(), channel_policies())
@drawn
def test_r4_r5_a_promotion_never_takes_a_channel_back(builds: Builds, policies: Policies) -> None:
    """Whatever moves up, each channel means the same build as before or a newer one."""
    before = channel_heads(builds.values())
    for build in builds.values():
        for to in CHANNELS:
            if to > build.maturity:
                after = channel_heads((builds | {build.id: build.moved(to, NOW)}).values())
                assert all(_at_least(after[channel], before[channel]) for channel in CHANNELS)


def _at_least(after: BuildFacts | None, before: BuildFacts | None) -> bool:
    return before is None or (after is not None and after.key >= before.key)
