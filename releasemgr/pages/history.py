"""What happened to a site: changes of its target, its other changes and its upgrades, merged, newest first."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, F, QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from instances.models import Instance, TargetChange
from instances.pins import PinEnd
from instances.sentences import change_words, end_words
from releasemgr.lib.choices import Colour
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import changes_of
from releasemgr.pages.activity_words import Difference, differences, look_of
from upgrades.choices import GOOD, EndCode, Outcome
from upgrades.models import Upgrade
from upgrades.sentences import end_sentence

TARGET, CHANGE, UPGRADE = "target", "change", "upgrade"
TOLD_BY_TARGET = ("target.changed",)
"""A change of a target has a row of its own, with its terms."""


@dataclass(frozen=True)
class Entry:
    """One line of the history; `upgrade` is None for a change, `differences` are those of what is no target."""

    moment: datetime
    colour: str
    icon: str
    title: str
    words: str
    detail: str
    upgrade: Upgrade | None = None
    differences: tuple[Difference, ...] = ()


def history_rows(site: Instance, *, upgrades_only: bool = False) -> Any:
    """Rows of (what, moment, id), newest first, to be sliced: one query for any slice."""
    moment = Coalesce("ended_at", "started_at", "created_at")
    upgrades = site.upgrades.order_by().annotate(what=Value(UPGRADE), moment=moment)
    columns = ("what", "moment", "pk")
    if upgrades_only:
        return upgrades.values_list(*columns).order_by("-moment", "-pk")
    others = [_targets(site).values_list(*columns), _others(site).values_list(*columns)]
    return upgrades.values_list(*columns).union(*others, all=True).order_by("-moment", "-pk")


def _targets(site: Instance) -> QuerySet[TargetChange]:
    """Without the first one where the line of the site's beginning says it."""
    told = changes_of(site).order_by().filter(kind="site.added")
    changes = site.target_changes.order_by().annotate(what=Value(TARGET), moment=F("at"))
    return changes.exclude(Exists(told), from_channel=None, from_build=None)


def _others(site: Instance) -> QuerySet[Change]:
    changes = changes_of(site).select_related(None).order_by().exclude(kind__in=TOLD_BY_TARGET)
    return changes.annotate(what=Value(CHANGE), moment=F("at"))


def entries(rows: Iterable[tuple[str, datetime, int]], now: datetime) -> list[Entry]:
    """Three queries, whatever the number of rows."""
    rows = list(rows)
    numbers: dict[str, list[int]] = defaultdict(list)
    for what, _moment, number in rows:
        numbers[what].append(number)
    targets = TargetChange.objects.select_related("by", "from_build", "to_build").in_bulk(numbers[TARGET])
    changes = Change.objects.select_related("by").in_bulk(numbers[CHANGE])
    upgrades = Upgrade.objects.select_related("build", "run").in_bulk(numbers[UPGRADE])
    return [
        _of_target(targets[number], moment, now) if what == TARGET
        else _of_change(changes[number], moment, now) if what == CHANGE
        else _of_upgrade(upgrades[number], moment)
        for what, moment, number in rows
    ]  # fmt: skip


def _of_target(change: TargetChange, moment: datetime, now: datetime) -> Entry:
    pinned = change.to_build_id is not None
    said = [change_words(change.before, change.after)]
    if pinned and change.after.ends is not PinEnd.NEVER:
        said.append(end_words(change.after, now))
    return Entry(
        moment,
        Colour.HOLD,
        "pin" if pinned else "crosshair",
        _("Target changed") if change.before else _("Target set"),
        " ".join(said),
        _said(change.made_by, change.reason),
    )


def _of_change(change: Change, moment: datetime, now: datetime) -> Entry:
    look = look_of(change.kind)
    before, after = (_without_numbers(values) for values in (change.before, change.after))
    found = tuple(differences(change.kind, before, after, now))
    return Entry(moment, look.colour, look.icon, str(look.label), "", _said(change.who, change.reason), None, found)


def _without_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """A hold's number is for machines."""
    return {name: value for name, value in values.items() if name != "hold"}


def _said(name: str, reason: str) -> str:
    return _("%(name)s: “%(reason)s”") % {"name": name, "reason": reason} if reason else name


def _of_upgrade(upgrade: Upgrade, moment: datetime) -> Entry:
    status = upgrade.status
    return Entry(moment, status.colour, status.icon, str(status.label), "", _how_it_ended(upgrade), upgrade)


def _how_it_ended(upgrade: Upgrade) -> str:
    """Empty while it is under way, and where the outcome says all."""
    if not upgrade.outcome or upgrade.outcome in GOOD:
        return ""
    return end_sentence(Outcome(upgrade.outcome), EndCode(upgrade.end_code), upgrade.end_values)
