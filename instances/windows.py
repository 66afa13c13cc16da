"""When a site may be upgraded: pure arithmetic with weekdays, local hours and zones (P6)."""

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

DAY = timedelta(days=1)
SHORTEST = timedelta(minutes=15)
NOT_ZONES = {"localtime", "Factory"}


@dataclass(frozen=True, order=True)
class Span:
    """From a moment up to another, which is not part of it. Both in UTC."""

    starts_at: datetime
    ends_at: datetime

    def covers(self, moment: datetime) -> bool:
        return self.starts_at <= moment < self.ends_at

    def meets(self, after: datetime, before: datetime) -> bool:
        """Whether it shares a moment with the span between these two."""
        return self.starts_at < before and self.ends_at > after


@dataclass(frozen=True)
class Window:
    """Local hours on some weekdays (Monday is 0). One that ends earlier than it starts crosses midnight.

    It belongs to the weekday of its start.
    """

    weekdays: frozenset[int]
    start: time
    end: time
    zone: ZoneInfo

    @property
    def length(self) -> timedelta:
        """By the clock on the wall."""
        someday = date(2000, 1, 1)
        return datetime.combine(self._ends_on(someday), self.end) - datetime.combine(someday, self.start)

    @property
    def fault(self) -> str:
        """Why it may not be saved, in a sentence; empty where it may (P6)."""
        if not self.weekdays:
            return "A window needs a weekday."
        if self.start == self.end:
            return "A window cannot end when it starts."
        if self.length < SHORTEST:
            return "A window has to be 15 minutes long at least."
        if self.start.second or self.end.second or self.start.microsecond or self.end.microsecond:
            return "A window starts and ends on a whole minute."
        return ""

    def openings(self, after: datetime, before: datetime) -> Iterator[Span]:
        """Every opening that shares a moment with the given span, in order.

        Once on each of its days. A day that a zone leaves out opens with the next one, and they are one opening.
        """
        day = after.astimezone(self.zone).date() - 2 * DAY  # yesterday's may cross midnight and a day left out
        last = before.astimezone(self.zone).date()
        earlier: Span | None = None
        while day <= last:
            if day.weekday() in self.weekdays:
                opening = self._opening(day)
                if opening != earlier and opening.meets(after, before):
                    yield opening
                earlier = opening
            day += DAY

    def _opening(self, day: date) -> Span:
        return local_span(
            datetime.combine(day, self.start), datetime.combine(self._ends_on(day), self.end), self.zone
        )  # fmt: skip

    def _ends_on(self, day: date) -> date:
        return day if self.end > self.start else day + DAY


def local_span(start: datetime, end: datetime, zone: ZoneInfo) -> Span:
    """Between two times by the clock on the wall, on any night when the clocks change (P6)."""
    starts_at, ends_at = moment_of(start, zone), moment_of(end, zone)
    if ends_at <= starts_at:  # the start moved past the end, on a night when the clocks go forward
        ends_at = starts_at + (end - start)
    return Span(starts_at, ends_at)


def moment_of(local: datetime, zone: ZoneInfo) -> datetime:
    """A time that does not exist that day moves forward; one that comes twice means the first (P6)."""
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


def union(spans: Collection[Span]) -> list[Span]:
    """The same moments as disjoint spans, in order: what touches is one."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.starts_at <= merged[-1].ends_at:
            merged[-1] = Span(merged[-1].starts_at, max(merged[-1].ends_at, span.ends_at))
        else:
            merged.append(span)
    return merged


def zone_named(name: str) -> ZoneInfo:
    """Raises ValueError with a sentence for a zone that is missing or not in the IANA database (P6)."""
    if not name.strip():
        raise ValueError("The time zone is missing. It looks like Europe/Dublin.")
    if name not in _zones():
        near = {known.lower(): known for known in _zones()}
        found = difflib.get_close_matches(name.lower(), near, 1)
        raise ValueError(f"“{name}” is not a time zone." + (f" Is it {near[found[0]]}?" if found else ""))
    return ZoneInfo(name)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - NOT_ZONES)
