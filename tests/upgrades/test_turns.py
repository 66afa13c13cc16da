"""P6, P8: when the turn of a site may come, by windows, holds, freezes and what an upgrade needs."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from instances.pauses import Pause, PauseKind
from instances.windows import Span, Window
from upgrades.turns import next_turn, turn_of

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
NO_TIME = timedelta(0)
ALWAYS = frozenset(range(7))


def at(hour: float, day: int = 0) -> datetime:
    return MONDAY + timedelta(days=day, hours=hour)


def window(start: int, end: int, *, zone: str = "UTC", days: frozenset[int] = ALWAYS) -> Window:
    return Window(days, time(start), time(end), ZoneInfo(zone))


def hold(start: float, end: float) -> Pause:
    return Pause(PauseKind.HOLD, 1, Span(at(start), at(end)), "")


def test_p6_without_a_window_the_turn_comes_when_the_night_starts() -> None:
    turn = turn_of((), (), timedelta(hours=9), at(1), at(5))

    assert (turn.opens_at, turn.opens, turn.fits) == (at(1), True, True)


def test_p6_the_turn_comes_when_the_first_of_its_windows_opens() -> None:
    windows = (window(4, 6), window(2, 3), window(0, 1))

    assert turn_of(windows, (), NO_TIME, at(1), at(5)).opens_at == at(2)
    assert turn_of((window(0, 3),), (), NO_TIME, at(1), at(5)).opens_at == at(1)
    assert turn_of((window(22, 2),), (), NO_TIME, at(1), at(5)).opens_at == at(1)


def test_p6_the_start_is_inside_and_the_end_is_not() -> None:
    assert turn_of((window(1, 2),), (), NO_TIME, at(1), None).opens_at == at(1)
    assert turn_of((window(0, 1),), (), NO_TIME, at(1), None).opens_at is None
    assert turn_of((window(5, 6),), (), NO_TIME, at(1), at(5)).opens_at is None


@pytest.mark.parametrize(("minutes", "fits"), [(60, True), (61, False)])
def test_p6_an_upgrade_begins_only_if_it_fits_the_window(minutes: int, fits: bool) -> None:
    turn = turn_of((window(1, 2),), (), timedelta(minutes=minutes), at(1), at(5))

    assert (turn.opens_at is not None, turn.fits, turn.opens) == (fits, fits, True)


def test_p6_windows_that_touch_are_one_and_an_upgrade_may_outlast_the_night() -> None:
    assert turn_of((window(1, 2), window(2, 3)), (), timedelta(hours=2), at(1), at(5)).opens_at == at(1)
    assert turn_of((window(4, 7),), (), timedelta(hours=3), at(1), at(5)).opens_at == at(4)


def test_p6_a_window_of_another_weekday_does_not_open() -> None:
    turn = turn_of((window(1, 4, days=frozenset({2})),), (), NO_TIME, at(1), at(5))

    assert (turn.opens_at, turn.opens, turn.fits) == (None, False, False)


def test_p8_a_pause_moves_the_turn_to_its_end() -> None:
    assert turn_of((), (hold(0, 2),), NO_TIME, at(1), at(5)).opens_at == at(2)
    assert turn_of((), (hold(0, 2), hold(1.5, 3)), NO_TIME, at(1), at(5)).opens_at == at(3)
    assert turn_of((), (hold(3, 9),), NO_TIME, at(1), at(5)).opens_at == at(1)


def test_p8_pauses_that_leave_no_moment_are_named_and_others_are_not() -> None:
    covering, later = hold(0, 9), hold(6, 9)

    turn = turn_of((window(2, 3),), (covering, later), NO_TIME, at(1), at(5))

    assert (turn.opens_at, turn.fits, turn.paused_by) == (None, True, (covering,))


def test_p8_a_pause_beside_a_closed_window_is_named_when_it_is_on_at_the_start() -> None:
    turn = turn_of((window(8, 9),), (hold(0, 2), hold(3, 4)), NO_TIME, at(1), at(5))

    assert (turn.opens, turn.paused_by) == (False, (hold(0, 2),))


def test_p6_what_does_not_fit_tonight_says_when_it_will() -> None:
    nights = [Span(at(1, day), at(5, day)) for day in range(1, 9)]
    thursdays = (window(2, 4, days=frozenset({3})),)

    assert next_turn(thursdays, (), NO_TIME, nights) == at(2, 3)
    assert next_turn(thursdays, (hold(0, 24 * 4),), NO_TIME, nights) is None
    assert next_turn((), (), NO_TIME, []) is None


def test_p4_windows_in_far_apart_zones_open_at_their_own_time() -> None:
    dublin, portland = window(1, 4, zone="Europe/Dublin"), window(0, 3, zone="America/Los_Angeles")

    assert turn_of((dublin,), (), NO_TIME, at(0), at(12)).opens_at == at(1)
    assert turn_of((portland,), (), NO_TIME, at(0), at(12)).opens_at == at(8)


def test_p6_a_hold_until_the_very_end_of_a_window_leaves_no_moment_of_it() -> None:
    """The end is not inside."""
    turn = turn_of((window(2, 4),), (hold(1, 4),), NO_TIME, at(1), at(5))

    assert turn.opens_at is None
    assert [pause.span for pause in turn.paused_by] == [hold(1, 4).span]
