"""Lives through the demo's past month: each day's acts and every night, under a clock that is moved to it.

Nothing is written as finished. The acts call the same verbs as pages and commands; the nights are planned by the
night's own verb, and a supervisor in this process really upgrades the sites over SSH.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from math import ceil
from time import monotonic
from zoneinfo import ZoneInfo

from django.conf import settings

from builds.choices import Smoke
from builds.services import register_build, report_smoke
from instances.fleet_import import import_fleet
from instances.models import Instance
from releasemgr.demo import artifacts, clocks, lifecycle
from releasemgr.demo.acts import carry_out
from releasemgr.demo.artifacts import Artifact
from releasemgr.demo.fleet import UNREACHABLE_HOST, Places
from releasemgr.demo.story import ACTS, FIRST_DAY, MORNING
from releasemgr.lib import clock
from releasemgr.lib.actors import IMPORT
from upgrades.choices import GOOD
from upgrades.models import Run, Upgrade
from upgrades.night import Night, Timetable
from upgrades.remote import fabric_connect
from upgrades.services import runs, slots, waves
from upgrades.ssh_keys import one_key
from upgrades.supervisor import Supervisor
from upgrades.version_check import ask_versions

Say = Callable[[str], None]

REGISTERED_AT, TESTED_AT = time(9, 0), time(9, 25)
LONGEST_NIGHT = 300.0  # seconds of the machine's time


class NightStuckError(Exception):
    """The upgrades of a night do not end."""


def last_night(now: datetime) -> Night:
    """The one that the demo ends with: the last that is over, for its upgrades must not end in the future.

    Asks no row, for it decides when the installation begins.
    """
    timetable = Timetable(runs.DEFAULT_START, runs.DEFAULT_END, ZoneInfo(settings.TIME_ZONE))
    night = timetable.latest(now)
    return night if night.ends_at <= now else timetable.night(night.date - timedelta(days=1))


class Month:
    def __init__(self, places: Places, last: Night, say: Say) -> None:
        self._places, self._last, self._say = places, last, say
        self._timetable = Timetable(runs.DEFAULT_START, runs.DEFAULT_END, ZoneInfo(settings.TIME_ZONE))
        self._connect = fabric_connect(one_key(places.client_key))
        self._builds = artifacts.build_all(places.artifacts)

    def begin(self) -> None:
        """Moves the clock to the first morning, before anything is kept."""
        self._travel(FIRST_DAY, time(8, 0))

    def live_through(self) -> Run:
        """The run of the last night."""
        slots.mark_stopping()  # no worker lives; nothing is to be queued for one
        self._say(f"Living through {FIRST_DAY} days")
        for day in range(FIRST_DAY, 0, -1):
            self._work(day)
            run = self._night(day - 1)
        self._return()
        for act in MORNING:
            carry_out(act, self._last, self._places)
        return run

    def _return(self) -> None:
        clock.move(timedelta(0))
        clocks.move(self._places, timedelta(0))
        slots.clear_stopping()
        self._ask_all()

    # Days.

    def _work(self, day: int) -> None:
        for artifact in self._builds:
            if min(artifact.build.age_days, FIRST_DAY) == day:
                self._register(artifact, day)
        if day == FIRST_DAY:
            self._travel(day, time(10, 0))
            import_fleet(self._places.fleet_file, actor=IMPORT, now=clock.now())
            self._ask_all()
        for at, act in ACTS.get(day, ()):
            self._travel(day, at)
            carry_out(act, self._last, self._places)

    def _register(self, artifact: Artifact, day: int) -> None:
        self._travel(day, REGISTERED_AT)
        build, _new = register_build(
            artifact.build.version, artifact.path, now=clock.now(), commit=artifact.commit,
            changelog=artifact.changelog.read_text(),
        )  # fmt: skip
        self._travel(day, TESTED_AT)
        report_smoke(build, Smoke(artifact.build.smoke), now=clock.now())

    def _ask_all(self) -> None:
        ask_versions(list(Instance.objects.for_list()), self._connect)

    # Nights.

    def _night(self, day: int) -> Run:
        if day == 0:
            lifecycle.set_down(self._places, frozenset({UNREACHABLE_HOST}), self._say)
        night = self._timetable.night(self._last.date - timedelta(days=day))
        self._move_to(night.starts_at + timedelta(seconds=1))
        run = runs.open_due_night(clock.now())
        assert run  # noqa: S101 - each night is lived through once
        if run.ended_at is None:
            self._upgrade(run)
        return run

    def _upgrade(self, run: Run) -> None:
        """Jumps from one opening of windows to the next, and to the end of the night where the run was halted."""
        begun = monotonic()
        while run.ended_at is None:
            clocks.move(self._places, clock.offset())
            Supervisor(self._connect, keep_going=_is_something_due).run(lasting=LONGEST_NIGHT)
            if _is_something_due():
                raise NightStuckError(f"The upgrades of {run.date} did not end within {LONGEST_NIGHT:.0f} s.")
            run.refresh_from_db()
            if run.ended_at is None:
                self._move_to(_next_opening(run))
                runs.close_overdue_runs(clock.now())
                run.refresh_from_db()
        self._say(f"  {_summary(run)}, {monotonic() - begun:.0f} s")

    # Time.

    def _travel(self, day: int, at: time) -> None:
        """To this hour, so many days before the last night."""
        date = self._last.date - timedelta(days=day)
        self._move_to(datetime.combine(date, at, tzinfo=self._timetable.zone).astimezone(UTC))

    def _move_to(self, moment: datetime) -> None:
        """By whole seconds, as a host's clock takes them."""
        clock.move(timedelta(seconds=ceil((moment - datetime.now(UTC)).total_seconds())))


def _is_something_due() -> bool:
    return Upgrade.objects.begun().exists() or bool(waves.claimable(clock.now()))


def _next_opening(run: Run) -> datetime:
    """When the next window of a site that waits opens; nothing of a halted run begins before its end."""
    waiting = run.upgrades.waiting().filter(opens_at__gt=clock.now())
    opening = (
        None
        if run.halts.undecided().exists()
        else waiting.order_by("opens_at").values_list("opens_at", flat=True).first()
    )
    return opening or run.ends_at


def _summary(run: Run) -> str:
    outcomes = Counter(Upgrade.objects.filter(run=run).values_list("outcome", flat=True))
    good = sum(outcomes[outcome] for outcome in GOOD)
    return f"Night of {run.date:%-d %B}: {outcomes.total()} upgrades, {good} succeeded"
