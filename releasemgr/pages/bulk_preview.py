"""What an act on many sites does to each of them tonight, in groups (T3, T9)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.utils.translation import gettext_lazy as _

from instances.models import Instance
from releasemgr.lib.choices import Colour
from releasemgr.pages.effects import Row, rows_of, said_of
from upgrades.sentences import Look
from upgrades.services.planning import Effect
from upgrades.services.selections import effects_print

MANY_LIVE = 5
"""From so many LIVE sites on their number is typed."""

UPGRADES = Look(_("Upgrade tonight"), Colour.RUN, "circle-arrow-up")
STOPS = Look(_("Do not upgrade tonight any more"), Colour.HOLD, "circle-pause")
UNCHANGED = Look(_("Tonight nothing changes"), Colour.IDLE, "circle-minus")
REFUSED = Look(_("Refused"), Colour.BAD, "ban")
SETTLED = Look(_("Stay as they are"), Colour.IDLE, "circle-check")


@dataclass(frozen=True)
class Group:
    """`words` says of a site why it is here, by its id; empty: what the plan says."""

    look: Look
    rows: list[Row]
    words: Mapping[int, str] = field(default_factory=dict)

    def lines(self) -> list[tuple[Row, str]]:
        return [(row, self.words.get(row.effect.site.id) or row.why) for row in self.rows]


@dataclass(frozen=True)
class BulkPreview:
    """`refusals` and `settled` say of sites, by their id, why they may not be changed, or need not."""

    sites: Mapping[int, Instance]
    effects: list[Effect]
    refusals: Mapping[int, str]
    settled: Mapping[int, str]
    shown: Mapping[str, str] | None = None

    @property
    def fingerprint(self) -> str:
        return effects_print(self.effects)

    @cached_property
    def rows(self) -> dict[str, str]:
        """What a form carries along, to mark what differs later."""
        return {str(effect.site.id): said_of(effect) for effect in self.effects}

    @cached_property
    def changed(self) -> list[Effect]:
        """Of the sites that the act changes."""
        left = self.refusals.keys() | self.settled.keys()
        return [effect for effect in self.effects if effect.site.id not in left]

    @property
    def number(self) -> int:
        return len(self.changed)

    @property
    def live(self) -> int:
        return sum(effect.site.live for effect in self.changed)

    @property
    def to_type(self) -> str:
        """What a person types first, where LIVE sites are many."""
        return str(self.live) if self.live >= MANY_LIVE and not self.refusals else ""

    @property
    def may_be_confirmed(self) -> bool:
        return bool(self.changed) and not self.refusals

    def groups(self) -> list[Group]:
        """Without those that are empty. The refused come first: they stop the rest."""
        found = [
            Group(REFUSED, self._rows(lambda one: one.site.id in self.refusals), self.refusals),
            Group(UPGRADES, self._rows(self._upgrades)),
            Group(STOPS, self._rows(self._stops)),
            Group(UNCHANGED, self._rows(lambda one: self._acts_on(one) and not one.changed)),
            Group(UNCHANGED, self._rows(self._waits)),
            Group(SETTLED, self._rows(lambda one: one.site.id in self.settled), self.settled),
        ]
        return _merged([group for group in found if group.rows])

    def _rows(self, belongs: Callable[[Effect], Any]) -> list[Row]:
        return rows_of([effect for effect in self.effects if belongs(effect)], self.shown)

    def _acts_on(self, effect: Effect) -> bool:
        return effect.site.id not in self.refusals and effect.site.id not in self.settled

    def _upgrades(self, effect: Effect) -> bool:
        return self._acts_on(effect) and effect.changed and effect.after.upgrades

    def _stops(self, effect: Effect) -> bool:
        return self._acts_on(effect) and effect.before.upgrades and not effect.after.upgrades

    def _waits(self, effect: Effect) -> bool:
        """Another target or another reason, and no upgrade either way."""
        both = effect.before.upgrades or effect.after.upgrades
        return self._acts_on(effect) and effect.changed and not both

    def count(self, look: Look) -> int:
        return sum(len(group.rows) for group in self.groups() if group.look is look)

    @property
    def upgrading(self) -> int:
        return self.count(UPGRADES)

    @property
    def stopping(self) -> int:
        return self.count(STOPS)

    @property
    def unchanged(self) -> int:
        return self.count(UNCHANGED)


def _merged(groups: list[Group]) -> list[Group]:
    merged: list[Group] = []
    for group in groups:
        if merged and merged[-1].look is group.look:
            merged[-1] = Group(group.look, merged[-1].rows + group.rows)
        else:
            merged.append(group)
    return merged
