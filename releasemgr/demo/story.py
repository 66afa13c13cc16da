"""The demo's past month as data: what people did on which day. The nights in between are run, not written."""

from dataclasses import dataclass
from datetime import time, timedelta

from builds.maturity import Maturity, Severity
from instances.pins import PinEnd
from releasemgr.demo.fleet import HELD, LACKING_DISK, TRAINING

FIRST_DAY = 29
"""How many days before the last night the installation begins."""


@dataclass(frozen=True)
class SetChannel:
    """How long a build soaks before it enters the channel, and whether the night promotes into it."""

    channel: Maturity
    soak: timedelta
    automatic: bool
    reason: str
    by: str = "manager"


@dataclass(frozen=True)
class SetPolicy:
    """How nights go about their upgrades."""

    values: dict[str, str | int]
    reason: str
    by: str = "manager"


@dataclass(frozen=True)
class Promote:
    """`override` goes through the gates that fail, for the reason."""

    version: str
    to: Maturity
    by: str = "manager"
    reason: str = ""
    override: bool = False


@dataclass(frozen=True)
class Withdraw:
    version: str
    reason: str
    by: str = "manager"


@dataclass(frozen=True)
class Mark:
    """A build becomes a stepping stone."""

    version: str
    reason: str
    by: str = "manager"


@dataclass(frozen=True)
class Report:
    """A problem becomes known."""

    title: str
    severity: Severity
    first_affected: str
    url: str
    by: str = "support"


@dataclass(frozen=True)
class Acknowledge:
    title: str
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
class Pin:
    """A site's target becomes a build: for good, until its channel catches up, or until `days` after the last night."""

    site: str
    version: str
    reason: str
    ends: PinEnd = PinEnd.NEVER
    days: int | None = None
    then: str | None = None
    downgrade: bool = False
    by: str = "support"


@dataclass(frozen=True)
class Hold:
    """A site is left alone until so many days after the last night."""

    site: str
    days: int
    reason: str
    by: str = "support"


@dataclass(frozen=True)
class FreezeMonthly:
    """A customer is left alone for a week of each month, in this one from about two days before the last night."""

    customer: str
    name: str
    zone: str
    reason: str
    by: str = "manager"


@dataclass(frozen=True)
class WantDisk:
    """Somebody who knows the site asks for so much more free disk than its host has now."""

    site: str
    beyond_mb: int
    by: str = "manager"


AboutBuilds = SetChannel | SetPolicy | Promote | Withdraw | Mark | Report | Acknowledge
AboutSites = Follow | Pin | Hold | FreezeMonthly | WantDisk
Act = AboutBuilds | AboutSites

LONG_NAMES = "Printed rotas cut names of more than 40 letters"

ACTS: dict[int, tuple[tuple[time, Act], ...]] = {
    29: (
        (time(11, 5), Withdraw("4.19.3", "All-day events appear one day early west of Greenwich.")),
        (time(11, 20), Promote("4.19.6", Maturity.RELEASE, reason="Six weeks of tests behind it.")),
        (time(11, 25), Promote("4.20.0", Maturity.BETA)),
        (time(11, 40), SetChannel(Maturity.BETA, timedelta(hours=36), True, "A day and a half in alpha is enough.")),
        (time(11, 42), SetChannel(Maturity.RELEASE, timedelta(hours=48), False, "Two nights on beta first.")),
        (time(11, 50), SetPolicy({"wave_sizes": ""}, "After the canaries, thirty sites are one wave.")),
    ),
    24: ((time(12, 0), Promote("4.20.1", Maturity.ALPHA)),),
    20: (
        (time(9, 50), Mark("4.19.6", "It moves the attachments. 4.20 only reads them where they are then.")),
        (time(14, 30), FreezeMonthly("kestrel", "Monthly closing", "Europe/Berlin", "The books are closed")),
    ),
    17: ((time(10, 40), Promote("4.20.2", Maturity.ALPHA)),),
    16: (
        (
            time(15, 10),
            Report(LONG_NAMES, Severity.MINOR, "4.20.0", "https://issues.northlight.example/NL-2214"),
        ),
    ),
    15: (
        (
            time(10, 15),
            Promote("4.20.2", Maturity.RELEASE, reason="Pampa Agro waits for the fast rota.", override=True),
        ),
    ),
    12: (
        (
            time(13, 20),
            Pin("ostrov-live", "4.18.9", "Their audit ends next month.", PinEnd.ON_DATE, days=5, then="stable"),
        ),
    ),
    7: (
        (time(14, 0), Promote("4.20.3", Maturity.ALPHA)),
        (time(15, 0), Follow("pampa-live", "release", "They wait for the fast rota.")),
        (
            time(15, 30),
            Pin("halvorsen-training", "4.20.1", "This week's course shows 4.20.1.", downgrade=True, by="manager"),
        ),
    ),
    6: ((time(15, 45), Withdraw("4.20.3", "Reminders are sent twice when two people own one event.")),),
    3: (
        (time(11, 15), Acknowledge(LONG_NAMES, "4.20.2", "The paper form goes next month.")),
        (time(16, 5), Hold(HELD, 4, "Acceptance test of the new tariffs")),
    ),
    2: (
        (time(11, 30), Promote("4.20.4", Maturity.ALPHA, reason="Sends reminders once.")),
        (
            time(15, 0),
            Pin("halvorsen-live", "4.20.4", "Needs the reminders now.", PinEnd.CAUGHT_UP, then="release"),
        ),
        (time(16, 0), Follow("halvorsen-training", "beta", "The course is over.")),
    ),
    1: (
        (time(9, 50), Promote("4.19.6", Maturity.STABLE, reason="Four weeks in release without a complaint.")),
        (time(10, 20), Follow(TRAINING, "release", "The training for 4.20.4 is over.")),
        (time(14, 0), Promote("4.21.0", Maturity.ALPHA)),
        (time(14, 30), WantDisk(LACKING_DISK, 20_000)),
    ),
}

MORNING: tuple[Act, ...] = (
    Report(
        "Sites that name legacy_reports do not start",
        Severity.BLOCKER,
        "4.20.4",
        "https://issues.northlight.example/NL-2307",
    ),
)
"""After the last night, in the demo's present."""
