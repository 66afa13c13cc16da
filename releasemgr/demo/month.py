"""Lives through the demo's past month: each day's acts and every night, under a clock that is moved to it.

Nothing is written as finished. The acts call the same verbs as pages and commands; the nights are planned by the
night's own verb, and a supervisor in this process really upgrades the sites over SSH.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from math import ceil
from time import monotonic
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.models import User

from builds.choices import Smoke
from builds.services import build_named, promote_build, register_build, report_smoke, withdraw_build
from instances.fleet_import import import_fleet
from instances.models import Instance, Target
from instances.services import set_target
from releasemgr.demo import artifacts, clocks, lifecycle
from releasemgr.demo.artifacts import Artifact
from releasemgr.demo.fleet import UNREACHABLE_HOST, Places
from releasemgr.demo.story import ACTS, FIRST_DAY, Act, Follow, Promote, WantDisk, Withdraw
from releasemgr.lib import clock
from releasemgr.lib.actors import IMPORT, Actor, Origin
from upgrades.choices import GOOD
from upgrades.models import Run, Upgrade
from upgrades.night import Night, Timetable
from upgrades.remote import fabric_connect
from upgrades.services import runs, slots
from upgrades.supervisor import Supervisor
from upgrades.version_check import ask_versions

Say = Callable[[str], None]

NOT_JUST_NOW = timedelta(minutes=10)
"""So long ago the last night began at least: its upgrades must not end in the future."""
REGISTERED_AT, TESTED_AT = time(9, 0), time(9, 25)
LONGEST_NIGHT = 300.0  # seconds of the machine's time


class NightStuckError(Exception):
    """The upgrades of a night do not end."""


def last_night(now: datetime) -> Night:
    """The one that the demo ends with. Asks no row, for it decides when the installation begins."""
    timetable = Timetable(runs.DEFAULT_START, runs.DEFAULT_END, ZoneInfo(settings.TIME_ZONE))
    return timetable.latest(now - NOT_JUST_NOW)


class Month:
    def __init__(self, places: Places, last: Night, say: Say) -> None:
        self._places, self._last, self._say = places, last, say
        self._timetable = Timetable(runs.DEFAULT_START, runs.DEFAULT_END, ZoneInfo(settings.TIME_ZONE))
        self._connect = fabric_connect(places.client_key)
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
            self._act(act)

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

    def _act(self, act: Act) -> None:
        now = clock.now()
        match act:
            case Promote():
                promote_build(build_named(act.version), act.to, actor=_person(act.by), now=now, reason=act.reason)
            case Withdraw():
                withdraw_build(build_named(act.version), actor=_person(act.by), now=now, reason=act.reason)
            case Follow():
                site = Instance.objects.get(slug=act.site)
                set_target(site, Target(channel=act.channel), actor=_person(act.by), now=now, reason=act.reason)
            case WantDisk():
                site = Instance.objects.get(slug=act.site)
                site.min_free_mb = shutil.disk_usage(self._places.root).free // 2**20 + act.beyond_mb
                site.save(update_fields=["min_free_mb"])

    # Nights.

    def _night(self, day: int) -> Run:
        if day == 0:
            lifecycle.set_down(self._places, frozenset({UNREACHABLE_HOST}), self._say)
        night = self._timetable.night(self._last.date - timedelta(days=day))
        offset = self._move_to(night.starts_at + timedelta(seconds=1))
        run = runs.open_due_night(clock.now())
        assert run  # noqa: S101 - each night is lived through once
        if run.ended_at is None:
            clocks.move(self._places, offset)
            self._upgrade(run)
        return run

    def _upgrade(self, run: Run) -> None:
        begun = monotonic()
        Supervisor(self._connect).run(lasting=LONGEST_NIGHT)
        run.refresh_from_db()
        if run.ended_at is None:
            raise NightStuckError(f"The upgrades of {run.date} did not end within {LONGEST_NIGHT:.0f} s.")
        self._say(f"  {_summary(run)}, {monotonic() - begun:.0f} s")

    # Time.

    def _travel(self, day: int, at: time) -> None:
        """To this hour, so many days before the last night."""
        date = self._last.date - timedelta(days=day)
        self._move_to(datetime.combine(date, at, tzinfo=self._timetable.zone).astimezone(UTC))

    def _move_to(self, moment: datetime) -> timedelta:
        """The offset: whole seconds, as a host's clock takes them."""
        offset = timedelta(seconds=ceil((moment - datetime.now(UTC)).total_seconds()))
        clock.move(offset)
        return offset


def _person(username: str) -> Actor:
    return Actor(Origin.PAGE, User.objects.get(username=username))


def _summary(run: Run) -> str:
    outcomes = Counter(Upgrade.objects.filter(run=run).values_list("outcome", flat=True))
    good = sum(outcomes[outcome] for outcome in GOOD)
    return f"Night of {run.date:%-d %B}: {outcomes.total()} upgrades, {good} succeeded"
