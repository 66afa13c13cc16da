"""The rows of a preview: what a change does to each site, and what differs from the preview shown before."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from django.forms import Form
from django.utils.translation import gettext as _

from builds.models import Build
from releasemgr.lib.history.services import last_seen
from releasemgr.lib.words import place_of
from upgrades.plan import Code, Decision
from upgrades.sentences import LOOKS, Look, decision_sentence
from upgrades.services.planning import Effect, MovePreview


@dataclass(frozen=True)
class Row:
    """`mark` says how the row differs from what was shown before: a word, or nothing."""

    effect: Effect
    mark: str = ""

    @property
    def slug(self) -> str:
        return self.effect.site.slug

    @property
    def kind(self) -> str:
        return "live" if self.effect.site.live else "test"

    @property
    def reported(self) -> str:
        return self.effect.site.reported

    @property
    def to(self) -> str:
        return _version(self.effect.after)

    @property
    def before(self) -> str:
        return _version(self.effect.before)

    @property
    def note(self) -> str:
        """What else was to happen tonight without the change."""
        before = self.effect.before
        if not before.upgrades or self.before == self.to:
            return ""
        return _("Was to get %(version)s tonight") % {"version": self.before}

    @property
    def turn(self) -> str:
        """When its turn may come, on the clock of its window where it has one: “01:00 Dublin”. Empty for a stay."""
        after = self.effect.after
        if after.opens_at is None:
            return ""
        zone = after.site.windows[0].zone if after.site.windows else UTC
        name = place_of(after.site.windows[0].zone.key) if after.site.windows else "UTC"
        return f"{after.opens_at.astimezone(zone):%H:%M} {name}"

    @property
    def wave(self) -> int | None:
        return self.effect.after.wave

    @property
    def look(self) -> Look:
        return LOOKS[self.effect.after.code]

    @property
    def look_before(self) -> Look:
        return LOOKS[self.effect.before.code]

    @property
    def short(self) -> str:
        """Until when and why it is left alone, else a word or two."""
        after = self.effect.after
        return decision_sentence(after) if after.code in (Code.ON_HOLD, Code.FROZEN) else str(self.look.label)

    @property
    def why(self) -> str:
        return decision_sentence(self.effect.after)


def _version(decision: Decision) -> str:
    return decision.to.version if decision.to else ""


def said_of(effect: Effect) -> str:
    """A row in one short text, equal for equal rows: what a form carries along."""
    return " ".join((effect.after.code, effect.site.reported, _version(effect.before), _version(effect.after)))


def shown_rows(preview: MovePreview) -> dict[str, str]:
    """By the site's id, as JSON has it."""
    return {str(effect.site.id): said_of(effect) for effect in preview.changed}


def rows_of(effects: Iterable[Effect], shown: Mapping[str, str] | None = None) -> list[Row]:
    """Without `shown` nothing is marked."""
    return [Row(effect, _mark(effect, shown)) for effect in effects]


def _mark(effect: Effect, shown: Mapping[str, str] | None) -> str:
    if shown is None or shown.get(str(effect.site.id)) == said_of(effect):
        return ""
    return _("changed") if str(effect.site.id) in shown else _("new")


def differing(preview: MovePreview, shown: Mapping[str, str] | None) -> dict[str, Any]:
    """For a page: whether anything differs from what was shown, and the sites that are not concerned any more."""
    return {
        "differs": shown is not None and dict(shown) != shown_rows(preview),
        "gone": gone_from(preview, shown),
    }


def change_seen(form: Form | None, build: Build) -> int:
    """The build's last change that a person has seen (T7); a form that was refused for itself showed no newer one."""
    seen = form.cleaned_data.get("last_change") if form is not None and form.errors else None
    return last_seen(build) if seen is None else int(seen)


def gone_from(preview: MovePreview, shown: Mapping[str, str] | None) -> list[Row]:
    """Sites that were to change when the preview was shown, and are not any more."""
    left = set(shown or {}) - shown_rows(preview).keys()
    return [Row(effect) for effect in preview.effects if str(effect.site.id) in left]
