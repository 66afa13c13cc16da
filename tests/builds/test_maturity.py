"""R4, R6, R7, R8, R10, R11: what a channel resolves to, and the one judgement of a promotion."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builds import sentences
from builds.choices import DEFAULT_SOAK_DAYS, Smoke
from builds.maturity import (
    CHANNELS,
    BuildFacts,
    ChannelPolicy,
    GateCode,
    Judgement,
    Maturity,
    Override,
    ProblemFacts,
    Severity,
    automatic_promotions,
    channel_named,
    judge,
    resolve,
)
from builds.models import Build
from tests.factories import NOW, make_build

POLICIES = {channel: ChannelPolicy(timedelta(days=DEFAULT_SOAK_DAYS[channel.channel])) for channel in CHANNELS}
FORTNIGHT = timedelta(days=14)


def facts(version: str = "4.2.1", /, **values: object) -> BuildFacts:
    standard: dict[str, object] = {
        "id": 1, "version": version, "key": version, "maturity": Maturity.RELEASE, "since": NOW, "smoke_passed": True,
    }  # fmt: skip
    return BuildFacts(**standard | values)  # type: ignore[arg-type]


def blocker(number: int, *, acknowledged: bool = False) -> ProblemFacts:
    return ProblemFacts(number, Severity.BLOCKER, "Loses attachments", acknowledged)


def minor(number: int, *, acknowledged: bool = False) -> ProblemFacts:
    return ProblemFacts(number, Severity.MINOR, "Typing error", acknowledged)


def judged(build: BuildFacts, to: Maturity, now: datetime, *others: BuildFacts, **policies: ChannelPolicy) -> Judgement:
    """With the standard soak times, but for the channels named."""
    channels = POLICIES | {channel_named(name): policy for name, policy in policies.items()}
    return judge(build, to, channels, now, [build, *others])


def test_r4_the_order_of_maturity_and_the_names_of_channels() -> None:
    assert [stage.name for stage in sorted(Maturity)] == ["CANDIDATE", "ALPHA", "BETA", "RELEASE", "STABLE"]
    assert [channel_named(channel.channel) for channel in CHANNELS] == list(CHANNELS)
    with pytest.raises(KeyError):
        channel_named("candidate")


def test_r4_a_site_on_beta_takes_a_newer_stable_build_and_one_on_stable_never_a_beta_one() -> None:
    stable = facts("4.2.2", id=2, maturity=Maturity.STABLE)
    beta = facts("4.2.1", id=1, maturity=Maturity.BETA)
    newer_beta = facts("4.2.3", id=3, maturity=Maturity.BETA)

    assert resolve([beta, stable], Maturity.BETA) == stable
    assert resolve([beta, stable, newer_beta], Maturity.BETA) == newer_beta
    assert resolve([beta, stable, newer_beta], Maturity.STABLE) == stable
    assert resolve([beta], Maturity.STABLE) is None


@pytest.mark.parametrize("fault", [{"withdrawn": True}, {"quarantined": True}, {"smoke_passed": False}])
def test_r4_a_channel_passes_over_what_may_not_be_installed(fault: dict[str, bool]) -> None:
    good = facts("4.2.1")

    assert resolve([good, facts("4.2.2", id=2, **fault)], Maturity.RELEASE) == good


random_builds = st.lists(
    st.fixed_dictionaries(
        {
            "maturity": st.sampled_from(list(Maturity)),
            "smoke": st.sampled_from([Smoke.PASSED, Smoke.PASSED, Smoke.FAILED, Smoke.RUNNING, Smoke.VOID]),
            "withdrawn": st.sampled_from([False, False, True]),
            "quarantined": st.sampled_from([False, False, True]),
            "patch": st.integers(0, 200),
        }
    ),
    max_size=8,
    unique_by=lambda build: build["patch"],
)


@pytest.mark.django_db
@given(random_builds)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_r4_the_database_resolves_as_the_pure_function_does(drawn: list[dict[str, object]]) -> None:
    Build.objects.all().delete()
    for one in drawn:
        make_build(
            f"4.2.{one['patch']}",
            maturity=Maturity(one["maturity"]),  # type: ignore[arg-type]
            smoke=one["smoke"],
            quarantined_at=NOW if one["quarantined"] else None,
            **{"withdrawn_at": NOW} if one["withdrawn"] else {},
        )
    every = [build.facts() for build in Build.objects.all()]

    for channel in CHANNELS:
        first = Build.objects.eligible_for(channel).first()
        found = resolve(every, channel)
        assert (first and first.pk) == (found and found.id)


@pytest.mark.parametrize(
    ("late", "allowed"),
    [(timedelta(seconds=-1), False), (timedelta(0), True), (timedelta(seconds=1), True)],
)
def test_r6_fourteen_days_are_inclusive_to_the_second(late: timedelta, allowed: bool) -> None:
    judgement = judged(facts(since=NOW), Maturity.STABLE, NOW + FORTNIGHT + late)

    assert judgement.allowed is allowed
    assert timedelta(days=14) == timedelta(hours=336)


def test_r11_when_is_the_moment_at_which_the_clock_alone_opens_the_gate() -> None:
    judgement = judged(facts(since=NOW), Maturity.STABLE, NOW + timedelta(days=3))

    assert not judgement.allowed
    assert judgement.when == NOW + FORTNIGHT
    assert judged(judgement.build, Maturity.STABLE, judgement.when).allowed


def test_r11_when_is_unknown_while_something_else_must_happen_first() -> None:
    """The clock of stable does not run for a build in beta, nor for one that is withdrawn or failed."""
    beta = judged(facts(maturity=Maturity.BETA), Maturity.STABLE, NOW + FORTNIGHT)
    withdrawn = judged(facts(withdrawn=True), Maturity.STABLE, NOW + FORTNIGHT)
    failed = judged(facts(smoke_passed=False), Maturity.STABLE, NOW + FORTNIGHT)

    for judgement in (beta, withdrawn, failed):
        assert not judgement.allowed
        assert judgement.when is None
        assert "starts when 4.2.1 is in release" in _soak_detail(judgement)


def _soak_detail(judgement: Judgement) -> str:
    gate = next(gate for gate in judgement.gates if gate.code is GateCode.SOAK and gate.soak)
    return sentences.gate_detail(gate, judgement)


def test_r6_a_soak_of_zero_passes_also_when_its_channel_was_skipped() -> None:
    candidate = facts(maturity=Maturity.CANDIDATE)

    assert judged(candidate, Maturity.RELEASE, NOW).allowed
    soak = ChannelPolicy(timedelta(days=3))
    assert not judged(candidate, Maturity.RELEASE, NOW + timedelta(days=300), release=soak).allowed


def test_r5_every_gate_on_the_way_must_pass() -> None:
    """Beta asks for a day in alpha: a candidate does not pass it by going straight to release."""
    day = ChannelPolicy(timedelta(days=1))
    judgement = judged(facts(maturity=Maturity.CANDIDATE), Maturity.RELEASE, NOW + timedelta(days=2), beta=day)

    assert [gate.into for gate in judgement.failing] == [Maturity.BETA]
    assert [gate.into for gate in judgement.gates if gate.code is GateCode.SOAK] == [
        Maturity.ALPHA,
        Maturity.BETA,
        Maturity.RELEASE,
    ]


@pytest.mark.parametrize("to", CHANNELS)
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"smoke_passed": False}, GateCode.SMOKE),
        ({"withdrawn": True}, GateCode.NOT_WITHDRAWN),
        ({"quarantined": True}, GateCode.NOT_QUARANTINED),
    ],
)
def test_r3_r9_what_may_not_be_installed_enters_no_channel(
    to: Maturity, fault: dict[str, bool], code: GateCode
) -> None:
    judgement = judged(facts(maturity=Maturity.CANDIDATE, **fault), to, NOW)

    assert judgement.failing[0].code is code


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (
            facts(smoke_passed=False),
            "4.2.1 cannot enter stable. The smoke tests of 4.2.1 have not passed. Report them as passed first.",
        ),
        (facts(withdrawn=True), "4.2.1 cannot enter stable. 4.2.1 was withdrawn. Register a newer build."),
        (
            facts(),
            "4.2.1 cannot enter stable. It needs 14 days in release: "
            "since 23 Nov 12:00, complete on 7 Dec 12:00.",
        ),
        (
            facts(maturity=Maturity.BETA),
            "4.2.1 cannot enter stable. It needs 14 days in release: the clock starts when 4.2.1 is in release.",
        ),
    ],
)  # fmt: skip
def test_r11_a_refusal_says_why_and_when(build: BuildFacts, sentence: str) -> None:
    assert sentences.refusal(judged(build, Maturity.STABLE, NOW + timedelta(days=1))) == sentence


def test_r11_every_gate_has_words_whether_it_passes_or_not() -> None:
    broken = facts(
        smoke_passed=False, withdrawn=True, quarantined=True, archived=True, problems=(blocker(1), minor(2))
    )  # fmt: skip
    seen = set()
    for build in (facts(), broken):
        judgement = judged(build, Maturity.STABLE, NOW + FORTNIGHT)
        for gate in judgement.gates:
            seen.add(gate.code)
            assert sentences.gate_title(gate)
            assert gate.passed or sentences.gate_detail(gate, judgement).endswith(".")
    assert seen == set(GateCode)


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (timedelta(days=1), "1 day"),
        (timedelta(days=14), "14 days"),
        (timedelta(hours=36), "36 hours"),
        (timedelta(minutes=10), "10 minutes"),
    ],
)
def test_a_soak_time_reads_in_days_hours_or_minutes(duration: timedelta, words: str) -> None:
    assert sentences.in_days(duration) == words


def test_r6_the_clock_is_not_stopped_by_newer_builds() -> None:
    """The judgement of a build looks at that build alone."""
    old = facts("4.2.1")

    assert judged(replace(old, id=9), Maturity.STABLE, NOW + FORTNIGHT).allowed


def failing(judgement: Judgement) -> list[GateCode]:
    return [gate.code for gate in judgement.failing]


AT_ITS_END = NOW + FORTNIGHT


@pytest.mark.parametrize("to", [Maturity.RELEASE, Maturity.STABLE])
@pytest.mark.parametrize("acknowledged", [False, True])
def test_r7_an_open_blocker_stops_promotion_to_release_and_stable_acknowledged_or_not(
    to: Maturity, acknowledged: bool
) -> None:
    build = facts(maturity=to.before, problems=(blocker(118, acknowledged=acknowledged),))

    judgement = judged(build, to, AT_ITS_END)

    assert failing(judgement) == [GateCode.NO_BLOCKERS]
    assert judgement.when is None
    assert sentences.refusal(judgement) == (
        f"4.2.1 cannot enter {to.channel}. Open on 4.2.1: P-118 Loses attachments (blocker)."
    )


@pytest.mark.parametrize("to", [Maturity.ALPHA, Maturity.BETA])
def test_r7_a_blocker_does_not_stop_promotion_to_alpha_and_beta(to: Maturity) -> None:
    assert judged(facts(maturity=Maturity.CANDIDATE, problems=(blocker(118), minor(119))), to, NOW).allowed


def test_r7_a_blocker_that_the_channels_build_has_too_is_a_warning_to_acknowledge() -> None:
    head = facts("4.2.0", id=2, maturity=Maturity.STABLE, problems=(blocker(118, acknowledged=True),))
    same, new = blocker(118), blocker(120)

    shared = judged(facts(problems=(same,)), Maturity.STABLE, AT_ITS_END, head)
    accepted = judged(facts(problems=(blocker(118, acknowledged=True),)), Maturity.STABLE, AT_ITS_END, head)
    worse = judged(facts(problems=(same, new)), Maturity.STABLE, AT_ITS_END, head)

    assert failing(shared) == [GateCode.ACKNOWLEDGED]
    assert sentences.refusal(shared) == (
        "4.2.1 cannot enter stable. Acknowledge for 4.2.1: P-118 Loses attachments (blocker)."
    )
    assert accepted.allowed
    assert failing(worse) == [GateCode.NO_BLOCKERS, GateCode.ACKNOWLEDGED]
    assert worse.failing[0].problems == (new,)


def test_r7_skipping_to_stable_a_blocker_has_to_be_in_the_builds_of_release_and_of_stable() -> None:
    stable = facts("4.1", id=2, maturity=Maturity.STABLE)
    release = facts("4.2.0", id=3, maturity=Maturity.RELEASE, problems=(blocker(118),))
    build = facts(maturity=Maturity.BETA, problems=(blocker(118, acknowledged=True),))
    at_once = ChannelPolicy()

    assert judged(build, Maturity.RELEASE, NOW, stable, release).allowed
    assert not judged(build, Maturity.STABLE, NOW, stable, release, stable=at_once).allowed
    assert judged(
        build, Maturity.STABLE, NOW, replace(stable, problems=(blocker(118),)), release, stable=at_once
    ).allowed


def test_r7_for_stable_each_minor_problem_is_acknowledged_by_its_number() -> None:
    build = facts(problems=(minor(118, acknowledged=True), minor(119), blocker(120, acknowledged=True)))
    head = facts("4.2.0", id=2, maturity=Maturity.STABLE, problems=(blocker(120),))

    judgement = judged(build, Maturity.STABLE, AT_ITS_END, head)

    (gate,) = judgement.failing
    assert gate.code is GateCode.ACKNOWLEDGED
    assert [problem.number for problem in gate.in_the_way] == [119]
    assert [problem.number for problem in gate.problems] == [119, 118, 120]
    assert judged(replace(build, maturity=Maturity.BETA), Maturity.RELEASE, NOW, head).allowed


def test_r8_an_override_covers_exactly_what_the_person_saw() -> None:
    build = facts(maturity=Maturity.RELEASE, problems=(blocker(118), minor(119)))
    judgement = judged(build, Maturity.STABLE, NOW)
    override = Override(judgement.keys, "They asked for it.")

    assert judgement.keys == {"soak:stable", "no_blockers:stable:118:blocker", "acknowledged:stable:119:minor"}
    assert judgement.overridable
    assert override.uncovered(judgement) == ()
    for later in (
        replace(build, problems=(*build.problems, blocker(120))),
        replace(build, problems=(*build.problems, minor(120))),
        replace(build, problems=(blocker(118), blocker(119))),
    ):
        assert len(override.uncovered(judged(later, Maturity.STABLE, NOW))) == 1
    assert override.uncovered(judged(replace(build, maturity=Maturity.BETA), Maturity.RELEASE, NOW))


@pytest.mark.parametrize(
    "fault", [{"smoke_passed": False}, {"withdrawn": True}, {"quarantined": True}, {"archived": True}]
)
def test_r8_nobody_overrides_what_may_not_be_installed(fault: dict[str, bool]) -> None:
    judgement = judged(facts(**fault), Maturity.STABLE, AT_ITS_END)

    assert not judgement.overridable
    assert [gate.overridable for gate in Override(judgement.keys, "Please.").uncovered(judgement)] == [False]


AUTOMATIC = {channel: replace(policy, automatic=True) for channel, policy in POLICIES.items()}


def promoted(*builds: BuildFacts, at: datetime = AT_ITS_END, **off: bool) -> list[tuple[str, str]]:
    channels = AUTOMATIC | {channel_named(name): POLICIES[channel_named(name)] for name in off}
    _after, moves = automatic_promotions({build.id: build for build in builds}, channels, at)
    return [(move.build.version, move.to.channel) for move in moves]


def test_r10_is_off_by_default() -> None:
    build = facts()

    assert automatic_promotions({1: build}, POLICIES, AT_ITS_END) == ({1: build}, [])


def test_r10_promotes_the_newest_that_passes_every_gate_when_its_soak_is_over_and_not_before() -> None:
    old, new, newest = facts("4.2.1"), facts("4.2.2", id=2), facts("4.2.3", id=3, since=NOW + timedelta(days=1))

    assert promoted(old, new, newest) == [("4.2.2", "stable")]
    assert promoted(old, new, newest, at=AT_ITS_END - timedelta(seconds=1)) == []


def test_r10_a_build_climbs_step_by_step_and_starts_each_stay_at_that_moment() -> None:
    build = facts(maturity=Maturity.CANDIDATE)

    after, moves = automatic_promotions({1: build}, AUTOMATIC, AT_ITS_END)

    assert [move.to for move in moves] == [Maturity.ALPHA, Maturity.BETA, Maturity.RELEASE]
    assert after == {1: replace(build, maturity=Maturity.RELEASE, since=AT_ITS_END)}
    assert promoted(build, beta=False) == [("4.2.1", "alpha")]


@pytest.mark.parametrize(
    "held",
    [
        {"sent_back": True}, {"was_dismissed": True}, {"withdrawn": True}, {"smoke_passed": False},
        {"problems": (blocker(118),)}, {"problems": (minor(118),)}, {"problems": (blocker(118, acknowledged=True),)},
    ],
)  # fmt: skip
def test_r7_r10_what_needs_a_person_is_passed_over(held: dict[str, object]) -> None:
    assert promoted(facts("4.2.2", **held), facts("4.2.1", id=2)) == [("4.2.1", "stable")]


def test_r7_r10_what_was_acknowledged_beforehand_goes_on() -> None:
    assert promoted(facts(problems=(minor(118, acknowledged=True),))) == [("4.2.1", "stable")]


def test_r10_a_build_older_than_the_channels_is_left_to_the_button() -> None:
    head = facts("4.2.2", id=2, maturity=Maturity.STABLE)

    assert promoted(facts(), head) == []
    assert judged(facts(), Maturity.STABLE, AT_ITS_END, head).allowed


def test_r10_a_build_that_was_moved_back_is_sent_back_and_one_moved_on_is_not() -> None:
    back = facts().moved(Maturity.BETA, AT_ITS_END)

    assert (back.maturity, back.since, back.sent_back) == (Maturity.BETA, AT_ITS_END, True)
    assert not back.moved(Maturity.RELEASE, AT_ITS_END).sent_back


random_facts = st.builds(
    facts,
    st.sampled_from(["4.2.1", "4.2.2", "4.2.3", "4.2.4"]),
    maturity=st.sampled_from(list(Maturity)),
    since=st.integers(0, 20).map(lambda days: NOW + timedelta(days=days)),
    smoke_passed=st.sampled_from([True, True, False]),
    withdrawn=st.sampled_from([False, False, True]),
    sent_back=st.sampled_from([False, False, True]),
    was_dismissed=st.sampled_from([False, False, True]),
    problems=st.lists(
        st.builds(ProblemFacts, st.integers(1, 3), st.sampled_from(Severity), acknowledged=st.booleans()),
        max_size=2, unique_by=lambda problem: problem.number,
    ).map(tuple),
)  # fmt: skip


@given(
    st.lists(random_facts, max_size=4, unique_by=lambda build: build.key),
    st.fixed_dictionaries({channel: st.builds(ChannelPolicy, st.sampled_from([timedelta(0), FORTNIGHT]), st.booleans())
                           for channel in CHANNELS}),
    st.integers(0, 40),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_r10_each_move_was_allowed_makes_the_channels_build_and_leads_to_what_is_said(
    drawn: list[BuildFacts], channels: dict[Maturity, ChannelPolicy], days: int
) -> None:
    builds = {number: replace(build, id=number) for number, build in enumerate(drawn)}
    now = NOW + timedelta(days=days)
    after, moves = automatic_promotions(builds, channels, now)
    assert (after, moves) == automatic_promotions(dict(reversed(builds.items())), channels, now)

    present = dict(builds)
    for move in moves:
        build = present[move.build.id]
        assert build == move.build
        assert build.maturity == move.to.before
        assert channels[move.to].automatic
        assert judge(build, move.to, channels, now, present.values()).allowed
        assert not build.sent_back
        assert not build.was_dismissed
        present[build.id] = build.moved(move.to, now)
        assert resolve(present.values(), move.to) == present[build.id]
    assert present == after
    assert len({move.to for move in moves}) == len(moves)
