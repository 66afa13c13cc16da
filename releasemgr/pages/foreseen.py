"""What a change would do to the night: found by making it, asking the plan, and taking it back (T3).

So a preview runs the verb that saving runs, with its refusals, and asks the planner that the night asks (P1).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from instances.models import Instance
from releasemgr.lib import words
from releasemgr.lib.choices import Colour
from upgrades.night import Night
from upgrades.plan import Code, Decision
from upgrades.sentences import decision_sentence, preview_sentences, way_on
from upgrades.services.planning import Effect, decide_sites, next_chances

WAITING = (Code.ON_HOLD, Code.FROZEN, Code.OUTSIDE_WINDOW, Code.WINDOW_TOO_SHORT)
"""What ends by itself: there is a time at which the site's turn comes."""


@dataclass(frozen=True)
class Said:
    """The effect of a form: `strong` is the sentence that matters, `more` what stands beside it.

    `on_hold`: a hold decides about the site then, and `more` says until when.
    """

    colour: Colour
    opening: str
    strong: str = ""
    more: str = ""
    on_hold: bool = False


def foresee(
    act: Callable[[], Any],
    sites: Callable[[], Iterable[Instance]],
    night: Night,
    look: Callable[[], Any] = lambda: None,
) -> tuple[list[Effect], Any]:
    """The effect on each of these sites if that were done, and what `look` sees then. Changes nothing.

    `sites` is asked again after the act. What the act refuses is raised.
    """
    before = decide_sites(sites(), night)
    with transaction.atomic():
        act()
        after, seen = decide_sites(sites(), night), look()
        transaction.set_rollback(True)
    return [Effect(before.get(number, decision), decision) for number, decision in after.items()], seen


def foresee_site(act: Callable[[], Any], site: Instance, night: Night, now: datetime) -> Said:
    """The same for one site, in words, with its next chance where it would not go."""
    effects, chance = foresee(act, lambda: [site], night, lambda: chance_of(site, night, now))
    return effect_said(effects[0], chance)


def effect_said(effect: Effect, chance: str) -> Said:
    if not effect.changed:
        return Said(
            Colour.IDLE, _("If saved:"), _("tonight stays as it is."),
            " ".join(filter(None, (decision_sentence(effect.after), chance))),
            effect.after.code is Code.ON_HOLD,
        )  # fmt: skip
    strong, more = preview_sentences(effect.before, effect.after)
    colour = Colour.RUN if effect.after.upgrades else Colour.HOLD
    held = effect.after.code is Code.ON_HOLD
    return Said(colour, _("If saved:"), strong, " ".join(filter(None, (more, chance))), held)


def chance_of(site: Instance, night: Night, now: datetime) -> str:
    """When the site's turn comes, where something that ends by itself keeps it that night; else empty."""
    decision = decide_sites([site], night)[site.pk]
    return chance_words(decision, site, now) if decision.code in WAITING else ""


def chance_words(decision: Decision, site: Instance, now: datetime) -> str:
    """What has to happen, or the time at which its windows, holds and freezes let it go. Empty for a settled site."""
    if decision.code not in WAITING:
        return f"{way_on(decision.code)}." if way_on(decision.code) else ""
    chance = next_chances([site], now, decision.site.needs)[site.pk]
    if chance is None:
        return _("No chance within two months.")
    return _("Next chance: %(moment)s.") % {"moment": words.moment_in(chance, now, zone_of(decision))}


def zone_of(decision: Decision) -> str:
    """The zone by whose clock the site's hours are told; empty for the installation's."""
    windows = decision.site.windows
    return windows[0].zone.key if windows else ""
