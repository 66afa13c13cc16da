"""The calendar: nights, freezes, windows and what ends by itself, for the next six weeks."""

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from builds.maturity import Maturity
from builds.models import Channel
from instances.pins import PinEnd
from instances.services import open_freeze, open_hold, set_windows
from instances.window_text import parse_windows
from instances.windows import DAY
from releasemgr.lib.actors import COMMAND
from releasemgr.pages.calendar_days import Bar, CalendarDay, calendar_of, hours, opening_words, shortened
from tests.factories import NOW, make_build, make_customer, make_instance, make_problem
from upgrades.models import Policy, Schedule

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

TODAY = date(2026, 11, 23)
"""A Monday; its night was at one o'clock."""


@pytest.fixture
def reader(client: Client, viewer: User) -> Client:
    client.force_login(viewer)
    return client


def opened(name: str, first: datetime, last: datetime, **values: Any) -> None:
    standard = {"name": name, "scope": "all", "starts_at": first, "ends_at": last, "zone": "UTC", "reason": "Books"}
    open_freeze(standard | values, actor=COMMAND, now=NOW)


def days(now: datetime = NOW) -> dict[date, CalendarDay]:
    return {day.date: day for day in calendar_of(now).days}


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


@pytest.mark.parametrize(("weekday", "weeks"), [(0, 6), (1, 7), (6, 7)])
def test_six_weeks_lie_ahead_in_whole_weeks_from_monday(weekday: int, weeks: int) -> None:
    found = calendar_of(NOW + weekday * DAY)

    assert [len(week.days) for week in found.weeks] == [7] * weeks
    assert found.weeks[0].days[0].date == TODAY
    assert found.days[0].date == TODAY + weekday * DAY
    assert len(found.days) >= 42


def test_the_night_that_comes_says_how_many_upgrade_and_no_other_does() -> None:
    make_build("4.2", maturity=Maturity.RELEASE)
    make_instance(runs="4.1")

    found = days()

    assert {day.date: day.upgrades for day in found.values() if day.upgrades is not None} == {TODAY + DAY: 1}
    assert [day.date for day in found.values() if day.tonight] == [TODAY + DAY]


def test_p8_a_freeze_that_comes_again_is_there_each_time_and_says_how_it_meets_the_night() -> None:
    evening = NOW.replace(day=30, hour=18)
    opened("Month end", evening, evening + timedelta(hours=9), repeats="FREQ=MONTHLY;BYMONTHDAY=-1")
    opened("Week", NOW + DAY, NOW + 8 * DAY)

    touches = {
        day: [(touch.bar.freeze.name, touch.whole, touch.part) for touch in each.touches]
        for day, each in days().items()
    }

    assert touches[date(2026, 11, 30)] == [("Week", True, False), ("Month end", False, False)]
    assert touches[date(2026, 12, 1)] == [("Week", True, False), ("Month end", False, True)]
    assert touches[TODAY + DAY] == [("Week", False, False)]
    assert [day for day, found in touches.items() if ("Month end", False, True) in found] == [
        date(2026, 12, 1), date(2027, 1, 1),
    ]  # fmt: skip


def test_a_night_across_midnight_belongs_to_the_day_on_which_it_starts() -> None:
    Schedule.objects.update(start=time(23), end=time(4))
    opened("Early", NOW.replace(day=26, hour=1), NOW.replace(day=26, hour=3))

    assert [day for day, found in days().items() if found.touches] == [date(2026, 11, 25), date(2026, 11, 26)]


def test_overlapping_freezes_lie_in_rows_of_their_own_and_go_on_in_the_next_week() -> None:
    opened("Long", NOW + DAY, NOW + 9 * DAY)
    opened("Short", NOW + 2 * DAY, NOW + 3 * DAY)
    opened("Later", NOW + 5 * DAY, NOW + 5 * DAY + timedelta(hours=2))

    first, second = calendar_of(NOW).weeks[:2]

    def shape(lane: Any) -> list[tuple[int, str, bool, bool]]:
        return [(cell.days, cell.bar.freeze.name if cell.bar else "", cell.came, cell.goes_on) for cell in lane]

    assert [shape(lane) for lane in first.lanes] == [
        [(1, "", False, False), (6, "Long", False, True)],
        [
            (2, "", False, False), (2, "Short", False, False), (1, "", False, False), (1, "Later", False, False),
            (1, "", False, False),
        ],
    ]  # fmt: skip
    assert [shape(lane) for lane in second.lanes] == [[(3, "Long", True, False), (4, "", False, False)]]
    assert all(sum(cell.days for cell in lane) == 7 for lane in (*first.lanes, *second.lanes))


def test_p6_the_windows_of_each_night_are_said_in_the_nights_zone(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Dublin"
    Schedule.objects.update(start=time(22), end=time(21, 30))
    for zone in ("Europe/Dublin", "America/Los_Angeles", "America/Los_Angeles"):
        set_windows(make_instance(), parse_windows(f"Mon-Fri 01:00-04:00 {zone}"), actor=COMMAND, now=NOW)
    make_instance()

    found = days()

    def said(day: date) -> list[tuple[str, int]]:
        return [(opening_words(one, "Europe/Dublin"), one.sites) for one in found[day].openings]

    assert said(date(2026, 11, 26)) == [
        ("Dublin 01:00–04:00", 1), ("Los Angeles 09:00–12:00", 2), ("Any time", 1),
    ]  # fmt: skip
    assert said(date(2026, 11, 28)) == [("Any time", 1)]
    assert hours(found[date(2026, 11, 28)].night, "Europe/Dublin") == "22:00–21:30"  # type: ignore[arg-type]


def test_t2_r10_what_ends_by_itself_stands_on_its_day() -> None:
    new, old = make_build("4.2", maturity=Maturity.RELEASE, channel_since=NOW - 9 * DAY), make_build("4.1")
    Channel.objects.filter(name="stable").update(automatic=True, soak=14 * DAY)
    ends = {"pin_ends": PinEnd.ON_DATE.value, "pin_until": NOW + 3 * DAY, "pin_then_id": "stable"}
    site = make_instance("acme", runs="4.1", target_build=old, **ends)
    open_hold(site, ends_at=NOW + 4 * DAY, reason="Audit", actor=COMMAND, now=NOW)

    found = {day: [event.words for event in each.events] for day, each in days().items() if each.events}

    assert found == {
        TODAY + 3 * DAY: ["Pin of acme to 4.1 ends"],
        TODAY + 4 * DAY: ["Hold of acme ends"],
        TODAY + 5 * DAY: ["4.2 has soaked: the next night makes it stable"],
    }
    make_problem(new, severity="blocker")
    assert TODAY + 5 * DAY not in {day for day, each in days().items() if each.events}, "something else is in the way"


def test_many_of_a_kind_are_counted_in_a_cell(reader: Client) -> None:
    for _number in range(4):
        open_hold(make_instance(), ends_at=NOW + 4 * DAY, reason="Audit", actor=COMMAND, now=NOW)

    assert [event.words for event in shortened(days()[TODAY + 4 * DAY].events)] == ["4 holds end"]
    assert "4 holds end" in text(reader.get("/calendar/"))


def test_a_day_on_which_the_clocks_change_says_so(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/London"

    found = days(datetime(2026, 10, 12, 12, tzinfo=ZoneInfo("UTC")))

    assert [day for day, each in found.items() if each.events] == [date(2026, 10, 25)]


@pytest.mark.parametrize("query", ["", "?view=list"])
def test_the_calendar_has_a_list_for_the_phone_and_for_whoever_asks(reader: Client, query: str) -> None:
    opened("Month end", NOW + 7 * DAY, NOW + 8 * DAY)
    Policy.objects.update(nights_off_since=NOW, nights_off_reason="Audit")

    html = text(reader.get(f"/calendar/{query}"))

    assert html.count('id="d2026-11-30"') == 1
    assert "all sites, Mon 30 Nov 12:00 – Tue 1 Dec 12:00" in html
    assert ('class="cal"' in html) == (not query)
    assert "Nights are switched off." in html
    assert 'aria-current="page"' in html


def test_the_calendar_costs_the_same_queries_for_any_number(reader: Client) -> None:
    counts = []
    Channel.objects.filter(name="stable").update(automatic=True)
    for number in (1, 12):
        for each in range(number):
            site = make_instance()
            set_windows(site, parse_windows("daily 01:00-04:00 UTC"), actor=COMMAND, now=NOW)
            open_hold(site, ends_at=NOW + DAY, reason="Audit", actor=COMMAND, now=NOW)
            opened("Week", NOW, NOW + each * DAY + DAY, scope="customer", customer=make_customer())
            make_instance(target_build=make_build(), pin_ends="on_date", pin_until=NOW + DAY, pin_then_id="stable")
        with CaptureQueriesContext(connection) as queries:
            assert reader.get("/calendar/").status_code == 200
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_who_reaches_the_calendar(client: Client, stranger: User) -> None:
    assert client.get("/calendar/")["Location"].startswith("/sign-in/?next=")
    client.force_login(stranger)
    assert client.get("/calendar/").status_code == 403
    client.force_login(User.objects.create_superuser("root"))
    assert client.post("/calendar/").status_code == 405


def test_a_bar_names_its_days() -> None:
    opened("Noon", NOW, NOW + timedelta(hours=2))

    (bar,) = {touch.bar for day in days().values() for touch in day.touches}
    assert isinstance(bar, Bar)
    assert (bar.first, bar.last) == (TODAY, TODAY)
