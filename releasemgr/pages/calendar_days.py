"""What the calendar shows: for each day its night, the freezes that touch it, the windows that open, and what ends."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from builds.maturity import CHANNELS, BuildFacts, ChannelPolicy, GateCode, Maturity, judge, newer_than_channel
from builds.services import channel_policies, gather_builds
from instances.models import Freeze, Hold, Instance
from instances.services import windows_for
from instances.windows import DAY, Span, Window, moment_of, union
from releasemgr.lib.choices import Colour
from releasemgr.lib.words import local_of, place_of
from upgrades.models import Policy, Schedule
from upgrades.night import Night, Timetable
from upgrades.services.planning import plan_night

WEEK = 7
AHEAD = 6 * WEEK
NAMED = 2
"""So many pins or holds of a day are named; more are counted."""


@dataclass(frozen=True)
class Event:
    """What happens by itself on that day. `url` may be empty."""

    at: datetime
    icon: str
    colour: Colour
    words: str
    url: str = ""


@dataclass(frozen=True)
class Bar:
    """One time of a freeze, and the days that it touches."""

    freeze: Freeze
    span: Span
    first: date
    last: date


@dataclass(frozen=True)
class Opening:
    """The windows of one zone in a night: from when until when any is open then, for how many sites.

    `zone` is empty for sites without windows, which are open at any time.
    """

    zone: str
    sites: int
    span: Span


@dataclass(frozen=True)
class Touch:
    """How a freeze meets a night: `whole`, a part, or only the day around it."""

    bar: Bar
    whole: bool
    part: bool


@dataclass(frozen=True)
class CalendarDay:
    """`upgrades` is None but for the night that comes next. A day before today has neither windows nor events."""

    date: date
    night: Night
    past: bool
    tonight: bool
    upgrades: int | None
    openings: Sequence[Opening]
    touches: Sequence[Touch]
    events: Sequence[Event]


@dataclass(frozen=True)
class Cell:
    """So many days of a week's row: a freeze, or nothing. The ends say whether it goes on in another week."""

    days: int
    bar: Bar | None = None
    goes_on: bool = False
    came: bool = False


@dataclass(frozen=True)
class Week:
    days: Sequence[CalendarDay]
    lanes: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Calendar:
    weeks: Sequence[Week]
    zone: str
    nights_off: bool
    tonight: Night

    @property
    def days(self) -> list[CalendarDay]:
        """Without those before today."""
        return [day for week in self.weeks for day in week.days if not day.past]


@dataclass
class _Parts:
    """What was gathered, by day."""

    bars: list[Bar] = field(default_factory=list)
    events: dict[date, list[Event]] = field(default_factory=lambda: defaultdict(list))


def calendar_of(now: datetime) -> Calendar:
    """The next six weeks, in whole weeks. The same number of queries, whatever there is."""
    timetable = Schedule.objects.get().timetable
    today = now.astimezone(timetable.zone).date()
    dates = _dates(today)
    after, before = (
        moment_of(_midnight(dates[0]), timetable.zone),
        moment_of(_midnight(dates[-1] + 2 * DAY), timetable.zone),
    )
    tonight, decisions = plan_night(now)
    parts = _Parts(bars=list(_bars(after, before, timetable)))
    for event in (
        *_soaks(now, before),
        *_pins(now, before),
        *_holds(now, before),
        *_clock_changes(dates, timetable.zone),
    ):
        parts.events[event.at.astimezone(timetable.zone).date()].append(event)
    upgrades = sum(decision.upgrades for decision in decisions)
    windows = Counter(windows_for(None).values())
    days = [_day(each, today, timetable, tonight, upgrades, windows, parts) for each in dates]
    weeks = [Week(days[n : n + WEEK], _lanes(dates[n], parts.bars)) for n in range(0, len(days), WEEK)]
    return Calendar(weeks, timetable.zone.key, Policy.objects.get().nights_off_since is not None, tonight)


def _dates(today: date) -> list[date]:
    """From this week's Monday, so many whole weeks that six of them lie ahead."""
    monday = today - today.weekday() * DAY
    weeks = -(-(today.weekday() + AHEAD) // WEEK)
    return [monday + n * DAY for n in range(weeks * WEEK)]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def _day(
    day: date, today: date, timetable: Timetable, tonight: Night, upgrades: int,
    windows: Mapping[tuple[Window, ...], int], parts: _Parts,
) -> CalendarDay:  # fmt: skip
    night, past = timetable.night(day), day < today
    return CalendarDay(
        day, night, past, day == tonight.date, upgrades if day == tonight.date else None,
        [] if past else list(_openings(night, windows)),
        [_touch(bar, night) for bar in parts.bars if bar.first <= day <= bar.last],
        [] if past else sorted(parts.events[day], key=lambda event: (event.at, event.words)),
    )  # fmt: skip


def _touch(bar: Bar, night: Night) -> Touch:
    whole = bar.span.starts_at <= night.starts_at and bar.span.ends_at >= night.ends_at
    return Touch(bar, whole, not whole and bar.span.meets(night.starts_at, night.ends_at))


def _bars(after: datetime, before: datetime, timetable: Timetable) -> Iterator[Bar]:
    for freeze in Freeze.objects.for_list().that_may_meet(after, before):
        for pause in freeze.pauses(after, before):
            yield _bar(freeze, pause.span, timetable)


def _bar(freeze: Freeze, span: Span, timetable: Timetable) -> Bar:
    """A night that crosses midnight belongs to the day on which it starts."""
    first = span.starts_at.astimezone(timetable.zone).date()
    last = (span.ends_at - timedelta(microseconds=1)).astimezone(timetable.zone).date()
    earlier = timetable.night(first - DAY)
    return Bar(freeze, span, earlier.date if span.meets(earlier.starts_at, earlier.ends_at) else first, last)


def _lanes(monday: date, bars: Iterable[Bar]) -> list[list[Cell]]:
    """The bars of a week in as few rows as they need, each row seven days wide."""
    lanes: list[list[tuple[int, int, Bar]]] = []
    for bar in sorted(bars, key=lambda bar: (bar.first, -(bar.last - bar.first).days, bar.freeze.pk)):
        first, last = max((bar.first - monday).days, 0), min((bar.last - monday).days, WEEK - 1)
        if first > last:
            continue
        lane = next((lane for lane in lanes if lane[-1][1] < first), None)
        if lane is None:
            lanes.append(lane := [])
        lane.append((first, last, bar))
    return [list(_cells(lane, monday)) for lane in lanes]


def _cells(lane: list[tuple[int, int, Bar]], monday: date) -> Iterator[Cell]:
    at = 0
    for first, last, bar in lane:
        if first > at:
            yield Cell(first - at)
        yield Cell(last - first + 1, bar, goes_on=bar.last > monday + 6 * DAY, came=bar.first < monday)
        at = last + 1
    if at < WEEK:
        yield Cell(WEEK - at)


def _openings(night: Night, windows: Mapping[tuple[Window, ...], int]) -> Iterator[Opening]:
    """By zone, in the order in which they open; sites without windows last."""
    spans: dict[str, list[Span]] = defaultdict(list)
    sites: dict[str, int] = defaultdict(int)
    for some, number in windows.items():
        for zone in sorted({window.zone.key for window in some}):
            found = [span for one in some if one.zone.key == zone for span in _within(one, night)]
            spans[zone] += found
            sites[zone] += number if found else 0
    opened = [
        Opening(zone, sites[zone], Span(merged[0].starts_at, merged[-1].ends_at))
        for zone, found in spans.items()
        if (merged := union(found))
    ]
    yield from sorted(opened, key=lambda opening: (opening.span, opening.zone))
    if () in windows:
        yield Opening("", windows[()], Span(night.starts_at, night.ends_at))


def _within(window: Window, night: Night) -> Iterator[Span]:
    for span in window.openings(night.starts_at, night.ends_at):
        yield Span(max(span.starts_at, night.starts_at), min(span.ends_at, night.ends_at))


def _soaks(now: datetime, before: datetime) -> Iterator[Event]:
    """Builds that a channel takes by itself once their soak time is over, where nothing else is in the way (R10)."""
    channels = channel_policies()
    builds = list(gather_builds().values()) if any(policy.automatic for policy in channels.values()) else []
    for channel in CHANNELS:
        if channels[channel].automatic:
            yield from _soaks_into(channel, channels, builds, now, before)


def _soaks_into(
    channel: Maturity, channels: Mapping[Maturity, ChannelPolicy], builds: list[BuildFacts], now: datetime,
    before: datetime,
) -> Iterator[Event]:  # fmt: skip
    for build in newer_than_channel(builds, channel):
        if build.maturity != channel.before or build.sent_back or build.was_dismissed:
            continue
        judgement = judge(build, channel, channels, now, builds)
        if {gate.code for gate in judgement.failing} == {GateCode.SOAK} and judgement.when and judgement.when < before:
            words = _("%(version)s has soaked: the next night makes it %(channel)s")
            said = words % {"version": build.version, "channel": channel.channel}
            yield Event(judgement.when, "circle-arrow-up", Colour.RUN, said, reverse("build", args=[build.version]))


def _pins(now: datetime, before: datetime) -> Iterator[Event]:
    sites = Instance.objects.pins_ending(now, before).select_related("target_build")
    for site in sites:
        words = _("Pin of %(site)s to %(version)s ends") % {"site": site.slug, "version": site.target_build}
        if site.pin_until:
            yield Event(site.pin_until, "pin-off", Colour.HOLD, words, site.get_absolute_url())


def _holds(now: datetime, before: datetime) -> Iterator[Event]:
    for hold in Hold.objects.not_over(now).filter(ends_at__lt=before).select_related("instance"):
        words = _("Hold of %(site)s ends") % {"site": hold.instance.slug}
        yield Event(hold.ends_at, "circle-play", Colour.HOLD, words, hold.instance.get_absolute_url())


def _clock_changes(dates: Sequence[date], zone: ZoneInfo) -> Iterator[Event]:
    for day in dates:
        midnight, next_one = _midnight(day).replace(tzinfo=zone), _midnight(day + DAY).replace(tzinfo=zone)
        if midnight.utcoffset() != next_one.utcoffset():
            yield Event(moment_of(_midnight(day), zone), "clock-alert", Colour.IDLE, _("The clocks change"))


def shortened(events: Sequence[Event]) -> list[Event]:
    """For a small cell: more than a few of a kind are one line with their number."""
    kinds: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        kinds[event.icon].append(event)
    return [line for icon, some in kinds.items() for line in (some if len(some) <= NAMED else [_counted(icon, some)])]


def _counted(icon: str, events: Sequence[Event]) -> Event:
    words = {
        "pin-off": ngettext("%(n)d pin ends", "%(n)d pins end", len(events)),
        "circle-play": ngettext("%(n)d hold ends", "%(n)d holds end", len(events)),
    }.get(icon, ngettext("%(n)d build has soaked", "%(n)d builds have soaked", len(events)))
    return Event(events[0].at, icon, events[0].colour, words % {"n": len(events)})


def hours(span: Span, zone: str) -> str:
    """“01:00-04:00” on the clock of a zone."""
    first, last = (moment.astimezone(ZoneInfo(zone)) for moment in (span.starts_at, span.ends_at))
    return f"{first:%H:%M}–{last:%H:%M}"


def opening_words(opening: Opening, zone: str) -> str:
    """“Dublin 01:00-04:00”, in the night's zone."""
    return f"{place_of(opening.zone)} {hours(opening.span, zone)}" if opening.zone else _("Any time")


def touch_words(touch: Touch, day: date, zone: str, now: datetime) -> str:
    """In the list: all of it on the first day, its end on the last one, and which sites on those between."""
    bar = touch.bar
    if day == bar.first:
        return bar_words(bar, zone, now)
    if day == bar.last:
        until = local_of(bar.span.ends_at, ZoneInfo(zone), now)
        return _("%(scope)s, until %(until)s") % {"scope": bar.freeze.scope_words, "until": until}
    return bar.freeze.scope_words


def bar_words(bar: Bar, zone: str, now: datetime) -> str:
    """Which sites, from when until when."""
    first, last = (local_of(moment, ZoneInfo(zone), now) for moment in (bar.span.starts_at, bar.span.ends_at))
    return _("%(scope)s, %(first)s – %(last)s") % {"scope": bar.freeze.scope_words, "first": first, "last": last}
