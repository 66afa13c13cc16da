"""P5: when a run stops by itself, with the arithmetic at the edges."""

import pytest

from upgrades.halting import HaltCode, Limits, WaveSoFar, judge_run, most_allowed
from upgrades.waves import WaveKind


def rest(planned: int, failed: int = 0, unreachable: int = 0) -> WaveSoFar:
    return WaveSoFar(3, WaveKind.REST, planned, failed, unreachable)


@pytest.mark.parametrize(
    ("share", "minimum", "planned", "failed", "halts"),
    [
        (20, 1, 5, 1, False),  # exactly the share goes on
        (20, 1, 5, 2, True),
        (10, 2, 10, 1, False),
        (10, 2, 10, 2, True),
        (10, 2, 20, 2, False),
        (10, 2, 21, 3, True),
        (10, 2, 1, 1, False),  # a wave of one has not the least number
        (10, 1, 1, 1, True),
        (0, 1, 100, 1, True),
        (100, 1, 4, 4, False),
        (10, 2, 0, 0, False),
    ],
)
def test_p5_a_wave_halts_strictly_above_the_share_and_from_the_least_number_on(
    share: int, minimum: int, planned: int, failed: int, halts: bool
) -> None:
    limits = Limits(share, minimum)

    halt = judge_run([rest(planned, failed)], [], limits)

    assert (halt is not None) is halts
    assert (failed > most_allowed(planned, limits)) is halts
    if halt:
        assert (halt.code, halt.wave) == (HaltCode.SHARE, 3)
        assert halt.values["limit"] == most_allowed(planned, limits)


def test_p5_the_first_canary_that_fails_halts() -> None:
    canaries = WaveSoFar(2, WaveKind.CANARY, 50, failed=1)

    halt = judge_run([canaries], [], Limits())

    assert halt
    assert (halt.code, halt.values["limit"]) == (HaltCode.CANARY, 0)
    assert judge_run([canaries], [], Limits(canaries=2)) is None


def test_p5_equal_failures_halt_wherever_they_happened() -> None:
    assert judge_run([rest(100, 2)], ["a", "a", "b", "", "", ""], Limits()) is None

    halt = judge_run([rest(100, 3)], ["a", "b", "a", "a"], Limits())

    assert halt
    assert (halt.code, halt.wave, halt.values) == (HaltCode.SAME_FAILURE, None, {"number": 3, "fingerprint": "a"})


@pytest.mark.parametrize(
    ("planned", "unreachable", "halts"), [(4, 2, False), (4, 3, True), (6, 3, False), (2, 2, False), (3, 3, True)]
)
def test_p5_unreachable_sites_count_apart_and_more_than_half_of_a_wave_is_an_incident(
    planned: int, unreachable: int, halts: bool
) -> None:
    halt = judge_run([rest(planned, 0, unreachable)], [], Limits())

    assert (halt.code if halt else None) == (HaltCode.UNREACHABLE if halts else None)


def test_p5_t8_sites_that_go_in_legs_are_an_incident_by_their_number() -> None:
    wave = WaveSoFar(3, WaveKind.REST, planned=8, unreachable=4, sites=4)

    halt = judge_run([wave], [], Limits())

    assert halt
    assert halt.code is HaltCode.UNREACHABLE
