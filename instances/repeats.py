"""How a freeze comes again, as people choose it, and the rule of iCalendar that says the same."""

import re
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from instances.recurrence import WEEKDAYS


class Repeat(StrEnum):
    ONCE = "once"
    WEEKLY = "weekly"
    MONTH_END = "month_end"
    MONTH_DAY = "month_day"
    YEARLY = "yearly"
    RULE = "rule"


@dataclass(frozen=True)
class Pattern:
    """`weekdays` (Monday is 0) are for WEEKLY, `day` for MONTH_DAY, `rule` for RULE.

    `last_day` is the last one on which it may begin; None: no last one.
    """

    repeat: Repeat
    weekdays: frozenset[int] = frozenset()
    day: int | None = None
    rule: str = ""
    last_day: date | None = None

    @property
    def as_rule(self) -> str:
        """Empty for once."""
        body = self._body()
        return f"{body};UNTIL={self.last_day:%Y%m%d}" if body and self.last_day else body

    def _body(self) -> str:
        match self.repeat:
            case Repeat.WEEKLY:
                return f"FREQ=WEEKLY;BYDAY={','.join(WEEKDAYS[day] for day in sorted(self.weekdays))}"
            case Repeat.MONTH_END:
                return "FREQ=MONTHLY;BYMONTHDAY=-1"
            case Repeat.MONTH_DAY:
                return f"FREQ=MONTHLY;BYMONTHDAY={self.day}"
            case Repeat.YEARLY:
                return "FREQ=YEARLY"
            case Repeat.RULE:
                return self.rule
        return ""


def pattern_of(rule: str) -> Pattern:
    """What a person would have chosen for it."""
    if not rule:
        return Pattern(Repeat.ONCE)
    body, last_day = _split(rule)
    if body == "FREQ=YEARLY":
        return Pattern(Repeat.YEARLY, last_day=last_day)
    if body == "FREQ=MONTHLY;BYMONTHDAY=-1":
        return Pattern(Repeat.MONTH_END, last_day=last_day)
    if found := re.fullmatch(r"FREQ=MONTHLY;BYMONTHDAY=(\d+)", body):
        return Pattern(Repeat.MONTH_DAY, day=int(found[1]), last_day=last_day)
    if found := re.fullmatch(r"FREQ=WEEKLY;BYDAY=([A-Z,]+)", body):
        days = frozenset(WEEKDAYS.index(name) for name in found[1].split(","))
        return Pattern(Repeat.WEEKLY, weekdays=days, last_day=last_day)
    return Pattern(Repeat.RULE, rule=body, last_day=last_day)


def _split(rule: str) -> tuple[str, date | None]:
    """The rule without its last day, and that day."""
    parts = [part for part in rule.split(";") if not part.startswith("UNTIL=")]
    found = re.search(r"UNTIL=(\d{8})", rule)
    return ";".join(parts), datetime.strptime(found[1], "%Y%m%d").date() if found else None  # noqa: DTZ007 - a day
