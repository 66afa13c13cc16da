"""R4, R6, R11: what a channel resolves to, and the one judgement of a promotion."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builds import sentences
from builds.choices import DEFAULT_SOAK_DAYS, Smoke
from builds.maturity import CHANNELS, BuildFacts, GateCode, Judgement, Maturity, channel_named, judge, resolve
from builds.models import Build
from tests.factories import NOW, make_build

SOAKS = {channel: timedelta(days=DEFAULT_SOAK_DAYS[channel.channel]) for channel in CHANNELS}
FORTNIGHT = timedelta(days=14)


def facts(version: str = "4.2.1", /, **values: object) -> BuildFacts:
    standard: dict[str, object] = {
        "id": 1, "version": version, "key": version, "maturity": Maturity.RELEASE, "since": NOW, "smoke_passed": True,
    }  # fmt: skip
    return BuildFacts(**standard | values)  # type: ignore[arg-type]


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
    judgement = judge(facts(since=NOW), Maturity.STABLE, SOAKS, NOW + FORTNIGHT + late)

    assert judgement.allowed is allowed
    assert timedelta(days=14) == timedelta(hours=336)


def test_r11_when_is_the_moment_at_which_the_clock_alone_opens_the_gate() -> None:
    judgement = judge(facts(since=NOW), Maturity.STABLE, SOAKS, NOW + timedelta(days=3))

    assert not judgement.allowed
    assert judgement.when == NOW + FORTNIGHT
    assert judge(judgement.build, Maturity.STABLE, SOAKS, judgement.when).allowed


def test_r11_when_is_unknown_while_something_else_must_happen_first() -> None:
    """The clock of stable does not run for a build in beta, nor for one that is withdrawn or failed."""
    beta = judge(facts(maturity=Maturity.BETA), Maturity.STABLE, SOAKS, NOW + FORTNIGHT)
    withdrawn = judge(facts(withdrawn=True), Maturity.STABLE, SOAKS, NOW + FORTNIGHT)
    failed = judge(facts(smoke_passed=False), Maturity.STABLE, SOAKS, NOW + FORTNIGHT)

    for judgement in (beta, withdrawn, failed):
        assert not judgement.allowed
        assert judgement.when is None
        assert "starts when 4.2.1 is in release" in _soak_detail(judgement)


def _soak_detail(judgement: Judgement) -> str:
    gate = next(gate for gate in judgement.gates if gate.code is GateCode.SOAK and gate.soak)
    return sentences.gate_detail(gate, judgement)


def test_r6_a_soak_of_zero_passes_also_when_its_channel_was_skipped() -> None:
    candidate = facts(maturity=Maturity.CANDIDATE)

    assert judge(candidate, Maturity.RELEASE, SOAKS, NOW).allowed
    soaks = SOAKS | {Maturity.RELEASE: timedelta(days=3)}
    assert not judge(candidate, Maturity.RELEASE, soaks, NOW + timedelta(days=300)).allowed


def test_r5_every_gate_on_the_way_must_pass() -> None:
    """Beta asks for a day in alpha: a candidate does not pass it by going straight to release."""
    soaks = SOAKS | {Maturity.BETA: timedelta(days=1)}
    judgement = judge(facts(maturity=Maturity.CANDIDATE), Maturity.RELEASE, soaks, NOW + timedelta(days=2))

    assert [gate.into for gate in judgement.failing] == [Maturity.BETA]
    assert [gate.into for gate in judgement.gates[3:]] == [Maturity.ALPHA, Maturity.BETA, Maturity.RELEASE]


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
    judgement = judge(facts(maturity=Maturity.CANDIDATE, **fault), to, SOAKS, NOW)

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
    assert sentences.refusal(judge(build, Maturity.STABLE, SOAKS, NOW + timedelta(days=1))) == sentence


def test_r11_every_gate_has_words_whether_it_passes_or_not() -> None:
    for build in (facts(), facts(smoke_passed=False, withdrawn=True, quarantined=True)):
        judgement = judge(build, Maturity.STABLE, SOAKS, NOW + FORTNIGHT)
        assert {gate.code for gate in judgement.gates} == set(GateCode)
        for gate in judgement.gates:
            assert sentences.gate_title(gate)
            assert gate.passed or sentences.gate_detail(gate, judgement).endswith(".")


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

    assert judge(replace(old, id=9), Maturity.STABLE, SOAKS, NOW + FORTNIGHT).allowed
