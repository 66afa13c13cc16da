"""What happened to a site: changes of its target and its upgrades, merged, newest first."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from instances.models import Instance, TargetChange
from instances.sentences import change_words
from releasemgr.lib.choices import Colour
from upgrades.choices import GOOD, EndCode, Outcome
from upgrades.models import Upgrade
from upgrades.sentences import end_sentence

CHANGE, UPGRADE = "change", "upgrade"


@dataclass(frozen=True)
class Entry:
    """One line of the history; `upgrade` is None for a change of the target."""

    moment: datetime
    colour: str
    icon: str
    title: str
    words: str
    detail: str
    upgrade: Upgrade | None = None


def history_rows(site: Instance, *, upgrades_only: bool = False) -> Any:
    """Rows of (what, moment, id), newest first, to be sliced: one query for any slice."""
    moment = Coalesce("ended_at", "started_at", "created_at")
    upgrades = site.upgrades.order_by().annotate(what=Value(UPGRADE), moment=moment)
    changes = site.target_changes.order_by().annotate(what=Value(CHANGE), moment=F("at"))
    columns = ("what", "moment", "pk")
    if upgrades_only:
        return upgrades.values_list(*columns).order_by("-moment", "-pk")
    return upgrades.values_list(*columns).union(changes.values_list(*columns), all=True).order_by("-moment", "-pk")


def entries(rows: Iterable[tuple[str, datetime, int]]) -> list[Entry]:
    """Two queries, whatever the number of rows."""
    rows = list(rows)
    numbers = {what: [number for kind, _moment, number in rows if kind == what] for what in (CHANGE, UPGRADE)}
    changes = TargetChange.objects.select_related("by", "from_build", "to_build").in_bulk(numbers[CHANGE])
    upgrades = Upgrade.objects.select_related("build", "run").in_bulk(numbers[UPGRADE])
    return [
        _of_change(changes[number], moment) if what == CHANGE else _of_upgrade(upgrades[number], moment)
        for what, moment, number in rows
    ]


def _of_change(change: TargetChange, moment: datetime) -> Entry:
    pinned = change.to_build_id is not None
    return Entry(
        moment,
        Colour.HOLD,
        "pin" if pinned else "crosshair",
        _("Target changed") if change.before else _("Target set"),
        change_words(change.before, change.after),
        _said(change.made_by, change.reason),
    )


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
