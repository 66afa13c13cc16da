"""What the shell around every page says of the fleet: the bars and chips at the top, the counts in the navigation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.core.cache import cache
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from builds.models import Problem
from instances.choices import FreezeScope
from instances.models import Freeze, Host
from releasemgr.lib import words
from releasemgr.lib.history.models import Change
from releasemgr.pages.nights_off import nights_off_words
from releasemgr.pages.tonight_plan import plan_of_tonight
from upgrades.models import Policy, Run, Upgrade
from upgrades.plan import Decision

KEY = "releasemgr.shell"
FRESH_FOR_S = 15
MOMENT = timedelta(microseconds=1)
WIDE = (FreezeScope.ALL, FreezeScope.LIVE)
"""Freezes that everybody has to know of."""


@dataclass(frozen=True)
class Badge:
    """A count or a word beside an entry of the navigation. `bad` where someone should look, `of` says of what."""

    text: str
    bad: bool = False
    of: str = ""


@dataclass(frozen=True)
class Bar:
    """What stands above every page while a person keeps the fleet still. `path` leads to what ends it."""

    icon: str
    strong: str
    more: str
    path: str
    action: str


@dataclass(frozen=True)
class News:
    """`badges` by the key of the navigation's entry."""

    running: int
    running_path: str
    starts_at: datetime
    upgrades: int
    nights_off: bool
    bars: Sequence[Bar]
    badges: Mapping[str, Badge]

    @property
    def running_words(self) -> str:
        words = ngettext("%(n)d upgrade running", "%(n)d upgrades running", self.running)
        return words % {"n": self.running}

    @property
    def tonight_words(self) -> str:
        if self.nights_off:
            return _("Nights are off")
        words = ngettext("Tonight %(time)s, %(n)d upgrade", "Tonight %(time)s, %(n)d upgrades", self.upgrades)
        return words % {"time": f"{self.starts_at.astimezone(UTC):%H:%M}", "n": self.upgrades}


def news(now: datetime, request: HttpRequest | None = None) -> News:
    """Up to 15 seconds old, but never older than the last change that somebody made: each is in the history.

    One query, else about a dozen, whatever the number of sites; fewer where the page has planned for this request.
    """
    newest = Change.objects.order_by("-pk").values_list("pk", flat=True).first()
    key = f"{KEY}.{newest or 0}"
    known = cache.get(key)
    if not isinstance(known, News):
        known = _gathered(now, request)
        cache.set(key, known, FRESH_FOR_S)
    return known


def _gathered(now: datetime, request: HttpRequest | None) -> News:
    tonight = plan_of_tonight(now, request)
    decisions = list(tonight.decisions.values())
    policy = Policy.objects.select_related("nights_off_by").get()
    begun = list(Upgrade.objects.begun().values_list("pk", "run_id"))
    runs = {run for _number, run in begun}
    return News(
        running=len(begun),
        running_path=_path_of(begun, runs),
        starts_at=tonight.night.starts_at,
        upgrades=sum(decision.upgrades for decision in decisions),
        nights_off=policy.nights_off_since is not None,
        bars=[*_nights_bars(policy, now), *_freeze_bars(now)],
        badges={key: badge for key, badge in _badges(decisions).items() if badge},
    )


def _path_of(begun: list[tuple[int, int]], runs: set[int]) -> str:
    """The one upgrade, the one run, or all runs."""
    if len(begun) == 1:
        return f"upgrades/{begun[0][0]}/"
    return f"runs/{runs.pop()}/" if len(runs) == 1 else "runs/"


def _nights_bars(policy: Policy, now: datetime) -> Iterable[Bar]:
    if said := nights_off_words(policy, now):
        more = f"{said} {_('Upgrades by hand still run.')}"
        yield Bar("circle-pause", _("Nights are switched off."), more, "runs/nights/", _("Switch them on…"))


def _freeze_bars(now: datetime) -> Iterable[Bar]:
    """Freezes of all sites, or of all live ones, that are on now."""
    for freeze in Freeze.objects.for_list().that_may_meet(now, now + MOMENT).filter(scope__in=WIDE):
        for pause in freeze.pauses(now, now + MOMENT):
            strong = (
                _("All sites are frozen until %(until)s.")
                if freeze.scope == FreezeScope.ALL
                else _("All live sites are frozen until %(until)s.")
            )
            more = _("By %(who)s: “%(reason)s”.") % {"who": freeze.made_by, "reason": freeze.reason}
            until = words.moment_of(pause.span.ends_at, now)
            yield Bar("snowflake", strong % {"until": until}, more, f"freezes/{freeze.pk}/", _("Open freeze"))


def _badges(decisions: list[Decision]) -> dict[str, Badge | None]:
    return {
        "s": Badge(str(len(decisions))), "r": _runs_badge(decisions), "h": _hosts_badge(), "p": _problems_badge(),
    }  # fmt: skip


def _problems_badge() -> Badge | None:
    """How many are open."""
    number = Problem.objects.open().count()
    return Badge(str(number), of=_("open")) if number else None


def _runs_badge(decisions: list[Decision]) -> Badge | None:
    """The most urgent: a run that stands still, sites that are locked, a night that was missed."""
    if Run.objects.halted().exists():
        return Badge(_("halted"), bad=True)
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
