"""What becomes of the upgrades to a build that are under way when it is withdrawn (R9)."""

from dataclasses import dataclass

from builds.models import Build
from upgrades.choices import StepState, UpgradeState
from upgrades.models import Upgrade
from upgrades.services.assignments import recipe_as_it_was


@dataclass(frozen=True)
class UnderWay:
    """Those that are stopped before their switch, those that are past it and finish, those that go back already."""

    stopped: list[Upgrade]
    finishing: list[Upgrade]
    going_back: list[Upgrade]

    @property
    def total(self) -> int:
        return len(self.stopped) + len(self.finishing) + len(self.going_back)


def under_way_to(build: Build) -> UnderWay:
    """As their hosts have told so far. Two queries."""
    stopped, finishing, going_back = list[Upgrade](), list[Upgrade](), list[Upgrade]()
    for upgrade in Upgrade.objects.begun().filter(build=build).for_list().prefetch_related("steps"):
        if upgrade.state == UpgradeState.ROLLING_BACK:
            going_back.append(upgrade)
        else:
            (finishing if _is_past_its_switch(upgrade) else stopped).append(upgrade)
    return UnderWay(stopped, finishing, going_back)


def _is_past_its_switch(upgrade: Upgrade) -> bool:
    """Whether the last step before which it can be stopped has begun. A recipe may have none: it is never past it."""
    last = recipe_as_it_was(upgrade).point_of_no_return
    return any(step.name == last and step.state != StepState.WAITING for step in upgrade.steps.all())
