"""The words for targets and their changes."""

from datetime import date, datetime
from typing import TYPE_CHECKING

from django.utils.dates import WEEKDAYS_ABBR
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from instances.choices import FreezeScope
from instances.pins import PinEnd
from instances.repeats import Pattern, Repeat, pattern_of
from releasemgr.lib import words

if TYPE_CHECKING:
    from instances.models import Instance, Target


def target_words(target: "Target") -> str:
    """“stable”, “pinned 4.19.5”."""
    return target.channel or _("pinned %(version)s") % {"version": target.build}


def end_words(target: "Target", now: datetime) -> str:
    """How a pin ends: “until Tue 15 Dec 00:00 UTC, then follows stable”. Empty for a channel (T2)."""
    if target.build is None:
        return ""
    if target.ends is PinEnd.ON_DATE and target.until:
        values = {"until": words.moment_in(target.until, now), "channel": target.then}
        return (_("until %(until)s, then follows %(channel)s") if target.then else _("until %(until)s")) % values
    if target.ends is PinEnd.CAUGHT_UP:
        values = {"version": str(target.build), "channel": target.then}
        return _("until %(channel)s is at %(version)s or later, then follows it") % values
    return _("until someone changes the target")


def change_words(before: "Target | None", after: "Target") -> str:
    if before is None:
        return _("to %(after)s") % {"after": target_words(after)}
    return _("from %(before)s to %(after)s") % {"before": target_words(before), "after": target_words(after)}


def scope_words(scope: str, customer: object, tag: object) -> str:
    """Which sites a freeze leaves alone: “all sites”, “customer Acme”, “tag healthcare”."""
    if scope == FreezeScope.CUSTOMER:
        return _("customer %(name)s") % {"name": customer}
    if scope == FreezeScope.TAG:
        return _("tag %(name)s") % {"name": tag}
    return str(FreezeScope(scope).label)


def repeat_words(rule: str) -> str:
    """“once”, “every week on Mon, Fri”, “each month end, until 31 Mar 2027”."""
    pattern = pattern_of(rule)
    words = _repeat_words(pattern)
    if pattern.last_day is None:
        return words
    return _("%(words)s, until %(day)s") % {"words": words, "day": _day(pattern.last_day)}


def _repeat_words(pattern: Pattern) -> str:
    match pattern.repeat:
        case Repeat.ONCE:
            return _("once")
        case Repeat.WEEKLY if len(pattern.weekdays) == len(WEEKDAYS_ABBR):
            return _("every day")
        case Repeat.WEEKLY:
            return _("every week on %(days)s") % {
                "days": ", ".join(str(WEEKDAYS_ABBR[n]) for n in sorted(pattern.weekdays))
            }
        case Repeat.MONTH_END:
            return _("each month end")
        case Repeat.MONTH_DAY:
            return _("each month on day %(day)d") % {"day": pattern.day}
        case Repeat.YEARLY:
            return _("every year")
        case _:
            return _("by the rule %(rule)s") % {"rule": pattern.rule}


def _day(day: date) -> str:
    return date_format(day, "j M Y", use_l10n=False)


def pin_end_words(site: "Instance") -> str:
    """Why a pin ended by itself (T2)."""
    words = {"version": site.target_build, "channel": site.pin_then_id}
    if site.pin_end is PinEnd.CAUGHT_UP:
        return _("%(channel)s has caught up with %(version)s.") % words
    return _("The pin to %(version)s ended on its date.") % words
