"""P4: test sites first, then canaries, then the rest; each window with waves of its own."""

from datetime import timedelta

import pytest

from tests.factories import NOW
from upgrades.waves import Candidate, Rollout, WaveKind, WaveSize, parse_sizes, waves_of

PORTLAND = NOW + timedelta(hours=7)


def live(number: int, *, canary: bool = False, later: bool = False) -> Candidate:
    return Candidate(number, f"site-{number:03}", True, canary, PORTLAND if later else NOW)


def test_p4_test_sites_come_first_then_canaries_then_the_rest() -> None:
    going = [live(number) for number in range(1, 11)] + [Candidate(99, "test", False, False, NOW)]

    waves = waves_of(going, Rollout(canaries=20, sizes=parse_sizes("3, 50 %")), "night")

    assert [(wave.number, wave.stage, wave.kind, len(wave.sites)) for wave in waves] == [
        (1, 0, WaveKind.TEST, 1), (2, 1, WaveKind.CANARY, 2), (3, 2, WaveKind.REST, 3), (4, 3, WaveKind.REST, 4),
        (5, 4, WaveKind.REST, 1),
    ]  # fmt: skip
    assert sorted(site for wave in waves for site in wave.sites) == sorted(one.id for one in going)


@pytest.mark.parametrize(
    ("share", "sites", "canaries"), [(10, 1, 1), (10, 10, 1), (10, 11, 2), (1, 300, 3), (100, 4, 4), (0, 4, 0)]
)
def test_p4_a_share_of_canaries_is_rounded_up_and_never_nothing(share: int, sites: int, canaries: int) -> None:
    waves = waves_of([live(number) for number in range(sites)], Rollout(canaries=share), "night")

    assert sum(len(wave.sites) for wave in waves if wave.kind is WaveKind.CANARY) == canaries


def test_p4_tagged_canaries_come_first_and_all_of_them_count() -> None:
    going = [live(1), live(2), live(3, canary=True), live(4, canary=True), live(5)]

    assert waves_of(going, Rollout(), "night")[0].sites == (3, 4)
    assert waves_of(going, Rollout(canaries=20), "night")[0].sites == (3, 4)
    assert set(waves_of(going, Rollout(canaries=60), "night")[0].sites) > {3, 4}


def test_p4_canaries_are_drawn_anew_each_night_and_the_same_for_whoever_asks() -> None:
    going = [live(number) for number in range(40)]

    drawn = {night: waves_of(going, Rollout(canaries=10), night)[0].sites for night in ("22 Nov", "23 Nov")}

    assert drawn["22 Nov"] != drawn["23 Nov"]
    assert waves_of(list(reversed(going)), Rollout(canaries=10), "22 Nov")[0].sites == drawn["22 Nov"]


def test_p4_each_window_has_canaries_of_its_own() -> None:
    going = [live(number, later=number % 2 == 0) for number in range(1, 9)]

    waves = waves_of(going, Rollout(canaries=25), "night")

    assert [(wave.stage, wave.opens_at, len(wave.sites)) for wave in waves] == [
        (1, NOW, 1), (1, PORTLAND, 1), (2, NOW, 3), (2, PORTLAND, 3),
    ]  # fmt: skip


def test_p4_a_wave_that_would_be_empty_is_none() -> None:
    assert waves_of([], Rollout(canaries=10), "night") == []
    assert [wave.kind for wave in waves_of([live(1)], Rollout(canaries=10), "night")] == [WaveKind.CANARY]
    assert [len(wave.sites) for wave in waves_of([live(1), live(2)], Rollout(sizes=parse_sizes("5, 5")), "")] == [2]


def test_p4_sizes_are_numbers_or_shares() -> None:
    assert parse_sizes(" 5, 20 %,50% ") == (WaveSize(5), WaveSize(20, is_share=True), WaveSize(50, is_share=True))
    assert parse_sizes("") == ()
    assert [str(size) for size in parse_sizes("5,20%")] == ["5", "20 %"]


@pytest.mark.parametrize("text", ["0", "-1", "0 %", "101 %", "five", "5 5", "1.5", "5;6"])
def test_p4_anything_else_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match="Accepted are numbers of sites and shares"):
        parse_sizes(text)
