"""Which nights there are and when: pure arithmetic with dates and zones (P7).

A night's date is the local date of its scheduled start. It ends at a given local time, at the latest when the
next one starts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Night:
    """The end is not part of it. Both moments are in UTC."""

    date: date
    starts_at: datetime
    ends_at: datetime

    def covers(self, moment: datetime) -> bool:
        return self.starts_at <= moment < self.ends_at


@dataclass(frozen=True)
class Timetable:
    """When nights start and end, by the local clock. An end at or before the start is on the next day."""

    start: time
    end: time
    zone: ZoneInfo

    def night(self, day: date) -> Night:
        starts_at, ends_at = self._moment(day, self.start), self._moment(self._ends_on(day), self.end)
        if ends_at <= starts_at:  # the start moved past the end, on a night when the clocks go forward
            ends_at = starts_at + self._length
        return Night(day, starts_at, min(ends_at, self._moment(day + DAY, self.start)))

    def _ends_on(self, day: date) -> date:
        return day if self.end > self.start else day + DAY

    @property
    def _length(self) -> timedelta:
        """By the clock on the wall."""
        someday = date(2000, 1, 1)
        return datetime.combine(self._ends_on(someday), self.end) - datetime.combine(someday, self.start)

    def _moment(self, day: date, clock: time) -> datetime:
        """A time that does not exist that day moves forward; one that comes twice means the first (P6)."""
        return datetime.combine(day, clock, tzinfo=self.zone).replace(fold=0).astimezone(UTC)

    def latest(self, now: datetime) -> Night:
        """The last night that has started."""
        day = now.astimezone(self.zone).date()
        while (night := self.night(day)).starts_at > now:
            day -= DAY
        return night

    def next(self, now: datetime) -> Night:
        """The first night that has not started."""
        return self.night(self.latest(now).date + DAY)

    def started_between(self, after: datetime, now: datetime) -> Iterator[Night]:
        """Every night whose start lies after the first moment and not after the second, oldest first."""
        night = self.next(after)
        while night.starts_at <= now:
            yield night
            night = self.night(night.date + DAY)
