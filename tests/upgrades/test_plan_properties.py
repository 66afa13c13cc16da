"""P1, P2, P4, P8, R9, T4, T5, T8: what holds of every plan, whatever the fleet, the builds, the policy and the time."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from builds.maturity import BuildFacts, Maturity
from instances.pauses import Pause, PauseKind
from instances.pins import PinEnd
from instances.windows import Span
from tests.effort import examples
from tests.factories import NOW
from tests.rules.lawful import assert_lawful
from tests.upgrades.fleets import a_pause, fleets, nights
from upgrades import sentences
from upgrades.plan import (
    Code,
    Decision,
    Facts,
    SiteFacts,
    counts,
    decide,
    fingerprint,
    plan,
    plan_with_waves,
    promoted,
)
from upgrades.waves import WaveKind, WaveSize

MOMENT = timedelta(microseconds=1)
Until = datetime | None
drawn = settings(max_examples=examples(50), deadline=None)


def going(decisions: list[Decision]) -> dict[int, Decision]:
    return {one.site.id: one for one in decisions if one.upgrades}


def decision_on(site: int, decisions: list[Decision]) -> Decision:
    """But for its wave, which depends on who else goes."""
    return next(replace(one, wave=None) for one in decisions if one.site.id == site)


@given(fleets(), nights, st.randoms())
@drawn
def test_p1_the_plan_is_total_and_depends_on_its_facts_alone_in_any_order(
    facts: Facts, until: Until, random: Any
) -> None:
    planned = plan(facts, NOW, until)
    sites, builds = list(facts.sites), list(facts.builds.items())
    random.shuffle(sites)
    random.shuffle(builds)

    assert Counter(one.site.id for one in planned) == Counter(site.id for site in facts.sites)
    assert plan(replace(facts, sites=tuple(sites), builds=dict(builds)), NOW, until) == planned
    assert [one.upgrades for one in planned] == sorted((one.upgrades for one in planned), reverse=True)
    assert sum(counts(planned).values()) == len(planned)
    assert fingerprint(planned) == fingerprint(reversed(planned))
    for site in facts.sites:
        alone = plan(replace(facts, sites=(site,)), NOW, until)[0]
        assert replace(alone, wave=None) == decision_on(site.id, planned), "each is decided for itself"


@given(fleets(), nights)
@drawn
def test_p2_whatever_is_decided_every_sentence_is_whole(facts: Facts, until: Until) -> None:
    for decision in plan(facts, NOW, until):
        said = [sentences.decision_sentence(decision), *map(sentences.check_sentence, decision.checks)]
        assert sentences.short_sentence(decision)
        for sentence in said:
            assert sentence.endswith(".")
            assert sentence.strip() == sentence
            assert not any(odd in sentence for odd in ("  ", " ,", " .", "None", "%(", "()"))


@given(fleets(), nights)
@drawn
def test_t4_t5_t8_r3_r9_nothing_ever_moves_to_what_may_not_be_installed_or_down_without_consent_or_past_a_stone(
    facts: Facts, until: Until
) -> None:
    for decision in going(plan(facts, NOW, until)).values():
        assert_lawful(decision, promoted(facts, NOW))


@given(fleets(), nights)
@drawn
def test_p5_p6_p8_a_turn_lies_in_the_night_inside_a_window_and_outside_every_pause(facts: Facts, until: Until) -> None:
    for decision in plan(facts, NOW, until):
        site, opens_at = decision.site, decision.opens_at
        assert (opens_at is not None) is decision.upgrades
        if opens_at is None:
            continue
        assert NOW <= opens_at < (until or NOW + MOMENT)
        assert not any(pause.span.covers(opens_at) for pause in site.pauses)
        if site.windows:
            openings = [span for one in site.windows for span in one.openings(opens_at, opens_at + site.needs + MOMENT)]
            assert covered(Span(opens_at, opens_at + site.needs), openings)
        assert decision.latest
        assert opens_at < decision.latest


def covered(span: Span, by: list[Span]) -> bool:
    """Whether every moment of it is in one of these."""
    at = span.starts_at
    for other in sorted(by):
        if other.covers(at):
            at = max(at, other.ends_at)
    return at >= span.ends_at


HELD_FOR_THE_FIRST_HOUR = Facts(
    sites=(
        SiteFacts(
            1, "a1", False, None, 2, "4.0", "4.0", "web1",
            pauses=(Pause(PauseKind.HOLD, 1, Span(NOW, NOW + timedelta(hours=1)), "Audit", "all sites"),),
        ),
    ),
    builds={2: BuildFacts(2, "4.1", "4.1", Maturity.CANDIDATE, NOW, smoke_passed=True)},
)  # fmt: skip


@given(fleets(), nights)
@example(HELD_FOR_THE_FIRST_HOUR, NOW + timedelta(hours=4))
@drawn
def test_p4_each_site_that_goes_is_in_one_wave_and_canaries_are_before_the_rest_of_their_window(
    facts: Facts, until: Until
) -> None:
    planned, waves = plan_with_waves(facts, NOW, until)
    goes = going(planned)

    assert Counter(site for wave in waves for site in wave.sites) == Counter(goes.keys())
    assert [wave.number for wave in waves] == list(range(1, len(waves) + 1))
    assert [(wave.stage, wave.opens_at) for wave in waves] == sorted((wave.stage, wave.opens_at) for wave in waves)
    for wave in waves:
        members = [goes[site] for site in wave.sites]
        assert {(one.window_opens_at, one.wave) for one in members} == {(wave.opens_at, wave.number)}
        assert all(one.opens_at and one.opens_at >= wave.opens_at for one in members)
        assert {one.site.live for one in members} == {wave.kind is not WaveKind.TEST}
        assert wave.kind is not WaveKind.REST or not any(one.site.canary for one in members)
    for opening in {one.window_opens_at for one in goes.values()}:
        live = [one for one in goes.values() if one.site.live and one.window_opens_at == opening]
        canaries = [wave for wave in waves if wave.kind is WaveKind.CANARY and wave.opens_at == opening]
        if live and facts.rollout.canaries:
            wanted = WaveSize(facts.rollout.canaries, is_share=True).of(len(live))
            assert sum(len(wave.sites) for wave in canaries) >= wanted >= 1


@given(fleets(), nights, st.data())
@drawn
def test_p8_leaving_more_sites_alone_never_adds_an_upgrade_to_any_site(
    facts: Facts, until: Until, data: st.DataObject
) -> None:
    more: dict[int, tuple[Pause, ...]] = {
        site.id: tuple(data.draw(st.lists(a_pause(), max_size=2))) for site in facts.sites
    }
    paused = replace(facts, sites=tuple(replace(one, pauses=one.pauses + more[one.id]) for one in facts.sites))

    before, after = plan(facts, NOW, until), plan(paused, NOW, until)

    assert going(after).keys() <= going(before).keys()
    for one in facts.sites:
        if not more[one.id]:
            assert decision_on(one.id, after) == decision_on(one.id, before), "nobody else gets another decision"


BLOCKED = (Code.BLOCKED_BY_PROBLEM, Code.BLOCKED_BY_HALT)


def waits(decision: Decision, facts: Facts, until: Until) -> bool:
    """For a person to let its build go on: now, or from when its pin ends during the night (P1)."""
    ends = decision.site.pin_until
    if decision.code in BLOCKED:
        return True
    if not ends or not until or not NOW < ends < until:
        return False
    return decide(decision.site, promoted(facts, NOW), ends, until).code in BLOCKED


RUNS_ITS_PIN_WHILE_WHAT_IT_FOLLOWS_NEXT_IS_HALTED = Facts(
    sites=(
        SiteFacts(
            1, "a1", True, None, 1, "4.0", "4.0", "web1", pin_ends=PinEnd.ON_DATE,
            pin_until=NOW + timedelta(hours=1), pin_then=Maturity.ALPHA,
        ),
    ),
    builds={
        number: BuildFacts(number, version, version, Maturity.ALPHA, NOW, smoke_passed=True)
        for number, version in ((1, "4.0"), (2, "4.1"))
    },
    halted={2: 412},
)  # fmt: skip


@given(fleets(), nights)
@example(RUNS_ITS_PIN_WHILE_WHAT_IT_FOLLOWS_NEXT_IS_HALTED, NOW + timedelta(hours=4))
@drawn
def test_p5_r7_what_a_person_lets_go_on_takes_no_upgrade_away_and_concerns_nobody_else(
    facts: Facts, until: Until
) -> None:
    """A build that halted a run is released, and blockers hold nobody any more."""
    before = plan(facts, NOW, until)
    after = plan(replace(facts, halted={}, hold_on_blockers=False), NOW, until)

    assert going(before).keys() <= going(after).keys()
    waited = {one.site.id for one in before if waits(one, facts, until)}
    assert going(after).keys() - going(before).keys() <= waited


@given(fleets(), nights)
@drawn
def test_r10_a_plan_that_promotes_first_is_the_plan_after_promoting(facts: Facts, until: Until) -> None:
    after = promoted(facts, NOW)

    assert plan(facts, NOW, until) == plan(replace(after, channels={}), NOW, until)
    assert promoted(after, NOW) == after, "promoting once more moves nothing"
