"""P7: which nights there are, also when the clocks change."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upgrades.night import DAY, Timetable

ZONES = ["Europe/London", "America/New_York", "Australia/Lord_Howe"]
# Each zone's days in 2026 on which its clocks go forward and back.
CHANGES = [
    ("Europe/London", date(2026, 3, 29), date(2026, 10, 25)),
    ("America/New_York", date(2026, 3, 8), date(2026, 11, 1)),
    ("Australia/Lord_Howe", date(2026, 10, 4), date(2026, 4, 5)),
]


def table(zone: str = "Europe/London", start: time = time(1, 0), end: time = time(5, 0)) -> Timetable:
    return Timetable(start, end, ZoneInfo(zone))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def test_a_night_has_the_local_date_of_its_start() -> None:
    night = table("America/New_York", time(23, 0), time(4, 0)).night(date(2026, 1, 10))

    assert (night.date, night.starts_at, night.ends_at) == (date(2026, 1, 10), utc(2026, 1, 11, 4), utc(2026, 1, 11, 9))


def test_the_start_is_inside_and_the_end_is_not() -> None:
    night = table().night(date(2026, 1, 10))

    assert night.covers(utc(2026, 1, 10, 1))
    assert not night.covers(utc(2026, 1, 10, 5))
    assert night.covers(utc(2026, 1, 10, 5) - timedelta(microseconds=1))


def test_latest_and_next_meet_at_the_start() -> None:
    nights = table()
    start = utc(2026, 1, 10, 1)

    assert nights.latest(start).date == date(2026, 1, 10)
    assert nights.next(start).date == date(2026, 1, 11)
    assert nights.latest(start - timedelta(seconds=1)).date == date(2026, 1, 9)
    assert nights.next(start - timedelta(seconds=1)).date == date(2026, 1, 10)


@pytest.mark.parametrize(
    ("zone", "day", "start", "expected"),
    [
        ("Europe/London", date(2026, 3, 29), time(1, 30), utc(2026, 3, 29, 1, 30)),
        ("Europe/London", date(2026, 10, 25), time(1, 30), utc(2026, 10, 25, 0, 30)),
        ("America/New_York", date(2026, 3, 8), time(2, 30), utc(2026, 3, 8, 7, 30)),
        ("America/New_York", date(2026, 11, 1), time(1, 30), utc(2026, 11, 1, 5, 30)),
        ("Australia/Lord_Howe", date(2026, 10, 4), time(2, 15), utc(2026, 10, 3, 15, 45)),
        ("Australia/Lord_Howe", date(2026, 4, 5), time(1, 45), utc(2026, 4, 4, 14, 45)),
    ],
)
def test_p6_p7_a_start_that_does_not_exist_moves_forward_and_one_that_comes_twice_is_the_first(
    zone: str, day: date, start: time, expected: datetime
) -> None:
    night = table(zone, start, time(6, 0)).night(day)

    assert night.starts_at == expected
    assert night.starts_at.astimezone(ZoneInfo(zone)).date() == day


@pytest.mark.parametrize(("zone", "forward", "back"), CHANGES)
@pytest.mark.parametrize("start", [time(0, 30), time(1, 0), time(1, 30), time(1, 45), time(2, 0), time(2, 15)])
def test_p7_asked_every_quarter_of_an_hour_each_date_starts_once(
    zone: str, forward: date, back: date, start: time
) -> None:
    nights = table(zone, start, time(5, 0))
    for change in (forward, back):
        moment = datetime(change.year, change.month, change.day, tzinfo=UTC) - 2 * DAY
        seen: list[date] = []
        for _quarter in range(4 * 24 * 4):
            night = nights.latest(moment)
            assert night.starts_at <= moment < nights.next(moment).starts_at
            if not seen or seen[-1] != night.date:
                seen.append(night.date)
            moment += timedelta(minutes=15)
        assert all(later - earlier == DAY for earlier, later in pairwise(seen))


@given(
    st.sampled_from([*ZONES, "UTC", "America/Nuuk", "Asia/Gaza"]),
    st.times(), st.times(), st.dates(date(2024, 1, 1), date(2027, 12, 31)),
)  # fmt: skip
@settings(max_examples=300)
def test_p7_a_night_is_never_empty_and_ends_at_the_latest_when_the_next_one_starts(
    zone: str, start: time, end: time, day: date
) -> None:
    if start == end:
        return
    nights = table(zone, start, end)
    night, following = nights.night(day), nights.night(day + DAY)

    assert night.starts_at < night.ends_at <= following.starts_at


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (time(1, 30), time(2, 15), (utc(2026, 3, 29, 1, 30), utc(2026, 3, 29, 2, 15))),
        (time(1, 0), time(5, 0), (utc(2026, 3, 29, 1, 0), utc(2026, 3, 29, 4, 0))),
    ],
)
def test_p6_a_start_that_moves_past_its_end_takes_its_length_along(
    start: time, end: time, expected: tuple[datetime, datetime]
) -> None:
    night = table("Europe/London", start, end).night(date(2026, 3, 29))

    assert (night.starts_at, night.ends_at) == expected


def test_p7_an_end_that_moves_forward_stops_where_the_next_night_starts() -> None:
    nights = table("Europe/London", time(2, 5), time(1, 55))
    night = nights.night(date(2026, 3, 28))

    assert night.ends_at == utc(2026, 3, 29, 1, 5)
    assert nights.night(date(2026, 3, 29)).starts_at == night.ends_at


def test_p7_three_dark_nights_are_three() -> None:
    after, now = utc(2026, 3, 27, 2), utc(2026, 3, 30, 12)

    assert [night.date.day for night in table().started_between(after, now)] == [28, 29, 30]
