"""One table for what happens to sites: of a run, of tonight, of what would be tried again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from instances.choices import Kind
from upgrades import sentences
from upgrades.plan import Decision


@dataclass(frozen=True)
class RowLink:
    """What can be done about a row. `quiet` is a plain link, else it is a button."""

    label: str
    url: str
    id: str = ""
    icon: str = ""
    quiet: bool = False


@dataclass(frozen=True)
class SiteRow:
    """One site: from what to what, and what of it; `look` colours `words`, None leaves them plain.

    `way` says over what it goes, `more` why; `cells` fill the table's own columns.
    """

    slug: str
    live: bool
    old: str
    new: str
    words: str = ""
    look: Any = None
    way: str = ""
    more: str = ""
    cells: Sequence[Any] = ()
    links: Sequence[RowLink] = ()

    @property
    def url(self) -> str:
        return reverse("site", args=[self.slug])

    @property
    def kind(self) -> Kind:
        return Kind.LIVE if self.live else Kind.TEST


@dataclass(frozen=True)
class RowGroup:
    """Rows below one heading; `note` is the grey text beside it."""

    title: str
    rows: Sequence[SiteRow]
    note: str = ""
    look: Any = None


@dataclass(frozen=True)
class SiteRows:
    """The table: its caption, the headings of its columns after site and kind, and its groups.

    A group without a title has no heading. `notes` adds the way to the release notes of each change.
    """

    caption: str
    change: str
    words: str
    columns: Sequence[str] = ()
    groups: Sequence[RowGroup] = field(default_factory=list)
    notes: bool = False

    @property
    def width(self) -> int:
        return 5 + len(self.columns)


def way_words(decision: Decision) -> str:
    """Over which stepping stones a site goes, and where it wants to in the end (T8). Empty for a straight way."""
    via = ", ".join(leg.version for leg in decision.legs[:-1])
    short = bool(decision.to and decision.legs and decision.legs[-1].id != decision.to.id)
    said = [_("over %(via)s") % {"via": via}] if via else []
    if short and decision.to:
        said.append(_("on the way to %(to)s") % {"to": decision.to.version})
    return ", ".join(said)


def end_of(decision: Decision) -> str:
    """Where the site is in the morning if all goes well, or the build that its target means."""
    last = decision.legs[-1] if decision.legs else decision.to
    return last.version if last else ""


def target_words(decision: Decision) -> str:
    """What the rule about the target says: the reason for an upgrade."""
    check = next(check for check in decision.checks if check.rule == "target")
    return sentences.check_sentence(check)
