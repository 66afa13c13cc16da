"""The one plan of the next night, read by every page that says what tonight does."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from upgrades.night import Night
from upgrades.plan import Decision
from upgrades.selection import Candidate
from upgrades.services.planning import plan_night
from upgrades.services.selections import candidates


@dataclass(frozen=True)
class TonightPlan:
    """The next night, and what it does to each site, by the site's id."""

    night: Night
    decisions: Mapping[int, Decision]

    def candidates(self, now: datetime) -> list[Candidate]:
        """Every site as a filter sees it. Up to six queries."""
        return candidates(self.decisions.values(), self.night, now)


def plan_of_tonight(now: datetime) -> TonightPlan:
    """A handful of queries, whatever the number of sites."""
    night, decisions = plan_night(now)
    return TonightPlan(night, {decision.site.id: decision for decision in decisions})


def is_off_target(decision: Decision) -> bool:
    """Whether the site runs something else than its target means, whatever tonight does about it."""
    return decision.upgrades or decision.off_target
