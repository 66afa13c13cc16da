"""The demo's past month as data: what people did on which day. The nights in between are run, not written."""

from dataclasses import dataclass
from datetime import time

from builds.maturity import Maturity
from releasemgr.demo.fleet import LACKING_DISK, TRAINING

FIRST_DAY = 29
"""How many days before the last night the installation begins."""


@dataclass(frozen=True)
class Promote:
    version: str
    to: Maturity
    by: str = "manager"
    reason: str = ""


@dataclass(frozen=True)
class Withdraw:
    version: str
    reason: str
    by: str = "manager"


@dataclass(frozen=True)
class Follow:
    """A site's target becomes a channel."""

    site: str
    channel: str
    reason: str
    by: str = "support"


@dataclass(frozen=True)
class WantDisk:
    """Somebody who knows the site asks for so much more free disk than its host has now."""

    site: str
    beyond_mb: int


Act = Promote | Withdraw | Follow | WantDisk

ACTS: dict[int, tuple[tuple[time, Act], ...]] = {
    29: (
        (time(11, 5), Withdraw("4.19.3", "All-day events appear one day early west of Greenwich.")),
        (time(11, 20), Promote("4.19.6", Maturity.RELEASE, reason="Six weeks of tests behind it.")),
        (time(11, 25), Promote("4.20.0", Maturity.BETA)),
    ),
    24: ((time(13, 10), Promote("4.20.1", Maturity.ALPHA)),),
    22: ((time(9, 40), Promote("4.20.1", Maturity.BETA)),),
    17: ((time(10, 40), Promote("4.20.2", Maturity.ALPHA)),),
    16: ((time(9, 30), Promote("4.20.2", Maturity.BETA)),),
    15: ((time(10, 15), Promote("4.20.2", Maturity.RELEASE, reason="Cascadia waits for the fast rota.")),),
    10: ((time(14, 0), Promote("4.20.3", Maturity.ALPHA)),),
    6: ((time(15, 45), Withdraw("4.20.3", "Reminders are sent twice when two people own one event.")),),
    5: ((time(11, 30), Promote("4.20.4", Maturity.ALPHA, reason="Sends reminders once.")),),
    2: ((time(16, 20), Follow(TRAINING, "release", "The training for 4.21 is over.")),),
    1: (
        (time(9, 50), Promote("4.19.6", Maturity.STABLE, reason="Four weeks in release without a complaint.")),
        (time(10, 0), Promote("4.20.4", Maturity.BETA)),
        (time(10, 5), Promote("4.21.0", Maturity.ALPHA)),
        (time(14, 30), WantDisk(LACKING_DISK, 20_000)),
    ),
}
