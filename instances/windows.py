"""When a site may be upgraded: pure arithmetic with weekdays, local hours and zones (P6)."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
SHORTEST = timedelta(minutes=15)


@dataclass(frozen=True, order=True)
class Span:
    """From a moment up to another, which is not part of it. Both in UTC."""

    starts_at: datetime
    ends_at: datetime

    def covers(self, moment: datetime) -> bool:
        return self.starts_at <= moment < self.ends_at


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

    def openings(self, after: datetime, before: datetime) -> Iterator[Span]:
        """Every opening that shares a moment with the given span, in order. Once on each of its days."""
        day = after.astimezone(self.zone).date() - DAY
        last = before.astimezone(self.zone).date()
        while day <= last:
            if day.weekday() in self.weekdays:
                opening = self._opening(day)
                if opening.ends_at > after and opening.starts_at < before:
                    yield opening
            day += DAY

    def _opening(self, day: date) -> Span:
        starts_at, ends_at = self._moment(day, self.start), self._moment(self._ends_on(day), self.end)
        if ends_at <= starts_at:  # the start moved past the end, on a night when the clocks go forward
            ends_at = starts_at + self.length
        return Span(starts_at, ends_at)

    def _ends_on(self, day: date) -> date:
        return day if self.end > self.start else day + DAY

    def _moment(self, day: date, clock: time) -> datetime:
        """A time that does not exist that day moves forward; one that comes twice means the first (P6)."""
        return datetime.combine(day, clock, tzinfo=self.zone).replace(fold=0).astimezone(UTC)


def union(spans: Collection[Span]) -> list[Span]:
    """The same moments as disjoint spans, in order: what touches is one."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.starts_at <= merged[-1].ends_at:
            merged[-1] = Span(merged[-1].starts_at, max(merged[-1].ends_at, span.ends_at))
        else:
            merged.append(span)
    return merged
