"""The way of a site over stepping stones, as it is shown (T8)."""

from dataclasses import dataclass

from upgrades.plan import Decision


@dataclass(frozen=True)
class Leg:
    """`stone` is whether every site passes through it, `tonight` whether the site gets there tonight."""

    version: str
    stone: bool
    tonight: bool


@dataclass(frozen=True)
class Path:
    begin: str
    legs: tuple[Leg, ...]

    @property
    def goes_on(self) -> bool:
        """Whether a part of it does not fit tonight, which does fit in part."""
        tonight = [leg.tonight for leg in self.legs]
        return any(tonight) and not all(tonight)


def path_of(decision: Decision) -> Path | None:
    """None where no stepping stone lies on the way."""
    if len(decision.path) < 2:
        return None
    legs = [Leg(one.version, one is not decision.path[-1], one in decision.legs) for one in decision.path]
    return Path(decision.site.reported, tuple(legs))
