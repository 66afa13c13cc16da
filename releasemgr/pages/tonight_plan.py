"""The one plan of the next night, read by every page that says what tonight does."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest

from upgrades.night import Night
from upgrades.plan import Decision, Facts, plan_with_waves
from upgrades.selection import Candidate
from upgrades.services.facts import facts_of_night
from upgrades.services.planning import next_night
from upgrades.services.selections import candidates
from upgrades.waves import Wave


@dataclass(frozen=True)
class TonightPlan:
    """The next night, and what it does to each site, by the site's id."""

    night: Night
    decisions: Mapping[int, Decision]
    facts: Facts
    waves: tuple[Wave, ...] = ()

    def candidates(self, now: datetime) -> list[Candidate]:
        """Every site as a filter sees it. Up to six queries."""
        return candidates(self.decisions.values(), self.night, now)


def plan_of_tonight(now: datetime, request: HttpRequest | None = None) -> TonightPlan:
    """A handful of queries, whatever the number of sites.

    What only reads, and hands its request over, plans once: the page and the shell around it share the plan.
    """
    if request is None or request.method not in ("GET", "HEAD"):
        return _plan(now)
    known: TonightPlan | None = getattr(request, "tonight_plan", None)
    if known is None:
        known = _plan(now)
        request.tonight_plan = known  # type: ignore[attr-defined] # kept for this request alone
    return known


def _plan(now: datetime) -> TonightPlan:
    night = next_night(now)
    facts = facts_of_night(night)
    decisions, waves = plan_with_waves(facts, night.starts_at, night.ends_at)
    return TonightPlan(night, {decision.site.id: decision for decision in decisions}, facts, tuple(waves))


def is_off_target(decision: Decision) -> bool:
    """Whether the site runs something else than its target means, whatever tonight does about it."""
    return decision.upgrades or decision.off_target
