"""A year of a fleet on a clock of its own: people decide by day, hosts do their work by night.

The plan, the promotions, the runs and every transition are the real ones. Only the hosts are made up: they fail as
often as hosts do, and one build in a while is bad on most sites.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction

from builds.choices import Smoke
from builds.maturity import CHANNELS, BuildFacts, Maturity, Severity
from builds.models import Build, Problem, Promotion
from builds.services import (
    acknowledge_problem,
    dismiss_problem,
    fix_problem,
    gather_builds,
    register_build,
    report_problem,
    report_smoke,
    set_channel_policy,
    withdraw_build,
)
from instances.choices import FreezeScope, Kind
from instances.exceptions import TargetRefused
from instances.models import Instance, Tag, Target
from instances.pauses import Pause
from instances.pins import PinEnd
from instances.services import note_version, open_freeze, open_hold, pauses_for, set_target, set_windows, windows_for
from instances.windows import Window
from releasemgr.lib.actors import Actor, Origin
from tests.factories import make_build, make_customer, make_host, make_instance, make_user
from tests.rules.lawful import assert_installable
from upgrades.choices import BROKE, GOOD, EndCode, Outcome, UpgradeState
from upgrades.models import Policy, Run, RunHalt, Schedule, Upgrade
from upgrades.night import Night
from upgrades.services import claims, waves
from upgrades.services.ends import unlock_site
from upgrades.services.facts import facts_of_night
from upgrades.services.halts import end_run, release_builds, resume_run
from upgrades.services.planning import decisions_of, due_night
from upgrades.services.retries import is_parking, let_retry
from upgrades.services.runs import close_overdue_runs, open_due_night, record_missed_nights, settle

SITES, HOSTS, CUSTOMERS = 300, 25, 40
NEW_YEAR = datetime(2026, 1, 1, 9, tzinfo=UTC)
DAY, MOMENT = timedelta(days=1), timedelta(microseconds=1)
START, END = time(11, 30), time(11)
"""Of a night that is long enough for every zone."""
ZONES = ["Europe/Dublin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]
TAKES = timedelta(minutes=6)
SOAKS = {Maturity.ALPHA: 0, Maturity.BETA: 2, Maturity.RELEASE: 5, Maturity.STABLE: 14}


@dataclass
class Told:
    """What is printed in the end."""

    parked: int = 0
    behind: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))


class Year:
    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - a drawn year, not a secret
        self.now = NEW_YEAR
        self.told = Told()
        self.bad: set[int] = set()
        self.away: dict[int, datetime] = {}
        self.builds: dict[int, BuildFacts] = {}
        self.pauses: dict[int, tuple[Pause, ...]] = {}
        self.ines = Actor(Origin.PAGE, make_user(role="Release manager"))
        self._set_up()
        self.windows = windows_for(None)

    def _set_up(self) -> None:
        Schedule.objects.update(since=NEW_YEAR, start=START, end=END)
        Policy.objects.update(max_parallel=40, wave_sizes="")
        for channel, days in SOAKS.items():
            set_channel_policy(channel, soak=days * DAY, automatic=True, actor=self.ines, now=self.now)
        since = NEW_YEAR - 30 * DAY
        make_build("2025.12", maturity=Maturity.STABLE, registered_at=since, channel_since=since)
        customers = [make_customer(f"Customer {number}") for number in range(CUSTOMERS)]
        hosts = [make_host(f"host-{number:02}") for number in range(HOSTS)]
        seldom, canary = Tag.objects.create(name="monthly"), Tag.objects.create(name="canary")
        for number in range(SITES):
            kind = Kind.TEST if number % 5 < 2 else Kind.LIVE
            site = make_instance(
                f"{kind}-{number:03}", kind=kind, runs="2025.12", customer=customers[number % CUSTOMERS],
                host=hosts[number % HOSTS], target_channel_id=self._channel_for(number, kind),
            )  # fmt: skip
            weekday, far = number % 7, number % 10 == 9
            hours = Window(frozenset({weekday}), time(1), time(5), ZoneInfo(ZONES[(weekday + far) % len(ZONES)]))
            set_windows(site, [hours], actor=self.ines, now=self.now)
            site.tags.add(*([seldom] if number % 6 else []), *([canary] if number % 60 == 4 else []))
        self._freeze("Only the first week of a month", "2026-01-08", 21, tag=seldom, repeats="FREQ=MONTHLY")
        self._freeze("Christmas", "2026-12-20", 15)

    def _channel_for(self, number: int, kind: Kind) -> str:
        if kind is Kind.TEST:
            return "alpha" if number % 25 == 0 else "beta"
        return "stable" if number % 5 < 4 else "release"

    def _freeze(self, name: str, day: str, days: int, *, tag: Tag | None = None, repeats: str = "") -> None:
        begins = datetime.fromisoformat(f"{day}T00:00+00:00")
        values = {
            "name": name, "scope": FreezeScope.TAG if tag else FreezeScope.ALL, "tag": tag, "customer": None,
            "starts_at": begins, "ends_at": begins + days * DAY, "zone": "UTC", "repeats": repeats, "reason": name,
        }  # fmt: skip
        open_freeze(values, actor=self.ines, now=self.now)

    def live(self, days: int = 365) -> None:
        for day in range(days):
            self._by_day(day)
            self._by_night(day)
            if day % 7 == 6:
                self._look_around()

    # By day.

    def _by_day(self, day: int) -> None:
        """The night before is still on, for the sites in the west, until eleven."""
        self.now = NEW_YEAR + day * DAY
        self._decide_halts()
        self._decide_upgrades()
        self._work(until=NEW_YEAR + day * DAY + timedelta(hours=2))
        self.now = NEW_YEAR + day * DAY + timedelta(hours=2)
        close_overdue_runs(self.now)
        self._assert_over()
        if day % 3 == 0:
            self._build(day)
        self._decide_problems()
        if day % 5 == 0:
            self._hold_or_pin()

    def _decide_halts(self) -> None:
        """Who finds a bad build withdraws it; what was bad luck goes on."""
        for halt in RunHalt.objects.standing().select_related("run"):
            for build in halt.builds.filter(withdrawn_at=None, pk__in=self.bad):
                withdraw_build(build, replacement=None, reason="Breaks the migration", **self._who())
            if halt.ended_at is None and halt.run.ends_at > self.now:
                verb = end_run if halt.builds.filter(pk__in=self.bad).exists() else resume_run
                verb(halt.run, reason="Looked at it", **self._who())
        for halt in RunHalt.objects.unreleased():
            release_builds(halt, reason="Looked at it", **self._who())

    def _decide_upgrades(self) -> None:
        for stuck in Upgrade.objects.awaiting_a_person().for_list():
            note_version(stuck.instance, stuck.from_version, now=self.now)
            unlock_site(stuck, note="Put back by hand", **self._who())
        failed = Upgrade.objects.failed().filter(retried_at=None, ended_at__gt=self.now - 2 * DAY)
        for upgrade in failed.exclude(build__in=self.bad):
            self.told.parked += upgrade.outcome in BROKE
            if self.chance.random() < 0.7 and is_parking(upgrade):
                let_retry(upgrade, note="The disk was full", **self._who())

    def _build(self, day: int) -> None:
        version = f"2026.{day // 3 + 1}"
        artifact = Path(settings.ARTIFACT_DIR) / "upload"
        artifact.write_text(version)
        build, _new = register_build(version, artifact, now=self.now, actor=self.ines)
        smoke = Smoke.FAILED if self.chance.random() < 0.1 else Smoke.PASSED
        report_smoke(build, smoke, now=self.now, actor=self.ines)
        if self.chance.random() < 0.05:
            self.bad.add(build.pk)
        if self.chance.random() < 0.12:
            severity = Severity.BLOCKER if self.chance.random() < 0.5 else Severity.MINOR
            report_problem(severity=severity, title="Loses mail", first_affected=build, **self._who())

    def _decide_problems(self) -> None:
        """A fix comes with a later build; some problems are none; minor ones are accepted where they are met."""
        newest = Build.objects.filter(smoke=Smoke.PASSED).first()
        for problem in Problem.objects.filter(fixed_in=None, dismissed_at=None).select_related("first_affected"):
            old = self.now - problem.opened_at
            if problem.severity == Severity.MINOR and old < DAY:
                acknowledge_problem(problem, problem.first_affected, **self._who())
            elif old > 8 * DAY and newest and newest.version_key > problem.first_affected.version_key:
                fix_problem(problem, newest, **self._who())
            elif old > 3 * DAY and self.chance.random() < 0.05:
                dismiss_problem(problem, reason="Not real", **self._who())

    def _hold_or_pin(self) -> None:
        site = self.chance.choice(list(Instance.objects.filter(target_build=None)))
        if self.chance.random() < 0.5:
            days = self.chance.choice([3, 10, 40])
            open_hold(site, ends_at=self.now + days * DAY, reason="Audit", **self._who())
            return
        build = Build.objects.eligible().filter(version_key__gte=site.reported_key or "").first()
        ends = self.chance.choice([PinEnd.ON_DATE, PinEnd.CAUGHT_UP])
        until = self.now + self.chance.randint(2, 60) * DAY if ends is PinEnd.ON_DATE else None
        try:
            set_target(site, Target(build=build, ends=ends, until=until), reason="Needs a fix", **self._who())
        except TargetRefused:
            assert build is None or ends is PinEnd.CAUGHT_UP

    def _who(self) -> dict[str, Any]:
        return {"actor": self.ines, "now": self.now}

    # By night.

    def _by_night(self, day: int) -> None:
        self.now = NEW_YEAR.replace(hour=START.hour, minute=START.minute) + day * DAY
        night = due_night(self.now)
        assert night
        assert record_missed_nights(self.now) == []
        night = Night(night.date, self.now, night.ends_at)
        expected = decisions_of(facts_of_night(night), night) if day % 28 == 0 else None
        run = open_due_night(self.now)
        assert run
        assert run.date == self.now.date()
        assert open_due_night(self.now) is None
        if expected is not None:
            decided = list(run.decisions.values_list("instance_id", "code"))
            assert [(one.site.id, one.code) for one in expected] == decided, "P1"
        assert run.decisions.count() == SITES
        self._choose_hosts_that_are_away()
        self._work(until=NEW_YEAR + (day + 1) * DAY)

    def _choose_hosts_that_are_away(self) -> None:
        self.away = {number: self.now + DAY for number in range(HOSTS) if self.chance.random() < 0.01}

    def _work(self, until: datetime) -> None:
        """Whatever may begin does, some at a time, until then."""
        self.builds, self.pauses = gather_builds(), pauses_for(None, self.now, until)
        while self.now < until:
            turns = [one.number for one in waves.claimable(self.now)][:40]
            begun = self._begin(turns) if turns else []
            self.now += TAKES if begun else timedelta(0)
            with transaction.atomic():  # as a supervisor writes what its hosts told
                for upgrade in begun:
                    self._end(upgrade)
                settle(self.now)
            if not begun:
                following = Upgrade.objects.waiting().filter(opens_at__gt=self.now, opens_at__lt=until)
                self.now = following.order_by("opens_at").values_list("opens_at", flat=True).first() or until

    def _begin(self, turns: Sequence[int]) -> list[Upgrade]:
        by_run: dict[int, list[Upgrade]] = defaultdict(list)
        for upgrade in Upgrade.objects.filter(pk__in=turns).for_list():
            by_run[upgrade.run_id].append(upgrade)
        begun = [one for upgrades in by_run.values() for one in claims.begin_all(upgrades, now=self.now)]
        self._assert_might_begin(begun)
        return begun

    def _assert_might_begin(self, begun: Sequence[Upgrade]) -> None:
        """P9, asked anew of the rows, without the plan."""
        blocked = set(RunHalt.objects.unreleased().values_list("builds", flat=True))
        sites = Instance.objects.in_bulk([one.instance_id for one in begun])
        assert Upgrade.objects.begun().count() == len(begun) <= 40
        for upgrade in begun:
            site, build = sites[upgrade.instance_id], self.builds[upgrade.build_id]
            assert_installable(build)
            assert not build.open_blockers
            assert build.id not in blocked
            assert not any(pause.span.covers(self.now) for pause in self.pauses[site.pk])
            assert any(list(one.openings(self.now, self.now + MOMENT)) for one in self.windows[site.pk])
            assert site.reported_key
            assert site.reported_key < build.key, "nobody ever consented to going back"
            assert site.target_build_id == build.id or build.maturity >= self._stage(site)

    def _stage(self, site: Instance) -> Maturity:
        name = site.target_channel_id or site.pin_then_id
        return next(channel for channel in CHANNELS if channel.channel == name)

    def _end(self, upgrade: Upgrade) -> None:
        luck = self.chance.random()
        if int(upgrade.instance.host.name[-2:]) in self.away or luck < 0.004:
            upgrade.end(Outcome.BLOCKED, EndCode.UNREACHABLE, now=self.now, host="host", text="No answer.")
            return
        upgrade.move(UpgradeState.RUNNING, now=self.now)
        if upgrade.build_id in self.bad and luck < 0.8:
            self._roll_back(upgrade, f"Migrate {upgrade.build}")
        elif luck < 0.008:
            self._roll_back(upgrade, "Health check")
        elif luck < 0.012:
            upgrade.end(Outcome.FAILED_CLEAN, EndCode.STEP_FAILED, now=self.now, step="Back up")
        elif luck < 0.015:
            note_version(upgrade.instance, "", now=self.now)
            upgrade.end(Outcome.NEEDS_A_PERSON, EndCode.WAY_BACK_FAILED, now=self.now, step="Migrate")
        else:
            note_version(upgrade.instance, upgrade.build.version, now=self.now)
            upgrade.end(Outcome.SUCCEEDED, EndCode.DONE, now=self.now)

    def _roll_back(self, upgrade: Upgrade, step: str) -> None:
        upgrade.move(UpgradeState.ROLLING_BACK, now=self.now)
        Upgrade.objects.filter(pk=upgrade.pk).update(fingerprint=f"{step:.32}")
        upgrade.end(Outcome.ROLLED_BACK, EndCode.STEP_FAILED, now=self.now, step=step)

    # What is looked at.

    def _assert_over(self) -> None:
        """When a night is over nothing of it waits, and it has ended."""
        assert not Upgrade.objects.active().exists()
        assert not Run.objects.open().exists()
        assert not RunHalt.objects.undecided().exists()

    def _look_around(self) -> None:
        """How far each site is behind the newest build that passed its smoke tests, in builds and days."""
        passed = Build.objects.filter(smoke=Smoke.PASSED).exclude(pk__in=self.bad).order_by("version_key")
        known = [(build.version_key, build.registered_at) for build in passed]
        at = {key: (place, made) for place, (key, made) in enumerate(known)}
        newest = known[-1]
        for site in Instance.objects.exclude(target_channel=None):
            if site.reported_key in at:
                place, made = at[site.reported_key]
                self.told.behind[site.target_channel_id or ""].append(
                    (len(known) - 1 - place, (newest[1] - made) / DAY)
                )

    def report(self) -> str:
        """The figures, as lines."""
        lines = [f"A year of {SITES} sites, {Build.objects.count() - 1} builds, {Run.objects.count()} nights"]
        lines += [f"  {Upgrade.objects.filter(outcome=one).count():5} {str(one.label).lower()}" for one in Outcome]
        for channel in CHANNELS:
            lines.append(f"  into {channel.channel}: {self._took(channel)}")
        lines += [f"  on {channel.channel}: {self._lags(channel)}" for channel in CHANNELS]
        codes = Counter(RunHalt.objects.values_list("code", flat=True))
        nights = RunHalt.objects.values("run").distinct().count()
        halts = ", ".join(f"{one} {code}" for code, one in sorted(codes.items()))
        lines.append(f"  {nights} nights were halted: {halts}")
        lines.append(f"  {self.told.parked} times a site was parked")
        return "\n".join(lines)

    def _lags(self, channel: Maturity) -> str:
        behind = self.told.behind[channel.channel]
        if not behind:
            return "no site"
        builds, days = sorted(one for one, _days in behind), sorted(one for _builds, one in behind)
        tenth = len(behind) * 9 // 10
        return (
            f"behind the newest by {median(builds):.0f} builds and {median(days):.0f} days in the middle, "
            f"by {builds[tenth]} and {days[tenth]:.0f} at least for one in ten"
        )

    def _took(self, channel: Maturity) -> str:
        """From its registration to the channel, of those that came there in the year."""
        arrived = Promotion.objects.filter(to_maturity=channel, build__registered_at__gt=NEW_YEAR - DAY)
        days = sorted((at - made) / DAY for at, made in arrived.values_list("at", "build__registered_at"))
        if not days:
            return "none"
        return f"{len(days)} builds, after {median(days):.1f} days in the middle, {days[-1]:.1f} at the most"


def assert_every_rule_was_kept() -> None:
    """What the rows of the whole year say in the end."""
    dates = list(Run.objects.nightly().order_by("date").values_list("date", flat=True))
    assert len(dates) == len(set(dates))
    assert all(one and other and other - one == DAY for one, other in pairwise(dates)), "P7"
    for promotion in Promotion.objects.filter(origin=Origin.AUTOMATIC, to_maturity=Maturity.STABLE):
        into = Promotion.objects.filter(build=promotion.build, to_maturity=Maturity.RELEASE, at__lt=promotion.at)
        entered = into.values_list("at", flat=True).first()
        assert entered
        assert promotion.at - entered >= SOAKS[Maturity.STABLE] * DAY, "R6"
    for upgrade in Upgrade.objects.filter(outcome__in=GOOD, build__withdrawn_at__isnull=False).select_related("build"):
        assert upgrade.started_at
        assert upgrade.build.withdrawn_at
        assert upgrade.started_at <= upgrade.build.withdrawn_at, "R9"
