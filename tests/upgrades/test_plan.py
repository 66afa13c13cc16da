"""P1, P2, P3, T5, T6: the plan, from facts alone."""

from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from builds.maturity import CHANNELS, BuildFacts, ChannelPolicy, Maturity, ProblemFacts, Severity
from instances.pauses import Pause, PauseKind
from instances.pins import PinEnd
from instances.windows import Span, Window
from releasemgr.lib.choices import Colour
from tests.factories import NOW
from upgrades import sentences
from upgrades.choices import EndCode, Outcome
from upgrades.plan import GOING, Code, Decision, Facts, Rule, SiteFacts, fingerprint, plan, plan_with_waves
from upgrades.waves import Rollout, parse_sizes

ONE_PASSED = BuildFacts(1, "4.2", "42", Maturity.RELEASE, NOW, smoke_passed=True)


def build(**values: Any) -> BuildFacts:
    return replace(ONE_PASSED, **values)


def site(**values: Any) -> SiteFacts:
    standard: dict[str, Any] = {
        "id": 1, "slug": "shop", "live": True, "channel": Maturity.RELEASE, "pin": None, "reported": "4.1",
        "key": "41", "host": "web1",
    }  # fmt: skip
    return SiteFacts(**standard | values)


BLOCKER = ProblemFacts(118, Severity.BLOCKER, "Loses invoices")
HALTED = build(id=9)
"""The build that halted run 412."""


def pause(kind: PauseKind, reason: str, *, scope: str = "", hours: int = 24) -> Pause:
    """From an hour ago."""
    return Pause(kind, 5, Span(NOW - timedelta(hours=1), NOW + timedelta(hours=hours)), reason, scope)


def window(start: int, end: int, zone: str = "UTC") -> Window:
    return Window(frozenset(range(7)), time(start), time(end), ZoneInfo(zone))


def facts_of(*sites: SiteFacts, builds: tuple[BuildFacts, ...] = (ONE_PASSED,), **values: Any) -> Facts:
    return Facts(sites, {one.id: one for one in builds}, halted={HALTED.id: 412}, **values)


def decide_one(site: SiteFacts, *builds: BuildFacts, until: datetime | None = None, **values: Any) -> Decision:
    """At NOW, or in a night from NOW up to `until`."""
    (decision,) = plan(facts_of(site, builds=builds or (ONE_PASSED,), **values), NOW, until)
    return decision


PINNED: dict[str, Any] = {"channel": None, "pin": 1}

# One case for each code, in the order in which the sentence names them (P2), with its sentence.
CASES: list[tuple[Code, SiteFacts, BuildFacts, str]] = [
    (
        Code.UPGRADE, site(), ONE_PASSED,
        "Upgrades from 4.1 to 4.2.",
    ),
    (
        Code.DOWNGRADE, site(**PINNED, reported="4.3", key="43", consent="43", goes_down=True), ONE_PASSED,
        "Goes back from 4.3 to 4.2.",
    ),
    (
        Code.VERSION_UNKNOWN, site(reported="", key=None), ONE_PASSED,
        "The site has not reported a version that can be read. It is asked before the night, and never upgraded blind.",
    ),
    (
        Code.UP_TO_DATE, site(reported="4.2.0", key="42"), ONE_PASSED,
        "Follows release and runs its build, 4.2.",
    ),
    (
        Code.AHEAD, site(reported="4.3", key="43"), ONE_PASSED,
        "Runs 4.3, ahead of release, which is 4.2. Waits for 4.3 or later.",
    ),
    (
        Code.NO_BUILD, site(), build(maturity=Maturity.BETA),
        "Follows release, which has no build. The site stays where it is.",
    ),
    (
        Code.TARGET_WITHDRAWN, site(**PINNED), build(withdrawn=True),
        "Pinned to 4.2, which was withdrawn. Choose another target.",
    ),
    (
        Code.QUARANTINED, site(**PINNED), build(quarantined=True),
        "The artefact of 4.2 no longer matches its checksum. Register the build anew under another version.",
    ),
    (
        Code.ARTIFACT_MISSING, site(), build(artifact_present=False),
        "The artefact of 4.2 is not in the artefact folder. Register it again.",
    ),
    (
        Code.SMOKE_FAILED, site(**PINNED), build(smoke_passed=False),
        "The smoke tests of 4.2 have not passed. The site waits until they do.",
    ),
    (
        Code.DOWNGRADE_REFUSED, site(**PINNED, reported="4.3", key="43"), ONE_PASSED,
        "Pinned to 4.2, which is older than 4.3. Going back was not allowed for this pair of versions.",
    ),
    (
        Code.NEEDS_A_PERSON, site(needs_a_person=77), ONE_PASSED,
        "Upgrade 77 left the site in doubt. It waits until a person unlocks it.",
    ),
    (
        Code.ON_HOLD, site(pauses=(pause(PauseKind.HOLD, "Audit"),)), ONE_PASSED,
        "On hold until 24 Nov 12:00: “Audit”.",
    ),
    (
        Code.FROZEN, site(pauses=(pause(PauseKind.FREEZE, "Month end", scope="all sites"),)), ONE_PASSED,
        "Frozen until 24 Nov 12:00 (all sites): “Month end”.",
    ),
    (
        Code.BLOCKED_BY_PROBLEM, site(), build(problems=(BLOCKER,)),
        "4.2 is blocked by P-118, Loses invoices. The site waits until someone acknowledges it or it is closed.",
    ),
    (
        Code.BLOCKED_BY_HALT, site(), HALTED,
        "4.2 halted run 412. It is offered to nobody until a person resumes, releases or withdraws it.",
    ),
    (
        Code.PARKED, site(parked={1: 79}), ONE_PASSED,
        "4.2 did not succeed on this site in upgrade 79. It waits until a person retries.",
    ),
    (
        Code.OUTSIDE_WINDOW, site(windows=(window(14, 16),)), ONE_PASSED,
        "No window of the site opens then.",
    ),
    (
        Code.WINDOW_TOO_SHORT, site(windows=(window(11, 13),), needs=timedelta(minutes=61)), ONE_PASSED,
        "The window is too short: an upgrade of the site needs 61 min.",
    ),
    (
        Code.HOST_DISABLED, site(host_enabled=False), ONE_PASSED,
        "web1 is switched off. Nothing runs there.",
    ),
    (
        Code.HOST_KEY, site(host_key_trusted=False), ONE_PASSED,
        "The key of web1 is not approved. Compare its fingerprint and approve it.",
    ),
    (
        Code.ALREADY_RUNNING, site(running=78), ONE_PASSED,
        "Upgrade 78 of this site is under way.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("code", "facts", "of", "sentence"), CASES, ids=[case[0] for case in CASES])
def test_p2_each_reason_has_its_code_and_its_sentence(
    code: Code, facts: SiteFacts, of: BuildFacts, sentence: str
) -> None:
    decision = decide_one(facts, of)

    assert decision.code is code
    assert sentences.decision_sentence(decision) == sentence
    assert decision.upgrades is (code in GOING)
    assert (decision.deciding is None) is decision.upgrades


def test_p2_every_code_is_tried_here_and_has_words_and_a_look() -> None:
    assert [case[0] for case in CASES] == list(Code)
    assert set(sentences.LOOKS) == set(Code)
    for look in sentences.LOOKS.values():
        assert str(look.label)
        assert isinstance(look.colour, Colour)
    assert set(sentences.RULE_TITLES) == set(Rule)


ALL_AT_ONCE: dict[str, Any] = {
    "host_enabled": False, "host_key_trusted": False, "needs_a_person": 77, "running": 78, "parked": {9: 79},
    "pauses": (pause(PauseKind.HOLD, ""), pause(PauseKind.FREEZE, "")), "windows": (window(14, 16),),
}  # fmt: skip
FAULTY = build(id=9, withdrawn=True, quarantined=True, artifact_present=False, smoke_passed=False, problems=(BLOCKER,))


def test_p2_all_reasons_that_hold_are_kept_in_the_order_of_the_rule() -> None:
    decision = decide_one(site(**PINNED | {"pin": 9}, **ALL_AT_ONCE, reported="4.3", key="43"), FAULTY)

    kept = [check.code for check in decision.checks if not check.passed]
    assert kept == [
        Code.TARGET_WITHDRAWN, Code.QUARANTINED, Code.ARTIFACT_MISSING, Code.SMOKE_FAILED, Code.DOWNGRADE_REFUSED,
        Code.NEEDS_A_PERSON, Code.ON_HOLD, Code.FROZEN, Code.BLOCKED_BY_PROBLEM, Code.BLOCKED_BY_HALT, Code.PARKED,
        Code.OUTSIDE_WINDOW, Code.HOST_DISABLED, Code.HOST_KEY, Code.ALREADY_RUNNING,
    ]  # fmt: skip
    assert decision.code is kept[0]


@pytest.mark.parametrize(
    ("facts", "first"),
    [
        (site(**ALL_AT_ONCE, key=None), Code.VERSION_UNKNOWN),
        (site(**ALL_AT_ONCE, key="42"), Code.UP_TO_DATE),
        (site(**ALL_AT_ONCE, key="43"), Code.AHEAD),
        (site(**ALL_AT_ONCE, channel=Maturity.STABLE), Code.NO_BUILD),
        (site(**PINNED, **ALL_AT_ONCE), Code.NEEDS_A_PERSON),
    ],
)
def test_p2_the_first_reason_is_named(facts: SiteFacts, first: Code) -> None:
    assert decide_one(facts).code is first


NIGHT_ENDS = NOW + timedelta(hours=4)
OLD_PIN = site(**PINNED, reported="4.3", key="43", consent="43", goes_down=True)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (replace(OLD_PIN, consent=None), "was not allowed"),
        (replace(OLD_PIN, consent="44"), "was not allowed"),
        (replace(OLD_PIN, goes_down=False), "has no way down"),
    ],
)
def test_t4_a_downgrade_needs_consent_for_this_pair_and_a_recipe_with_a_way_down(facts: SiteFacts, why: str) -> None:
    decision = decide_one(facts)

    assert decision.code is Code.DOWNGRADE_REFUSED
    assert why in sentences.decision_sentence(decision)


def test_t4_t8_nobody_goes_back_over_a_stepping_stone() -> None:
    stone = build(id=2, version="4.2.5", key="425", stepping_stone=True)

    assert decide_one(OLD_PIN, ONE_PASSED, stone).code is Code.DOWNGRADE_REFUSED
    assert decide_one(OLD_PIN, ONE_PASSED, replace(stone, stepping_stone=False)).code is Code.DOWNGRADE


STONES = (
    build(id=2, version="4.1.5", key="415", maturity=Maturity.CANDIDATE, stepping_stone=True),
    build(id=3, version="4.1.9", key="419", maturity=Maturity.CANDIDATE, stepping_stone=True),
)


def test_t8_a_plan_passes_through_every_stepping_stone_in_order() -> None:
    decision = decide_one(site(), ONE_PASSED, *STONES)

    assert [leg.version for leg in decision.legs] == ["4.1.5", "4.1.9", "4.2"]
    assert sentences.decision_sentence(decision) == "Upgrades from 4.1 over 4.1.5, 4.1.9 to 4.2."
    assert sentences.check_sentence(decision.checks[1]).endswith("Every site passes through 4.1.5, 4.1.9.")
    assert decide_one(site(key="419", reported="4.1.9"), ONE_PASSED, *STONES).legs == (ONE_PASSED,)


def test_t8_a_leg_that_does_not_fit_the_window_waits_for_the_next_night() -> None:
    facts = site(windows=(window(12, 14),), needs=timedelta(minutes=50))

    decision = decide_one(facts, ONE_PASSED, *STONES, until=NIGHT_ENDS)

    assert [leg.version for leg in decision.legs] == ["4.1.5", "4.1.9"]
    assert sentences.decision_sentence(decision) == (
        "Upgrades from 4.1 to 4.1.9, on the way to 4.2. The rest of the way does not fit tonight."
    )


def test_t8_a_stepping_stone_that_cannot_be_installed_keeps_the_site_where_it_is() -> None:
    decision = decide_one(site(), ONE_PASSED, replace(STONES[0], artifact_present=False))

    assert decision.code is Code.ARTIFACT_MISSING
    assert "4.1.5" in sentences.decision_sentence(decision)


def test_t8_r9_nobody_sets_out_for_a_target_that_cannot_be_reached_later() -> None:
    """Less time in its window makes no difference: the part of the way that fits is not gone alone."""
    short = site(**PINNED, windows=(window(12, 13),), needs=timedelta(minutes=50))

    for withdrawn in (False, True):
        decision = decide_one(short, build(withdrawn=withdrawn), STONES[0], until=NIGHT_ENDS)
        assert decision.code is (Code.TARGET_WITHDRAWN if withdrawn else Code.UPGRADE)
    assert decide_one(replace(short, parked={1: 79}), ONE_PASSED, STONES[0], until=NIGHT_ENDS).code is Code.PARKED
    assert decide_one(short, build(problems=(BLOCKER,)), STONES[0]).code is Code.BLOCKED_BY_PROBLEM


def test_t2_a_pin_that_is_over_by_its_turn_means_the_channel() -> None:
    pin = build(id=2, version="4.1.1", key="411", maturity=Maturity.CANDIDATE)
    on_date = site(channel=None, pin=2, pin_ends=PinEnd.ON_DATE, pin_until=NOW, pin_then=Maturity.RELEASE)

    over = decide_one(on_date, ONE_PASSED, pin)
    assert (over.to, over.channel) == (ONE_PASSED, Maturity.RELEASE)
    assert sentences.check_sentence(over.checks[1]).startswith("The pin to 4.1.1 is over. Follows release.")
    assert decide_one(replace(on_date, pin_until=NOW + timedelta(seconds=1)), ONE_PASSED, pin).to == pin
    assert decide_one(replace(on_date, pin_ends=PinEnd.CAUGHT_UP), ONE_PASSED, pin).to == ONE_PASSED
    assert decide_one(replace(on_date, pin_ends=PinEnd.CAUGHT_UP), pin).to == pin


def test_p1_a_pin_or_a_freeze_that_ends_during_the_night_counts_when_the_turn_comes() -> None:
    ends = NOW + timedelta(hours=2)
    frozen = (Pause(PauseKind.FREEZE, 5, Span(NOW, ends), "", "all sites"),)
    pinned = site(
        channel=None, pin=2, pin_ends=PinEnd.ON_DATE, pin_until=ends, pin_then=Maturity.RELEASE, pauses=frozen
    )
    pin = build(id=2, version="4.1", key="41", maturity=Maturity.CANDIDATE)

    decision = decide_one(pinned, ONE_PASSED, pin, until=NIGHT_ENDS)

    assert (decision.code, decision.to, decision.opens_at) == (Code.UPGRADE, ONE_PASSED, ends)


def test_p1_p8_a_pin_that_ends_during_the_night_lets_the_site_go_from_then_on_frozen_until_then_or_not() -> None:
    ends = NOW + timedelta(hours=2)
    pinned = site(channel=None, pin=2, pin_ends=PinEnd.ON_DATE, pin_until=ends, pin_then=Maturity.RELEASE)
    pin = build(id=2, version="4.1", key="41", maturity=Maturity.CANDIDATE)

    decision = decide_one(pinned, ONE_PASSED, pin, until=NIGHT_ENDS)

    assert (decision.code, decision.to, decision.opens_at) == (Code.UPGRADE, ONE_PASSED, ends)
    assert decide_one(pinned, ONE_PASSED, pin, until=ends).code is Code.UP_TO_DATE
    assert decide_one(pinned, ONE_PASSED, replace(pin, version="4.1.1", key="411"), until=NIGHT_ENDS).opens_at == NOW


def test_r10_the_plan_promotes_first_what_the_night_will_promote() -> None:
    soaked = build(maturity=Maturity.BETA, since=NOW - timedelta(days=1))
    policies = {channel: ChannelPolicy(timedelta(days=2 if channel is Maturity.RELEASE else 0)) for channel in CHANNELS}
    automatic = policies | {Maturity.RELEASE: ChannelPolicy(timedelta(days=2), automatic=True)}

    facts = facts_of(site(), builds=(soaked,), channels=automatic)
    assert plan(facts, NOW)[0].code is Code.NO_BUILD
    assert plan(facts, NOW + timedelta(days=1))[0].code is Code.UPGRADE
    assert plan(replace(facts, channels=policies), NOW + timedelta(days=1))[0].code is Code.NO_BUILD


@pytest.mark.parametrize(
    ("rule", "facts", "said"),
    [
        (Rule.PAUSE, site(pauses=(pause(PauseKind.HOLD, "Audit"),)), "On hold until 24 Nov 12:00: “Audit”."),
        (Rule.WINDOW, site(windows=(window(14, 16),)), "No window of the site opens then."),
        (
            Rule.PARKED,
            site(parked={1: 79}),
            "4.2 did not succeed on this site in upgrade 79. It waits until a person retries.",
        ),
    ],
)
def test_p8_what_a_person_sets_aside_is_kept_and_lets_the_site_go(rule: Rule, facts: SiteFacts, said: str) -> None:
    decision = decide_one(facts, waived=frozenset({rule}))

    assert decision.code is Code.UPGRADE
    assert f"{said} A person set this aside for this run." in map(sentences.check_sentence, decision.checks)


def test_r7_an_acknowledged_blocker_or_a_switched_off_setting_holds_nobody() -> None:
    accepted = build(problems=(replace(BLOCKER, acknowledged=True),))

    assert decide_one(site(), accepted).upgrades
    assert decide_one(site(), build(problems=(BLOCKER,)), hold_on_blockers=False).upgrades
    assert decide_one(site(), build(problems=(replace(BLOCKER, severity=Severity.MINOR),))).upgrades


def test_p4_the_plan_places_each_site_that_goes_in_a_wave() -> None:
    sites = [site(id=number, slug=f"live-{number}") for number in range(1, 5)]
    sites += [site(id=5, slug="test", live=False), site(id=6, slug="held", pauses=(pause(PauseKind.HOLD, ""),))]
    facts = facts_of(*sites, rollout=Rollout(canaries=25, sizes=parse_sizes("2")))

    planned = plan(facts, NOW)

    assert [one.wave for one in planned] == [1, 2, 3, 3, 4, None]
    assert not planned[0].site.live


def test_p4_a_hold_that_ends_in_the_night_makes_no_canaries_of_its_own() -> None:
    held = Pause(PauseKind.HOLD, 5, Span(NOW - timedelta(hours=1), NOW + timedelta(minutes=73)), "")
    sites = [site(id=number, slug=f"live-{number}") for number in range(1, 6)]
    sites.append(site(id=6, slug="live-6", pauses=(held,)))

    planned, waves = plan_with_waves(facts_of(*sites, rollout=Rollout(canaries=20)), NOW, NIGHT_ENDS)

    assert [(wave.kind, len(wave.sites)) for wave in waves] == [("canary", 2), ("rest", 4)]
    assert {one.opens_at for one in planned if one.site.id == 6} == {NOW + timedelta(minutes=73)}


def test_t4_a_pin_to_what_runs_is_no_downgrade() -> None:
    decision = decide_one(site(**PINNED, key="42", reported="4.2"))

    assert [check.code for check in decision.checks if not check.passed] == [Code.UP_TO_DATE]
    assert sentences.decision_sentence(decision) == "Pinned to 4.2 and runs it."


def test_r9_a_site_that_runs_the_withdrawn_build_it_is_pinned_to_is_up_to_date_and_the_fault_is_kept() -> None:
    decision = decide_one(site(**PINNED, key="42", reported="4.2"), build(withdrawn=True))

    assert decision.code is Code.UP_TO_DATE
    assert Code.TARGET_WITHDRAWN in [check.code for check in decision.checks]


def test_r9_nobody_goes_back_when_the_build_they_run_is_withdrawn() -> None:
    older = build(id=2, version="4.1", key="41")

    decision = decide_one(site(key="42", reported="4.2"), build(withdrawn=True), older)

    assert (decision.code, decision.to) == (Code.AHEAD, older)


def test_t5_t6_a_channel_never_downgrades_and_an_empty_one_keeps_the_site() -> None:
    assert not decide_one(site(key="43", reported="4.3")).upgrades
    assert decide_one(site(channel=Maturity.STABLE)).to is None


def test_p3_p10_a_version_that_cannot_be_read_is_never_called_older() -> None:
    for facts in (site(reported="<html>", key=None), site(**PINNED, reported="", key=None)):
        decision = decide_one(facts)
        words = " ".join(sentences.check_sentence(check) for check in decision.checks)
        assert decision.code is Code.VERSION_UNKNOWN
        assert "older" not in words
        assert "<html>" not in words


def test_p2_a_page_why_has_a_line_for_each_rule_looked_at() -> None:
    decision = decide_one(site())

    assert [sentences.check_sentence(check) for check in decision.checks] == [
        "The site reports 4.1.",
        "Follows release. Its build is 4.2, and 4.1 is older.",
        "4.2 passed its smoke tests, is not withdrawn, and its artefact is there.",
        "No earlier upgrade waits for a person.",
        "No hold and no freeze.",
        "No open blocker, and no run was halted by it.",
        "web1 is switched on and its key is approved.",
    ]


VALUES = {
    "from": "4.1", "to": "4.2", "step": "health check", "host": "web1", "text": "Connection refused.",
    "who": "Ada", "why": "No.", "reported": "4.1", "leg": 1, "before": "Switch", "site": "acme-live",
}  # fmt: skip


@pytest.mark.parametrize("code", EndCode)
@pytest.mark.parametrize("outcome", Outcome)
def test_u2_every_way_to_end_has_words(outcome: Outcome, code: EndCode) -> None:
    sentence = sentences.end_sentence(outcome, code, VALUES)

    assert sentence.endswith(".")
    assert "%(" not in sentence
    assert str(outcome.label)
    assert isinstance(outcome.colour, Colour)
    assert set(sentences.END_SENTENCES) == set(EndCode)
    assert set(sentences.STANDING) == set(Outcome)


def test_the_fingerprint_of_a_plan_changes_with_what_a_person_was_shown_and_with_nothing_else() -> None:
    """P1: a preview and the run that follows it agree, or the form that carried the preview does nothing."""
    sites = [site(), site(id=2, slug="store")]
    shown = [decide_one(one) for one in sites]
    assert fingerprint(shown) == fingerprint(reversed(shown))
    assert fingerprint(shown) == fingerprint([decide_one(replace(one, host="web2")) for one in sites])
    others = [
        shown[:1],
        [shown[0], decide_one(site(id=2, reported="4.0", key="40"))],
        [shown[0], decide_one(site(id=2), build(version="4.2.1"))],
        [shown[0], decide_one(site(id=2, needs_a_person=7))],
    ]
    assert len({fingerprint(each) for each in [shown, *others]}) == 5


def test_u2_what_a_host_or_a_site_did_not_tell_is_said_so() -> None:
    values = {"from": "1.0", "to": "2.0", "step": "", "reported": "", "host": "app-1"}
    gone = sentences.end_sentence(Outcome.FAILED_CLEAN, EndCode.RUNNER_GONE, values)
    assert gone.startswith("The upgrade stopped on the host during its first moments without an end.")
    mute = sentences.end_sentence(Outcome.NEEDS_A_PERSON, EndCode.OTHER_VERSION, values)
    assert mute.startswith("Every step passed, but the site reports no version, not 2.0.")
