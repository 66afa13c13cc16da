"""The words and icons for each kind of change, and the plain values of before and after as people read them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Q
from django.utils.dateparse import parse_date, parse_datetime, parse_duration
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from builds.maturity import Maturity
from instances.host_keys import shown_fingerprint
from instances.pins import PinEnd
from releasemgr.lib import words
from releasemgr.lib.choices import Colour

Word = str | Promise
LONGEST = 60
OTHER = "other"

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")
DAY = re.compile(r"\d{4}-\d\d-\d\d")
DURATION = re.compile(r"-?P\d+DT\d+H\d+M[\d.]+S")


class Look(NamedTuple):
    """What happened in a few words, with the subject's name beside it: “Put on hold acme-live”."""

    icon: str
    colour: Colour
    label: Word


class Group(NamedTuple):
    """Kinds that a person filters by as one; `things` is what stands before the dot."""

    key: str
    label: Word
    things: tuple[str, ...]


GROUPS = (
    Group("targets", gettext_lazy("Targets and pins"), ("target", "pin")),
    Group("holds", gettext_lazy("Holds and freezes"), ("hold", "freeze")),
    Group("windows", gettext_lazy("Windows"), ("window",)),
    Group("builds", gettext_lazy("Builds"), ("build", "stepping_stone")),
    Group("problems", gettext_lazy("Problems"), ("problem",)),
    Group("nights", gettext_lazy("Nights and upgrades"), ("run", "night", "nights", "wave", "upgrade", "decision")),
    Group("policy", gettext_lazy("Policy"), ("channel", "policy", "schedule", "limit")),
    Group(
        "fleet",
        gettext_lazy("Sites, customers and hosts"),
        ("site", "customer", "host", "tags", "view", "authority"),
    ),
)

LOOKS: dict[str, Look] = {
    "target.changed": Look("crosshair", Colour.HOLD, gettext_lazy("Target changed")),
    "pin.ended": Look("pin-off", Colour.IDLE, gettext_lazy("Pin ended")),
    "hold.opened": Look("circle-pause", Colour.HOLD, gettext_lazy("Put on hold")),
    "hold.changed": Look("circle-pause", Colour.HOLD, gettext_lazy("Hold changed")),
    "hold.extended": Look("circle-pause", Colour.HOLD, gettext_lazy("Hold extended")),
    "hold.ended": Look("circle-play", Colour.IDLE, gettext_lazy("Hold ended")),
    "freeze.opened": Look("snowflake", Colour.HOLD, gettext_lazy("Frozen")),
    "freeze.changed": Look("snowflake", Colour.HOLD, gettext_lazy("Freeze changed")),
    "freeze.ended": Look("circle-play", Colour.IDLE, gettext_lazy("Freeze ended")),
    "window.changed": Look("calendar-clock", Colour.IDLE, gettext_lazy("Windows changed")),
    "build.registered": Look("package", Colour.IDLE, gettext_lazy("Build registered")),
    "build.smoke_reported": Look("flask-conical", Colour.RUN, gettext_lazy("Smoke tests reported")),
    "build.promoted": Look("circle-arrow-up", Colour.OK, gettext_lazy("Promoted")),
    "build.demoted": Look("undo-2", Colour.WARN, gettext_lazy("Moved back")),
    "build.eligible": Look("bell", Colour.RUN, gettext_lazy("May be promoted")),
    "build.withdrawn": Look("ban", Colour.BAD, gettext_lazy("Withdrawn")),
    "build.quarantined": Look("ban", Colour.BAD, gettext_lazy("Quarantined")),
    "build.promotion_failed": Look("circle-x", Colour.BAD, gettext_lazy("Not promoted")),
    "build.archived": Look("archive", Colour.IDLE, gettext_lazy("Archived")),
    "build.restored": Look("archive-restore", Colour.IDLE, gettext_lazy("Artefact put back")),
    "stepping_stone.marked": Look("footprints", Colour.HOLD, gettext_lazy("Made a stepping stone")),
    "stepping_stone.unmarked": Look("footprints", Colour.IDLE, gettext_lazy("No longer a stepping stone")),
    "problem.reported": Look("bug", Colour.BAD, gettext_lazy("Problem reported")),
    "problem.changed": Look("bug", Colour.WARN, gettext_lazy("Problem changed")),
    "problem.fixed": Look("circle-check", Colour.OK, gettext_lazy("Problem fixed")),
    "problem.dismissed": Look("bug-off", Colour.IDLE, gettext_lazy("Problem dismissed as not real")),
    "problem.reopened": Look("bug", Colour.BAD, gettext_lazy("Problem opened again")),
    "problem.acknowledged": Look("eye", Colour.WARN, gettext_lazy("Problem acknowledged")),
    "channel.changed": Look("sliders-horizontal", Colour.IDLE, gettext_lazy("Channel’s policy changed")),
    "policy.changed": Look("sliders-horizontal", Colour.IDLE, gettext_lazy("Policy changed")),
    "schedule.changed": Look("calendar-clock", Colour.IDLE, gettext_lazy("Schedule changed")),
    "limit.changed": Look("gauge", Colour.IDLE, gettext_lazy("Limit changed")),
    "run.halted": Look("octagon-x", Colour.BAD, gettext_lazy("Run halted")),
    "run.resumed": Look("circle-play", Colour.RUN, gettext_lazy("Run resumed")),
    "run.ended": Look("circle-stop", Colour.IDLE, gettext_lazy("Run ended")),
    "run.builds_released": Look("circle-play", Colour.RUN, gettext_lazy("Builds offered again")),
    "nights.switched_off": Look("circle-pause", Colour.HOLD, gettext_lazy("Nights switched off")),
    "nights.switched_on": Look("circle-play", Colour.OK, gettext_lazy("Nights switched on")),
    "view.saved": Look("bookmark", Colour.RUN, gettext_lazy("View shared")),
    "view.changed": Look("bookmark", Colour.HOLD, gettext_lazy("Shared view changed")),
    "view.deleted": Look("bookmark-x", Colour.BAD, gettext_lazy("Shared view deleted")),
    "decision.put_off": Look("alarm-clock", Colour.HOLD, gettext_lazy("Decision put off")),
    "decision.shown_again": Look("alarm-clock-off", Colour.RUN, gettext_lazy("Decision shown again")),
    "upgrade.cancelled": Look("circle-slash", Colour.IDLE, gettext_lazy("Upgrade cancelled")),
    "upgrade.given_up": Look("unplug", Colour.BAD, gettext_lazy("Upgrade given up")),
    "upgrade.sent_back": Look("undo-2", Colour.WARN, gettext_lazy("Way back run again")),
    "site.unlocked": Look("lock-open", Colour.RUN, gettext_lazy("Site unlocked")),
    "site.unparked": Look("refresh-cw", Colour.RUN, gettext_lazy("May be tried again")),
    "site.added": Look("plus", Colour.OK, gettext_lazy("Site added")),
    "site.changed": Look("pencil", Colour.IDLE, gettext_lazy("Site changed")),
    "site.directory_claimed": Look("map-pin-check", Colour.WARN, gettext_lazy("Directory claimed")),
    "site.deleted": Look("trash-2", Colour.BAD, gettext_lazy("Site deleted")),
    "tags.changed": Look("tag", Colour.IDLE, gettext_lazy("Tags changed")),
    "customer.added": Look("plus", Colour.OK, gettext_lazy("Customer added")),
    "customer.changed": Look("pencil", Colour.IDLE, gettext_lazy("Customer changed")),
    "customer.deleted": Look("trash-2", Colour.BAD, gettext_lazy("Customer deleted")),
    "host.added": Look("plus", Colour.OK, gettext_lazy("Host added")),
    "host.changed": Look("pencil", Colour.IDLE, gettext_lazy("Host changed")),
    "host.deleted": Look("trash-2", Colour.BAD, gettext_lazy("Host deleted")),
    "host.key_approved": Look("key-round", Colour.OK, gettext_lazy("Host key approved")),
    "authority.added": Look("key-round", Colour.WARN, gettext_lazy("Authority for host keys trusted")),
    "authority.removed": Look("key-round", Colour.BAD, gettext_lazy("Authority for host keys removed")),
    "host.key_revoked": Look("key-round", Colour.BAD, gettext_lazy("Host key no longer trusted")),
}

FIELDS: dict[str, Word] = {
    "automatic": gettext_lazy("automatic promotion"),
    "ends_at": gettext_lazy("until"),
    "first_affected": gettext_lazy("first in"),
    "fixed_in": gettext_lazy("fixed in"),
    "health_timeout_s": gettext_lazy("seconds until healthy"),
    "health_url": gettext_lazy("health page"),
    "instance": gettext_lazy("site"),
    "max_parallel": gettext_lazy("upgrades at once"),
    "min_free_mb": gettext_lazy("MB of free disk"),
    "names": gettext_lazy("on"),
    "soak": gettext_lazy("soak time"),
    "starts_at": gettext_lazy("from"),
    "until": gettext_lazy("until"),
    "url": gettext_lazy("URL"),
    "version_url": gettext_lazy("version page"),
    "zone": gettext_lazy("time zone"),
}
"""Where the field's own name would not read well."""

UNSAID = {
    "build.promoted": "channel", "build.demoted": "channel", "build.eligible": "channel",
    "build.promotion_failed": "channel", "build.smoke_reported": "smoke", "window.changed": "window",
    "tags.changed": "tags", "host.key_approved": "host_key", "host.key_revoked": "host_key",
    "authority.added": "host_key", "authority.removed": "host_key",
}  # fmt: skip
"""The field that a kind is about: its label is left out."""

TOLD = {
    "archived_at", "channel_since", "dismissed_at", "dismissed_by", "dismissed_reason", "quarantined_at",
    "smoke_reported_at", "withdrawn_at", "withdrawn_by", "withdrawn_reason",
}  # fmt: skip
"""Fields that say once more what the line itself does: who, when and why. The exports have them."""


@dataclass(frozen=True)
class Difference:
    """One field: from → to. `old` is empty for what came, `new` for what went. `label` is empty where all know it."""

    label: str
    old: str
    new: str

    @property
    def words(self) -> str:
        return " ".join(filter(None, (self.label, " → ".join(filter(None, (self.old, self.new))))))


def look_of(kind: str) -> Look:
    """A kind without words of its own is told by its name: “Site parked” for site.parked."""
    known = LOOKS.get(kind)
    return known or Look("history", Colour.IDLE, kind.replace(".", " ").replace("_", " ").strip().capitalize())


def kinds_in(group: str) -> Q:
    """The changes of a group, by its key."""
    things = {each.key: each.things for each in GROUPS}
    if group == OTHER:
        return ~_of(thing for each in GROUPS for thing in each.things)
    return _of(iter(things[group]))


def _of(things: Iterator[str]) -> Q:
    found = Q()
    for thing in things:
        found |= Q(kind__startswith=f"{thing}.")
    return found


def differences(kind: str, before: Mapping[str, Any], after: Mapping[str, Any], now: datetime) -> list[Difference]:
    """Field by field, but a target as a whole. What was nothing before and is nothing now is left out."""
    if kind.startswith("target."):
        whole = Difference("", target_words(before, now), target_words(after, now))
        return [whole] if whole.words else []
    names = [name for name in dict.fromkeys([*before, *after]) if name not in TOLD]
    found = [
        Difference(_label(kind, name), _side(before, name, after, now), _side(after, name, before, now))
        for name in names
    ]
    return [each for each in found if each.old or each.new]


def target_words(values: Mapping[str, Any], now: datetime) -> str:
    """“stable”, “pinned 4.19.5 until 30 Nov 00:00, then release”. Empty for none."""
    said = {name: value_words(name, value, now) for name, value in values.items()}
    if "version" not in said:
        return said.get("channel", "")
    parts = [_("pinned %(version)s") % said]
    if said.get("until"):
        parts.append(_("until %(until)s") % said)
    elif values.get("ends") == PinEnd.CAUGHT_UP:
        parts.append(_("until its channel catches up"))
    pinned = " ".join(parts)
    return (
        _("%(pinned)s, then %(channel)s") % {"pinned": pinned, "channel": said["then"]} if said.get("then") else pinned
    )


def _label(kind: str, name: str) -> str:
    return "" if UNSAID.get(kind) == name else str(FIELDS.get(name, name.replace("_", " ")))


def _side(values: Mapping[str, Any], name: str, others: Mapping[str, Any], now: datetime) -> str:
    """A value that became nothing, or was, says so only where the other side has one to compare."""
    if name not in values:
        return ""
    said = value_words(name, values[name], now)
    return said or (_("none") if name in others and value_words(name, others[name], now) else "")


def value_words(name: str, value: Any, now: datetime) -> str:
    """A plain value, as JSON gave it back, in at most a line. Empty for nothing."""
    text = " ".join(_said(name, value, now).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()}…"


def _said(name: str, value: Any, now: datetime) -> str:
    match value:
        case None:
            return ""
        case bool():
            return _("yes") if value else _("no")
        case int() if name == "maturity":
            return Maturity(value).name.lower() if value in list(Maturity) else str(value)
        case str() if name == "host_key":
            return shown_fingerprint(value)
        case str():
            return _text(value, now)
        case list():
            return ", ".join(filter(None, (_said(name, each, now) for each in value)))
        case dict() if name == "target":
            return target_words(value, now)
        case dict():
            return " ".join(f"{_label('', key)} {_said(key, each, now)}" for key, each in value.items() if each)
    return str(value)


def _text(value: str, now: datetime) -> str:
    """Times, days and durations as the pages write them."""
    try:
        if MOMENT.fullmatch(value) and (moment := parse_datetime(value)):
            return words.moment_of(moment, now)
        if DAY.fullmatch(value) and (day := parse_date(value)):
            return words.day_of(datetime(day.year, day.month, day.day, tzinfo=now.tzinfo), now)
        if DURATION.fullmatch(value) and (duration := parse_duration(value)) is not None:
            return words.took(duration) if duration else _("none")
    except ValueError:  # looks like a date, and is none
        pass
    return value
