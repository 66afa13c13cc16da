"""What the shell around every page says of the fleet: the chips at the top, the counts in the navigation."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from django.core.cache import cache
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from builds.models import Problem, Promotion
from instances.models import Host, TargetChange
from upgrades.models import Run, Upgrade
from upgrades.plan import Decision
from upgrades.services.planning import plan_night

KEY = "releasemgr.shell"
FRESH_FOR_S = 15


@dataclass(frozen=True)
class Badge:
    """A count or a word beside an entry of the navigation. `bad` where someone should look, `of` says of what."""

    text: str
    bad: bool = False
    of: str = ""


@dataclass(frozen=True)
class News:
    """`badges` by the key of the navigation's entry."""

    running: int
    running_path: str
    starts_at: datetime
    upgrades: int
    badges: Mapping[str, Badge]

    @property
    def running_words(self) -> str:
        words = ngettext("%(n)d upgrade running", "%(n)d upgrades running", self.running)
        return words % {"n": self.running}

    @property
    def tonight_words(self) -> str:
        words = ngettext("Tonight %(time)s, %(n)d upgrade", "Tonight %(time)s, %(n)d upgrades", self.upgrades)
        return words % {"time": f"{self.starts_at.astimezone(UTC):%H:%M}", "n": self.upgrades}


def news(now: datetime) -> News:
    """Up to 15 seconds old, but never older than the last change of a target or promotion.

    Two queries, else about a dozen, whatever the number of sites.
    """
    key = f"{KEY}.{_newest(TargetChange)}.{_newest(Promotion)}"
    known = cache.get(key)
    if not isinstance(known, News):
        known = _gathered(now)
        cache.set(key, known, FRESH_FOR_S)
    return known


def _newest(kind: type[TargetChange] | type[Promotion]) -> int:
    newest = kind.objects.order_by("-pk").values_list("pk", flat=True).first()
    return newest or 0


def _gathered(now: datetime) -> News:
    night, decisions = plan_night(now)
    begun = list(Upgrade.objects.begun().values_list("pk", "run_id"))
    runs = {run for _number, run in begun}
    return News(
        running=len(begun),
        running_path=_path_of(begun, runs),
        starts_at=night.starts_at,
        upgrades=sum(decision.upgrades for decision in decisions),
        badges={key: badge for key, badge in _badges(decisions).items() if badge},
    )


def _path_of(begun: list[tuple[int, int]], runs: set[int]) -> str:
    """The one upgrade, the one run, or all runs."""
    if len(begun) == 1:
        return f"upgrades/{begun[0][0]}/"
    return f"runs/{runs.pop()}/" if len(runs) == 1 else "runs/"


def _badges(decisions: list[Decision]) -> dict[str, Badge | None]:
    return {
        "s": Badge(str(len(decisions))), "r": _runs_badge(decisions), "h": _hosts_badge(), "p": _problems_badge(),
    }  # fmt: skip


def _problems_badge() -> Badge | None:
    """How many are open."""
    number = Problem.objects.open().count()
    return Badge(str(number), of=_("open")) if number else None


def _runs_badge(decisions: list[Decision]) -> Badge | None:
    stuck = sum(decision.site.needs_a_person is not None for decision in decisions)
    if stuck:
        return Badge(str(stuck), bad=True, of=ngettext("needs a person", "need a person", stuck))
    last = Run.objects.nightly().order_by("-date").first()
    return Badge(_("missed"), bad=True) if last and last.missed else None


def _hosts_badge() -> Badge | None:
    asking = Host.objects.asking_for_a_person().count()
    return (
        Badge(str(asking), bad=True, of=ngettext("asks for a person", "ask for a person", asking)) if asking else None
    )
