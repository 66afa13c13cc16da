"""P7: a night never has two runs, and none is forgotten, over any sequence of clock changes and restarts."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.effort import examples
from tests.rules.undone import undone
from upgrades.models import Run, Schedule
from upgrades.services.runs import open_due_night, record_missed_nights

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CHANGES = st.sampled_from(
    [
        ("Europe/London", datetime(2026, 3, 29, tzinfo=UTC)),
        ("Europe/London", datetime(2026, 10, 25, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 3, 8, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 11, 1, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 4, 5, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 10, 4, tzinfo=UTC)),
        ("Pacific/Apia", datetime(2011, 12, 30, tzinfo=UTC)),
    ]
)
"""Zones, and a day on which their clocks change; Samoa left out that day altogether."""
steps = st.lists(st.sampled_from([HOUR / 3, HOUR, 5 * HOUR, 5 * HOUR, 14 * HOUR, DAY, 3 * DAY, -2 * HOUR]), max_size=12)
"""How long until somebody comes by again; also after dark days, and by a clock that was set back."""


@given(CHANGES, st.integers(0, 95), st.sampled_from([HOUR, 4 * HOUR, 23 * HOUR]), steps, st.booleans())
@settings(max_examples=examples(25), deadline=None)
def test_p7_a_date_never_has_two_runs_and_no_night_is_forgotten(
    change: tuple[str, datetime], quarter: int, lasts: timedelta, steps: Sequence[timedelta], reaped: bool
) -> None:
    zone, day = change
    start = time(quarter // 4, quarter % 4 * 15)
    end = (datetime.combine(day, start) + lasts).time()
    begin = latest = now = day - 2 * DAY
    with undone(), override_settings(TIME_ZONE=zone):
        Schedule.objects.update(since=begin, start=start, end=end)
        timetable = Schedule.objects.get().timetable
        for step in steps:
            now += step
            latest = max(latest, now)
            if reaped:
                record_missed_nights(now)
            run = open_due_night(now)
            assert open_due_night(now) is None, "whoever comes next finds it opened"
            if run and run.date:
                night = timetable.night(run.date)
                assert night.covers(now)
                assert run.ends_at == night.ends_at
                assert night.starts_at.astimezone(ZoneInfo(zone)).date() == run.date or zone == "Pacific/Apia"
        record_missed_nights(latest)

        dates = Counter(Run.objects.values_list("date", flat=True))
        assert not [date for date, runs in dates.items() if runs > 1]
        over = [night.date for night in timetable.started_between(begin, latest) if night.ends_at <= latest]
        assert [date for date in over if date not in dates] == []
        assert all(run.ends_at <= latest for run in Run.objects.filter(missed=True))
