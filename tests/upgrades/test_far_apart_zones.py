"""P4, P6: nights, waves and windows in far-apart zones fit together, also on nights when the clocks change."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builds.maturity import BuildFacts, Maturity
from instances.choices import Kind
from instances.models import Instance
from instances.services import set_windows
from instances.window_text import parse_windows
from instances.windows import Span, Window
from releasemgr.lib.actors import COMMAND
from tests.factories import NOW, make_build, make_instance
from upgrades.choices import Outcome, UpgradeState
from upgrades.models import Policy, Run, Schedule, Upgrade
from upgrades.night import Night, Timetable
from upgrades.plan import Code, Decision, Facts, Rule, SiteFacts, plan_with_waves
from upgrades.sentences import check_sentence
from upgrades.services import waves
from upgrades.services.planning import next_chances
from upgrades.services.runs import open_night
from upgrades.turns import next_turn, turn_of
from upgrades.waves import Rollout, Wave, WaveKind, parse_sizes

CITIES = {"Dublin": "Europe/Dublin", "Los Angeles": "America/Los_Angeles", "Auckland": "Pacific/Auckland"}
LONG, SHORT = (time(22), time(21, 30)), (time(1), time(5))
BUILD = BuildFacts(1, "4.2", "42", Maturity.RELEASE, NOW, smoke_passed=True)
ROLLOUT = Rollout(canaries=20, sizes=parse_sizes("50 %"))
EVERY_DAY = frozenset(range(7))
# An ordinary day, and each on which one of these cities changes its clocks.
DAYS = ["2026-11-23", "2026-03-28", "2026-10-24", "2026-03-07", "2026-10-31", "2026-04-04", "2026-09-26"]


def night_of(day: str, hours: tuple[time, time] = LONG, zone: str = "Europe/Dublin") -> Night:
    return Timetable(*hours, ZoneInfo(zone)).night(date.fromisoformat(day))


def sites(each: int = 6) -> list[SiteFacts]:
    """So many in every city, the first of each a test site, all open from one to four o'clock there."""
    return [
        SiteFacts(
            id=100 * place + number, slug=f"{zone.rpartition('/')[2].lower()}-{number}", live=number > 0,
            channel=Maturity.RELEASE, pin=None, reported="4.1", key="41", host="web1",
            windows=(Window(EVERY_DAY, time(1), time(4), ZoneInfo(zone)),), needs=timedelta(minutes=15),
        )
        for place, zone in enumerate(CITIES.values())
        for number in range(each)
    ]  # fmt: skip


def planned(night: Night) -> tuple[list[Decision], list[Wave]]:
    facts = Facts(tuple(sites()), {1: BUILD}, rollout=ROLLOUT, salt=night.date.isoformat())
    return plan_with_waves(facts, night.starts_at, night.ends_at)


@pytest.mark.parametrize("day", DAYS)
def test_p4_in_a_long_night_every_city_has_its_turn_with_canaries_of_its_own(day: str) -> None:
    decisions, found = planned(night_of(day))

    assert {decision.code for decision in decisions} == {Code.UPGRADE}
    assert sorted(site for wave in found for site in wave.sites) == sorted(one.site.id for one in decisions)
    for place in range(3):
        own = [wave for wave in found if {site // 100 for site in wave.sites} == {place}]
        assert [(wave.kind, len(wave.sites)) for wave in own] == [
            (WaveKind.TEST, 1), (WaveKind.CANARY, 1), (WaveKind.REST, 2), (WaveKind.REST, 2),
        ]  # fmt: skip
        assert len({wave.opens_at for wave in own}) == 1


@pytest.mark.parametrize("day", DAYS)
def test_p4_p6_the_plan_says_from_one_o_clock_in_each_city(day: str) -> None:
    decisions, _waves = planned(night_of(day))

    said = {
        check_sentence(check) for decision in decisions for check in decision.checks if check.rule is Rule.WINDOW
    }  # fmt: skip
    hours = {"Dublin": "02:00"} if day == "2026-03-28" else {}  # that night has no 01:00 in Dublin
    assert said == {f"Opens at {hours.get(city, '01:00')} in {city}, with room for it." for city in CITIES}


def test_p6_a_short_night_reaches_only_the_cities_that_are_open_then() -> None:
    decisions, found = planned(night_of("2026-11-23", SHORT))

    assert {one.site.id // 100 for one in decisions if one.upgrades} == {0}
    assert {one.code for one in decisions if not one.upgrades} == {Code.OUTSIDE_WINDOW}
    assert len(found) == 4


# Zones whose clocks change by an hour, by half an hour, or never, and the night on which each does.
CHANGES = [
    ("Europe/London", "2026-03-28"), ("Europe/London", "2026-10-24"), ("America/New_York", "2026-03-07"),
    ("America/New_York", "2026-10-31"), ("Australia/Lord_Howe", "2026-10-02"), ("Australia/Lord_Howe", "2026-04-03"),
    ("Asia/Kolkata", "2026-03-28"), ("Pacific/Apia", "2026-03-28"), ("Pacific/Apia", "2011-12-28"),
]  # fmt: skip


@settings(max_examples=100)
@given(
    st.sampled_from(CHANGES), st.sampled_from(["Europe/London", "America/New_York", "Australia/Lord_Howe"]),
    st.integers(0, 47), st.integers(2, 8),
)  # fmt: skip
def test_p6_p7_nobody_is_starved_when_the_clocks_change(
    change: tuple[str, str], of_night: str, start: int, length: int
) -> None:
    """A change of clocks may move a window past the end of one night, but never past two nights in a row."""
    zone, day = change
    begins, ends = (time(number % 48 // 2, number % 2 * 30) for number in (start, start + length))
    window = Window(EVERY_DAY, begins, ends, ZoneInfo(zone))
    timetable = Timetable(*LONG, ZoneInfo(of_night))
    first = timetable.night(date.fromisoformat(day))
    nights = [first, *timetable.started_between(first.starts_at, first.starts_at + timedelta(days=4))]

    turns = [turn_of((window,), (), timedelta(minutes=15), one.starts_at, one.ends_at) for one in nights]

    assert all(one.opens_at or later.opens_at for one, later in pairwise(turns))
    for night, turn in zip(nights, turns, strict=True):
        if turn.opens_at:
            assert night.covers(turn.opens_at)
            assert next(window.openings(turn.opens_at, turn.opens_at + timedelta(minutes=15))).covers(turn.opens_at)


@pytest.mark.parametrize(
    ("zone", "day", "hours", "turn"),
    [
        ("Europe/London", "2026-03-28", "01:30-03:30", "2026-03-29T01:30Z"),  # 01:30 does not exist: 02:30
        ("Europe/London", "2026-10-24", "01:30-03:30", "2026-10-25T00:30Z"),  # the first of the two
        ("America/New_York", "2026-03-07", "02:30-04:00", "2026-03-08T07:30Z"),
        ("America/New_York", "2026-10-31", "01:30-03:00", "2026-11-01T05:30Z"),
        ("Australia/Lord_Howe", "2026-10-02", "02:15-04:00", "2026-10-03T15:45Z"),
        ("Australia/Lord_Howe", "2026-04-03", "01:45-04:00", "2026-04-04T14:45Z"),
        ("Asia/Kolkata", "2026-03-28", "01:30-03:30", "2026-03-29T20:00Z"),
    ],
)
def test_p6_the_turn_on_a_night_when_the_clocks_change(zone: str, day: str, hours: str, turn: str) -> None:
    (window,) = parse_windows(f"daily {hours} {zone}")
    timetable = Timetable(*LONG, ZoneInfo("UTC"))
    nights = timetable.started_between(*(datetime.fromisoformat(f"{day}T{hour}:00Z") for hour in ("21", "23")))

    spans = [Span(night.starts_at, night.ends_at) for night in nights]
    assert next_turn([window], (), timedelta(minutes=15), spans) == datetime.fromisoformat(turn)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("hours", "found"),
    [
        (SHORT, {"Dublin": "2026-11-24T01:00Z", "Los Angeles": None, "Auckland": None}),
        (LONG, {"Dublin": "2026-11-24T01:00Z", "Los Angeles": "2026-11-24T09:00Z", "Auckland": "2026-11-24T12:00Z"}),
        (
            (time(8), time(12, 30)),
            {"Dublin": None, "Los Angeles": "2026-11-24T09:00Z", "Auckland": "2026-11-24T12:00Z"},
        ),
    ],
)
def test_p6_what_cannot_fit_tonight_says_when_it_will(hours: tuple[time, time], found: dict[str, str | None]) -> None:
    Schedule.objects.update(start=hours[0], end=hours[1])
    known = {}
    for city, zone in CITIES.items():
        known[city] = make_instance()
        set_windows(known[city], parse_windows(f"Tue-Thu 01:00-04:00 {zone}"), actor=COMMAND, now=NOW)

    chances = next_chances(known.values(), NOW, timedelta(minutes=15))

    said = {city: chances[site.pk] for city, site in known.items()}
    if hours == LONG:  # a Monday evening in Dublin is a Tuesday in Auckland, whose Wednesday begins at noon
        assert said["Auckland"] == datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert said == {city: datetime.fromisoformat(text) if text else None for city, text in found.items()}


def lives_through(run: Run) -> dict[int, datetime]:
    """When each upgrade of a run began, if every one takes half an hour and each claim is taken at once."""
    began: dict[int, datetime] = {}
    step = timedelta(minutes=15)
    opens = run.upgrades.order_by().values_list("opens_at", flat=True).distinct()
    for now in sorted(moment + number * step for moment in opens for number in range(9)):
        over = [number for number, at in began.items() if at + 2 * step <= now]
        Upgrade.objects.filter(pk__in=over, outcome=None).update(
            state=UpgradeState.ENDED, outcome=Outcome.SUCCEEDED, ended_at=now, end_code="done"
        )
        claimed = [one.number for one in waves.claimable(now) if one.number not in began]
        Upgrade.objects.filter(pk__in=claimed).update(state=UpgradeState.STARTING)
        began |= dict.fromkeys(claimed, now)
    return began


@pytest.mark.django_db
def test_p4_a_run_gives_each_city_its_test_site_its_canaries_and_then_the_rest() -> None:
    """Nobody waits for a city whose window has not opened, and everybody begins within their own."""
    Schedule.objects.update(start=LONG[0], end=LONG[1])
    Policy.objects.update(canary_share=34, wave_sizes="", wave_pause_min=15)
    night = night_of("2026-10-24", zone="UTC")  # the clocks go back in Dublin
    make_build("4.2", maturity=Maturity.RELEASE)
    for city, zone in CITIES.items():
        for number in range(4):
            kind = Kind.TEST if number == 0 else Kind.LIVE
            site = make_instance(f"{city[:3].lower()}-{number}", runs="4.1", kind=kind, target_channel_id="release")
            set_windows(site, parse_windows(f"daily 01:00-05:00 {zone}"), actor=COMMAND, now=NOW)
    run = open_night(night, actor=COMMAND, now=night.starts_at)
    assert run

    began = lives_through(run)

    upgrades = list(run.upgrades.select_related("instance", "wave"))
    assert began.keys() == {upgrade.pk for upgrade in upgrades}
    for city, zone in CITIES.items():
        own = [upgrade for upgrade in upgrades if upgrade.instance.slug.startswith(city[:3].lower())]
        starts = sorted({(began[one.pk], one.wave.stage) for one in own if one.wave})
        assert f"{starts[0][0].astimezone(ZoneInfo(zone)):%H:%M}" == "01:00"
        assert [((at - starts[0][0]) // timedelta(minutes=1), stage) for at, stage in starts] == [
            (0, 0),
            (45, 1),
            (90, 2),
        ]
    assert Instance.objects.count() == len(began) == 12
