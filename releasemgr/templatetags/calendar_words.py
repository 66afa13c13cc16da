"""The words of the calendar, for its templates."""

from datetime import date, datetime

from django import template

from instances.windows import Span
from releasemgr.pages import calendar_days
from releasemgr.pages.calendar_days import Bar, Event, Opening, Touch

register = template.Library()


@register.simple_tag
def opening_words(opening: Opening, zone: str) -> str:
    return calendar_days.opening_words(opening, zone)


@register.simple_tag
def bar_words(bar: Bar, zone: str, now: datetime) -> str:
    return calendar_days.bar_words(bar, zone, now)


@register.simple_tag
def touch_words(touch: Touch, day: date, zone: str, now: datetime) -> str:
    return calendar_days.touch_words(touch, day, zone, now)


@register.simple_tag
def hours(span: Span, zone: str) -> str:
    """From and until, on the clock of a zone."""
    return calendar_days.hours(span, zone)


@register.filter
def shortened(events: list[Event]) -> list[Event]:
    return calendar_days.shortened(events)
