"""The waves of a night in words: who, from when in whose city, and how many may fail before it halts."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.text import capfirst
from django.utils.translation import gettext as _

from releasemgr.lib.words import place_of
from upgrades.choices import WaveChoice
from upgrades.plan import Decision
from upgrades.run_words import wave_limit
from upgrades.services.previews import PlannedNight
from upgrades.waves import Wave

ZONES_NAMED = 3


@dataclass(frozen=True)
class WaveRow:
    number: int
    who: str
    sites: int
    opens: str
    halts: str


def wave_rows(planned: PlannedNight) -> list[WaveRow]:
    by_site = {decision.site.id: decision for decision in planned.upgrading}
    return [_row(wave, [by_site[site] for site in wave.sites], planned) for wave in planned.waves]


def _row(wave: Wave, going: list[Decision], planned: PlannedNight) -> WaveRow:
    upgrades = sum(len(decision.legs) for decision in going)
    zones = {decision.site.windows[0].zone.key for decision in going if decision.site.windows}
    opens = opening_words(wave.opens_at, zones or {planned.timetable.zone.key})
    who, halts = capfirst(str(WaveChoice(wave.kind).label)), wave_limit(wave.kind, upgrades, planned.limits)
    return WaveRow(wave.number, who, len(going), opens, halts)


def opening_words(opens_at: datetime, zones: Iterable[str]) -> str:
    """“from 01:00 in Dublin”, in each zone by its own clock; more than three are counted."""
    places = sorted((place_of(zone), f"{opens_at.astimezone(ZoneInfo(zone)):%H:%M}") for zone in zones)
    said = [_("%(time)s in %(place)s") % {"time": clock, "place": place} for place, clock in places[:ZONES_NAMED]]
    if len(places) > ZONES_NAMED:
        said.append(_("%(n)d more zones") % {"n": len(places) - ZONES_NAMED})
    return _("from %(times)s") % {"times": ", ".join(said)}
