"""Times, durations and sizes in words, as every page, command and message writes them."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

UNITS = ("B", "kB", "MB", "GB", "TB")


def day_of(moment: datetime, now: datetime) -> str:
    """“23 Nov” in UTC, with the year when it is not this one."""
    moment = moment.astimezone(UTC)
    return date_format(moment, "j M" if moment.year == now.astimezone(UTC).year else "j M Y", use_l10n=False)


def moment_of(moment: datetime, now: datetime) -> str:
    """“23 Nov 14:05” in UTC, with the year when it is not this one."""
    return f"{day_of(moment, now)} {moment.astimezone(UTC):%H:%M}"


def local_of(moment: datetime, zone: tzinfo, now: datetime) -> str:
    """“Mon 30 Nov 18:00” on the clock of a zone, with the year when it is not this one. The zone stands beside it."""
    local = moment.astimezone(zone)
    shape = "D j M H:i" if local.year == now.astimezone(zone).year else "D j M Y H:i"
    return date_format(local.replace(tzinfo=None), shape, use_l10n=False)


def moment_in(moment: datetime, now: datetime, zone: str = "") -> str:
    """“Tue 24 Nov 01:00 in Dublin”: by the clock on the wall of a zone, or of the installation's."""
    zone = zone or timezone.get_default_timezone_name()
    values = {"moment": local_of(moment, ZoneInfo(zone), now), "place": place_of(zone)}
    return (_("%(moment)s UTC") if zone == "UTC" else _("%(moment)s in %(place)s")) % values


def place_of(zone: str) -> str:
    """“Dublin” for Europe/Dublin."""
    return zone.rpartition("/")[2].replace("_", " ")


def took(duration: timedelta) -> str:
    """“3 min 12 s”: the two largest units that say something."""
    seconds = round(duration.total_seconds())
    if seconds < 1:
        return _("under 1 s")
    if seconds < 60:
        return _("%d s") % seconds
    if seconds < 3600:
        return _pair(_("%d min"), seconds // 60, _("%d s"), seconds % 60)
    return _hours(seconds // 60)


def until(moment: datetime, now: datetime) -> str:
    """“in 12 h 46 min”. Empty for what is past: that is given as a time."""
    minutes = round((moment - now).total_seconds() / 60)
    if moment <= now:
        return ""
    if minutes < 1:
        return _("in less than 1 min")
    if minutes < 60:
        return _("in %(min)d min") % {"min": minutes}
    if minutes < 48 * 60:
        return _("in %(duration)s") % {"duration": _hours(minutes)}
    days = minutes // (24 * 60)
    return ngettext("in %(days)d day", "in %(days)d days", days) % {"days": days}


def size_of(count: int) -> str:
    """“3.1 GB”, “41 GB”, “512 B”: one decimal below 10, from kB up."""
    amount, unit = float(count), 0
    while round(amount) >= 1000 and unit < len(UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    digits = 1 if unit and round(amount, 1) < 10 else 0
    return f"{amount:.{digits}f} {UNITS[unit]}"


def _hours(minutes: int) -> str:
    if minutes < 48 * 60:
        return _pair(_("%d h"), minutes // 60, _("%d min"), minutes % 60)
    return _pair(_("%d d"), minutes // (24 * 60), _("%d h"), minutes // 60 % 24)


def _pair(large: str, amount: int, small: str, rest: int) -> str:
    """“15 min”, “15 min 3 s”: a rest of nothing is not written."""
    return f"{large % amount} {small % rest}" if rest else large % amount
