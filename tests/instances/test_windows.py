"""P6: windows on the nights when the clocks change, as people write them, and which of them hold for a site."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from instances.exceptions import InvalidInput
from instances.models import Instance, SiteWindow
from instances.services import (
    default_subject,
    read_windows,
    set_windows,
    windows_for,
    windows_of,
)
from instances.window_text import WindowsInvalid, format_windows, parse_windows
from instances.windows import Span, Window, zone_named
from releasemgr.lib.actors import COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import ChangedMeanwhile, last_seen
from tests.factories import NOW, make_instance

DAY = timedelta(days=1)
EVERY_DAY = frozenset(range(7))
ZONES = ["Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia", "UTC"]


def openings(zone: str, start: str, end: str, night: str, *, days: frozenset[int] = EVERY_DAY) -> list[str]:
    """What a window of every day opens in the 48 hours from the noon before that date, as local times."""
    window = Window(days, time.fromisoformat(start), time.fromisoformat(end), ZoneInfo(zone))
    noon = datetime.fromisoformat(f"{night}T12:00").replace(tzinfo=window.zone) - DAY
    spans = window.openings(noon.astimezone(UTC), noon.astimezone(UTC) + 2 * DAY)
    return [f"{_local(span.starts_at, window.zone)} - {_local(span.ends_at, window.zone)}" for span in spans]


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%d %H:%M%z}"


@pytest.mark.parametrize(
    ("zone", "night", "start", "end", "expected"),
    [
        # The clocks go forward: 01:00 to 02:00 does not exist in London, 02:00 to 03:00 in New York.
        ("Europe/London", "2026-03-29", "01:30", "04:00", "29 02:30+0100 - 29 04:00+0100"),
        ("Europe/London", "2026-03-29", "01:30", "01:45", "29 02:30+0100 - 29 02:45+0100"),
        ("Europe/London", "2026-03-29", "00:30", "01:30", "29 00:30+0000 - 29 02:30+0100"),
        ("Europe/London", "2026-03-29", "01:45", "02:15", "29 02:45+0100 - 29 03:15+0100"),
        ("America/New_York", "2026-03-08", "02:00", "05:00", "08 03:00-0400 - 08 05:00-0400"),
        ("America/New_York", "2026-03-08", "23:00", "02:30", "08 23:00-0400 - 09 02:30-0400"),
        # They go back: what comes twice means the first.
        ("Europe/London", "2026-10-25", "01:30", "04:00", "25 01:30+0100 - 25 04:00+0000"),
        ("Europe/London", "2026-10-25", "00:30", "01:30", "25 00:30+0100 - 25 01:30+0100"),
        ("America/New_York", "2026-11-01", "01:00", "01:15", "01 01:00-0400 - 01 01:15-0400"),
        # By half an hour only.
        ("Australia/Lord_Howe", "2026-10-04", "02:15", "04:00", "04 02:45+1100 - 04 04:00+1100"),
        ("Australia/Lord_Howe", "2026-10-04", "02:15", "02:45", "04 02:45+1100 - 04 03:15+1100"),
        ("Australia/Lord_Howe", "2026-04-05", "01:45", "04:00", "05 01:45+1100 - 05 04:00+1030"),
        # Never, at half past.
        ("Asia/Kolkata", "2026-03-29", "01:30", "04:00", "29 01:30+0530 - 29 04:00+0530"),
        # Apia left 30 December 2011 out.
        ("Pacific/Apia", "2011-12-29", "01:00", "04:00", "29 01:00-1000 - 29 04:00-1000"),
        ("Pacific/Apia", "2011-12-29", "22:00", "04:00", "29 22:00-1000 - 31 04:00+1400"),
        ("Pacific/Apia", "2012-01-01", "01:00", "04:00", "01 01:00+1400 - 01 04:00+1400"),
    ],
)
def test_p6_a_window_opens_once_on_a_night_when_the_clocks_change(
    zone: str, night: str, start: str, end: str, expected: str
) -> None:
    found = [one for one in openings(zone, start, end, night) if one.startswith(expected[:2])]

    assert found == [expected]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (EVERY_DAY, ["29 01:00-1000 - 29 04:00-1000", "31 01:00+1400 - 31 04:00+1400"]),
        (frozenset({4}), ["31 01:00+1400 - 31 04:00+1400"]),  # a Friday that moved forward
        (frozenset({5}), ["31 01:00+1400 - 31 04:00+1400"]),
    ],
)
def test_p6_the_day_that_apia_left_out_opens_once_with_the_next(days: frozenset[int], expected: list[str]) -> None:
    assert sorted(set(openings("Pacific/Apia", "01:00", "04:00", "2011-12-29", days=days))) == expected
    window = Window(days, time(1), time(4), ZoneInfo("Pacific/Apia"))
    found = list(window.openings(datetime(2011, 12, 29, 20, tzinfo=UTC), datetime(2011, 12, 31, 9, tzinfo=UTC)))
    assert found == [Span(datetime(2011, 12, 30, 11, tzinfo=UTC), datetime(2011, 12, 30, 14, tzinfo=UTC))]


def test_p6_an_opening_across_the_day_left_out_is_seen_from_its_end() -> None:
    window = Window(EVERY_DAY, time(22), time(4), ZoneInfo("Pacific/Apia"))
    late = datetime(2011, 12, 30, 13, tzinfo=UTC)  # 03:00 on the 31st there

    assert [span.covers(late) for span in window.openings(late, late + timedelta(minutes=1))] == [True]


@given(st.sampled_from(ZONES), st.integers(0, 95), st.integers(1, 95), st.integers(0, 40 * 366))
def test_p6_a_window_of_every_day_opens_once_a_day_in_any_zone(zone: str, start: int, length: int, day: int) -> None:
    window = Window(EVERY_DAY, _quarter(start), _quarter(start + length), ZoneInfo(zone))
    first = datetime(1990, 1, 1, tzinfo=UTC) + day * DAY

    starts = [span.starts_at for span in window.openings(first, first + 3 * DAY)]

    assert starts == sorted(set(starts))
    assert 2 <= len(starts) <= 5
    assert all(span.ends_at > span.starts_at for span in window.openings(first, first + 3 * DAY))


def _quarter(number: int) -> time:
    return time(number % 96 // 4, number % 4 * 15)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Mon-Fri 01:00-04:00 Europe/Dublin", "Mon-Fri 01:00-04:00 Europe/Dublin"),
        ("mon - friday 1:00 - 4:00 UTC", "Mon-Fri 01:00-04:00 UTC"),
        ("Sat, Sun 22:00-24:00 UTC ;daily 01:00–02:00 UTC;", "Sat,Sun 22:00-00:00 UTC; Mon-Sun 01:00-02:00 UTC"),
        ("Fri-Mon 01:00-02:00 UTC", "Mon,Fri-Sun 01:00-02:00 UTC"),
        ("Mon 01:00-02:00 UTC; Mon 01:00-02:00 UTC", "Mon 01:00-02:00 UTC"),
        (" ", ""),
    ],
)
def test_windows_are_read_as_people_write_them(text: str, written: str) -> None:
    assert format_windows(parse_windows(text)) == written


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("01:00-02:00 UTC", "A window needs a weekday."),
        ("Mon 01:00-01:00 UTC", "A window cannot end when it starts."),
        ("Mon 01:00-01:14 UTC", "A window has to be 15 minutes long at least."),
        ("Mon 23:50-00:04 UTC", "A window has to be 15 minutes long at least."),
        ("Mon 01:00-02:00", "The time zone is missing. It looks like Europe/Dublin."),
        ("Mon 01:00-02:00 Europe/Dubln", "“Europe/Dubln” is not a time zone. Is it Europe/Dublin?"),
        ("Mon 01:00-02:00 europe/dublin", "“europe/dublin” is not a time zone. Is it Europe/Dublin?"),
        ("Mon 01:00-02:00 ../../etc/passwd", "“../../etc/passwd” is not a time zone."),
        ("Mon 01:00-02:00 localtime", "“localtime” is not a time zone."),
        ("Mon 25:00-02:00 UTC", "“25:00” is not a time of the day."),
        ("Mo 01:00-02:00 UTC", "“Mo” is not a weekday. They are Mon, Tue, Wed, Thu, Fri, Sat, Sun."),
        ("at night", "this is not a window. It looks like Mon-Fri 01:00-04:00 Europe/Dublin."),
    ],
)
def test_p6_what_is_not_a_window_says_why(text: str, fault: str) -> None:
    with pytest.raises(WindowsInvalid) as refused:
        parse_windows(f"Tue 01:00-02:00 UTC; {text}")

    assert refused.value.errors == [f"“{text}”: {fault}"]


def windows() -> st.SearchStrategy[Window]:
    return st.builds(
        lambda days, start, length, zone: Window(days, _quarter(start), _quarter(start + length), ZoneInfo(zone)),
        st.frozensets(st.integers(0, 6), min_size=1), st.integers(0, 95), st.integers(1, 95), st.sampled_from(ZONES),
    )  # fmt: skip


@given(st.lists(windows(), max_size=4, unique=True))
def test_windows_that_are_written_are_read_back(some: list[Window]) -> None:
    assert parse_windows(format_windows(some)) == tuple(some)
    for window in some:
        assert SiteWindow.of(window, None).window == window


def test_a_zone_is_known_by_its_exact_name() -> None:
    assert zone_named("America/Argentina/Buenos_Aires").key == "America/Argentina/Buenos_Aires"
    with pytest.raises(ValueError, match="is missing"):
        zone_named(" ")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"weekdays": 0}, "window_has_a_weekday"),
        ({"weekdays": 128}, "window_has_a_weekday"),
        ({"end": time(1)}, "window_is_15_minutes_long"),
        ({"end": time(1, 14)}, "window_is_15_minutes_long"),
        ({"start": time(23, 50), "end": time(0, 4)}, "window_is_15_minutes_long"),
        ({"zone": ""}, "window_has_a_zone"),
    ],
)
def test_p6_the_database_refuses_what_is_not_a_window(values: dict[str, object], constraint: str) -> None:
    good: dict[str, object] = {"weekdays": 1, "start": time(1), "end": time(1, 15), "zone": "UTC"}
    SiteWindow.objects.create(**good)
    SiteWindow.objects.create(**good | {"start": time(23, 50), "end": time(0, 5)})

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        SiteWindow.objects.create(**good | values)


NIGHTS, WEEKEND = "Mon-Fri 01:00-04:00 Europe/Dublin", "Sat,Sun 22:00-06:00 Europe/Dublin"


@pytest.mark.django_db
def test_p6_a_site_without_windows_of_its_own_has_the_default_ones_else_none() -> None:
    own, other = make_instance("own"), make_instance("other")
    assert windows_for(None) == {own.pk: (), other.pk: ()}

    set_windows(None, parse_windows(NIGHTS), actor=COMMAND, now=NOW)
    set_windows(own, parse_windows(f"{NIGHTS};{WEEKEND}"), actor=COMMAND, now=NOW)

    assert {pk: format_windows(found) for pk, found in windows_for(None).items()} == {
        own.pk: f"{NIGHTS}; {WEEKEND}", other.pk: NIGHTS,
    }  # fmt: skip
    assert windows_for([other]) == {other.pk: parse_windows(NIGHTS)}
    set_windows(own, [], actor=COMMAND, now=NOW)
    assert windows_of(own) == ()
    assert windows_for([own]) == {own.pk: parse_windows(NIGHTS)}


@pytest.mark.django_db
def test_a_change_of_windows_is_recorded_and_the_same_ones_are_no_change(release_manager: User) -> None:
    site, actor = make_instance(), Actor(Origin.PAGE, release_manager)

    change = set_windows(site, parse_windows(NIGHTS), actor=actor, now=NOW, reason="Works in shifts", seen=0)
    default = set_windows(None, parse_windows(WEEKEND), actor=actor, now=NOW)

    assert change
    assert default
    assert (change.kind, change.subject_type, change.subject_id) == ("window.changed", "instance", str(site.pk))
    assert (change.before, change.after, change.by) == ({"window": ""}, {"window": NIGHTS}, release_manager)
    assert (default.subject_name, last_seen(default_subject())) == ("default windows", default.pk)
    assert set_windows(site, parse_windows(NIGHTS), actor=actor, now=NOW, seen=change.pk) is None
    with pytest.raises(ChangedMeanwhile):
        set_windows(site, [], actor=actor, now=NOW, seen=0)
    with pytest.raises(ChangedMeanwhile):
        set_windows(None, [], actor=actor, now=NOW, seen=0)
    assert Change.objects.count() == 2


@pytest.mark.django_db
def test_p6_windows_that_may_not_be_are_refused_and_change_nothing() -> None:
    site = make_instance()
    bad = Window(frozenset(), time(1), time(2), ZoneInfo("UTC"))

    with pytest.raises(InvalidInput) as refused:
        set_windows(site, [*parse_windows(NIGHTS), bad], actor=COMMAND, now=NOW)
    with pytest.raises(InvalidInput, match=r"window: “Mon”: this is not a window"):
        read_windows("Mon")

    assert refused.value.errors == {"window": ["A window needs a weekday."]}
    assert not SiteWindow.objects.exists()
    assert not Change.objects.exists()


@pytest.mark.django_db
def test_the_windows_of_all_sites_cost_two_queries_whatever_their_number() -> None:
    def queries(number: int) -> int:
        sites = [make_instance() for _each in range(number)]
        for site in sites:
            set_windows(site, parse_windows(NIGHTS), actor=COMMAND, now=NOW)
        with CaptureQueriesContext(connection) as found:
            assert len(windows_for(None)) == Instance.objects.count()
            windows_for(sites)
        return len(found)

    assert queries(1) == queries(10) == 4  # two for all, one for some, one for the count
