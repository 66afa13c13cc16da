"""When a freeze comes again: rules of iCalendar (RFC 5545), expanded by dateutil on the clock on the wall."""

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

from instances.windows import DAY, Span, local_span

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
DAY_OF_MONTH = r"[+-]?(?:[1-9]|[12]\d|3[01])"
WEEKDAY = rf"(?:[+-]?[1-5])?(?:{'|'.join(WEEKDAYS)})"
PARTS = {
    "FREQ": r"DAILY|WEEKLY|MONTHLY|YEARLY",
    "INTERVAL": r"[1-9]\d?",
    "BYMONTH": r"(?:[1-9]|1[0-2])(?:,(?:[1-9]|1[0-2]))*",
    "BYMONTHDAY": rf"{DAY_OF_MONTH}(?:,{DAY_OF_MONTH})*",
    "BYDAY": rf"{WEEKDAY}(?:,{WEEKDAY})*",
    "BYSETPOS": r"-?1",
    "UNTIL": r"2\d{3}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])",
}
"""What a rule may consist of. UNTIL names the last day on which it may begin."""

MISFIT = "The first time does not fit how it repeats."
EXAMPLE = "FREQ=MONTHLY;BYMONTHDAY=-1"
FAR = 20 * 366 * DAY
LOOKED_AT = 60


@dataclass(frozen=True)
class Recurrence:
    """A span that comes again by a rule, at the same local hours in its zone. An empty rule: it comes once."""

    starts_at: datetime
    ends_at: datetime
    rule: str
    zone: ZoneInfo

    def spans(self, after: datetime, before: datetime) -> Iterator[Span]:
        """Every time that shares a moment with the given span, in order."""
        if not self.rule:
            once = Span(self.starts_at, self.ends_at)
            return iter([once] if once.meets(after, before) else [])
        earliest = self._local(after) - self.length - 2 * DAY  # a zone may leave out a day
        starts = self._starts(up_to=self._local(before) + DAY)
        spans = (local_span(start, start + self.length, self.zone) for start in starts if start >= earliest)
        return (span for span in spans if span.meets(after, before))

    def coming(self, after: datetime, number: int) -> list[Span]:
        """So many times from then on, the one that runs at that moment included; fewer where it ends."""
        return list(islice(self.spans(after, after + FAR), number))

    @property
    def first_that_fits(self) -> datetime | None:
        """The first local start from its own on that its rule names; None within twenty years. For a plain rule."""
        first = self._local(self.starts_at)
        return next(self._starts(up_to=first + FAR), None) if self.rule else first

    @cached_property
    def length(self) -> timedelta:
        """By the clock on the wall."""
        return self._local(self.ends_at) - self._local(self.starts_at)

    @property
    def fault(self) -> str:
        """Why it may not be saved, in a sentence; empty where it may. Only for one whose end is after its start."""
        if not self.rule:
            return ""
        if wrong := _malformed(self.rule):
            return wrong
        first = self._local(self.starts_at)
        if not _could_be(first, self.rule):  # dateutil looks through 8,000 years for what never comes
            return MISFIT
        starts = list(islice(self._starts(up_to=first + FAR), LOOKED_AT))
        if starts[:1] != [first]:
            return MISFIT
        if len(starts) < 2:
            return "It does not come a second time."
        if any(later - earlier <= self.length for earlier, later in pairwise(starts)):
            return "One time would last until the next one begins: it would never end."
        return ""

    def _starts(self, up_to: datetime) -> Iterator[datetime]:
        """In local time, from the first one. A rule that nothing fits ends there too."""
        rest, until = _without_until(self.rule)
        limit = min(up_to, until) if until else up_to
        return iter(rrulestr(f"{rest};UNTIL={limit:%Y%m%dT%H%M%S}", dtstart=self._local(self.starts_at)))

    def _local(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone).replace(tzinfo=None, fold=0)


def _malformed(rule: str) -> str:
    seen: set[str] = set()
    for part in rule.split(";"):
        name, _equals, value = part.partition("=")
        if name not in PARTS or name in seen or not re.fullmatch(PARTS[name], value):
            return f"“{part}” is not how something repeats. It looks like {EXAMPLE}."
        seen.add(name)
    if "FREQ" not in seen:
        return f"It does not say how often. It looks like {EXAMPLE}."
    if "BYMONTHDAY" in seen and re.search(r"BYDAY=[^;]*\d", rule):
        return "A day of the month and a counted weekday do not go together."
    try:
        _without_until(rule)
    except ValueError:
        return "UNTIL is not a day."
    return ""


def _could_be(day: datetime, rule: str) -> bool:
    """Whether its month, its day of the month and its weekday are among those that the rule names."""
    parts = dict(part.split("=") for part in rule.split(";"))
    from_the_end = day.day - monthrange(day.year, day.month)[1] - 1
    named = {name: {int(each) for each in parts.get(name, "").split(",") if each} for name in ("BYMONTH", "BYMONTHDAY")}
    weekdays = parts.get("BYDAY", "")
    return (
        (not named["BYMONTH"] or day.month in named["BYMONTH"])
        and (not named["BYMONTHDAY"] or bool({day.day, from_the_end} & named["BYMONTHDAY"]))
        and (not weekdays or WEEKDAYS[day.weekday()] in re.findall("[A-Z]{2}", weekdays))
    )


def _without_until(rule: str) -> tuple[str, datetime | None]:
    """The rule without its last day, and the end of that day."""
    parts = rule.split(";")
    days = [part.removeprefix("UNTIL=") for part in parts if part.startswith("UNTIL=")]
    rest = ";".join(part for part in parts if not part.startswith("UNTIL="))
    return rest, datetime.strptime(f"{days[0]}235959", "%Y%m%d%H%M%S") if days else None  # noqa: DTZ007 - local
