"""Random lives of a small fleet, driven through the real services, with the rules checked after each step."""

import os
import random
from collections.abc import Callable, Sequence
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings as django_settings
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from builds.choices import Smoke
from builds.exceptions import BuildError
from builds.maturity import CHANNELS, Maturity, Override, Severity
from builds.models import Build, Problem
from builds.services import (
    acknowledge_problem,
    announce_eligible,
    archive_build,
    change_problem,
    dismiss_problem,
    fix_problem,
    gather_builds,
    judge_promotion,
    mark_stepping_stone,
    promote_automatically,
    promote_build,
    quarantine_build,
    register_build,
    reopen_problem,
    report_problem,
    report_smoke,
    set_channel_policy,
    unmark_stepping_stone,
    withdraw_build,
)
from instances.choices import FreezeScope, Kind
from instances.exceptions import InstanceError
from instances.models import Freeze, Hold, Host, Instance, Tag, Target
from instances.pins import PinEnd
from instances.services import (
    change_host,
    end_freeze,
    end_hold,
    end_pins,
    extend_hold,
    note_version,
    open_freeze,
    open_holds,
    pauses_for,
    set_tags,
    set_target,
    set_targets,
    set_windows,
    windows_for,
)
from instances.windows import Window
from releasemgr.lib.actors import COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import ChangedMeanwhile, last_seen
from tests.effort import EFFORT, examples
from tests.factories import NOW, make_build, make_customer, make_host, make_instance, make_user
from tests.rules.lawful import assert_installable, assert_lawful
from tests.rules.records import assert_recorded, records
from tests.rules.undone import undone
from upgrades.choices import BROKE, CONNECTION_TROUBLE, FAILED, GOOD, EndCode, Outcome, RunKind, UpgradeState
from upgrades.exceptions import UpgradeError
from upgrades.models import Policy, Run, RunHalt, Schedule, Upgrade
from upgrades.night import Night
from upgrades.plan import Decision, Rule, promoted
from upgrades.services import claims, waves
from upgrades.services.ends import unlock_site
from upgrades.services.facts import facts_of_night
from upgrades.services.halts import end_run, halt_run, release_builds, resume_run
from upgrades.services.planning import (
    decide_site,
    decisions_of,
    due_night,
    next_night,
    preview_move,
    preview_target,
    preview_withdrawal,
)
from upgrades.services.policy import change_policy, change_schedule, switch_nights_off, switch_nights_on
from upgrades.services.retries import let_retry, retry_failed
from upgrades.services.runs import (
    close_overdue_runs,
    open_due_night,
    open_night_by_hand,
    record_missed_nights,
    settle,
    start_upgrades,
)

REFUSED = (BuildError, InstanceError, UpgradeError, ChangedMeanwhile)
HOUR, DAY, MOMENT = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
ZONES = ["UTC", "Europe/London", "America/New_York", "Pacific/Apia"]
T = TypeVar("T")

dice = st.integers(0, 10_000)
"""Chooses one of what there is by then: with `of`."""


def of(things: Sequence[T], die: int) -> T:
    return things[die % len(things)]


def gist(decisions: Sequence[Decision]) -> list[tuple[object, ...]]:
    return [
        (one.site.slug, one.code, one.to and one.to.version, [leg.version for leg in one.legs], one.wave, one.opens_at)
        for one in decisions
    ]


class Life(RuleBasedStateMachine):
    """Five sites on two hosts, and a clock that only goes forward."""

    def __init__(self) -> None:
        super().__init__()
        self.undone = undone()
        self.undone.__enter__()
        self.now, self.number = NOW, 0
        Schedule.objects.update(since=NOW, start=time(1), end=time(5))
        Policy.objects.update(canary_share=25, wave_sizes="1", max_parallel=3, halt_minimum=1)
        make_build("4.0", maturity=Maturity.STABLE)
        make_build("4.1", maturity=Maturity.BETA)
        customer, hosts = make_customer("Acme"), [make_host("web1"), make_host("web2")]
        for place, slug in enumerate(["live-1", "live-2", "live-3", "test-1", "test-2"]):
            kind = Kind.TEST if slug.startswith("test") else Kind.LIVE
            make_instance(slug, runs="4.0", kind=kind, customer=customer, host=hosts[place % 2])
        self.ines = Actor(Origin.PAGE, make_user(role="Release manager"))
        self.stays = self._stays()

    def teardown(self) -> None:
        self.undone.__exit__(None, None, None)

    # How the steps go about it.

    def act(self, verb: Callable[[], T]) -> T | None:
        """None where it is refused, and then nothing has changed; else each change has its record."""
        before = records()
        last = Change.objects.values_list("pk", flat=True).first() or 0
        said: str | None = None
        try:
            answer = verb()
        except REFUSED as refused:
            answer, said = None, str(refused)
        if said is not None:
            assert said
            assert records() == before, f"refused, but something changed: {said}"
            return None
        assert_recorded(before, records(), Change.objects.filter(pk__gt=last))
        return answer

    @property
    def who(self) -> dict[str, Any]:
        return {"actor": of([COMMAND, self.ines], self.number), "now": self.now}

    @property
    def builds(self) -> list[Build]:
        return list(Build.objects.order_by("-version_key"))

    @property
    def sites(self) -> list[Instance]:
        return list(Instance.objects.for_list())

    def tonight(self) -> list[Decision]:
        night = next_night(self.now)
        return decisions_of(facts_of_night(night), night)

    def _stays(self) -> dict[int, tuple[object, ...]]:
        """Since when each build is in its channel, and what may begin a stay anew."""
        return {one.pk: (one.channel_since, one.maturity, one.smoke, one.archived_at) for one in Build.objects.all()}

    # Builds.

    @rule(kind=dice, passes=dice)
    def register(self, kind: int, passes: int) -> None:
        self.number += 1
        version = f"4.{self.number}" if kind % 4 else f"4.{max(self.number - 2, 0)}.{self.number}"
        artifact = Path(django_settings.ARTIFACT_DIR) / "upload"
        artifact.write_bytes(version.encode())
        made = self.act(lambda: register_build(version, artifact, **self.who))
        if made and passes % 5:
            self.act(lambda: report_smoke(made[0], Smoke.PASSED, **self.who))
            self.act(lambda: promote_build(made[0], of(CHANNELS, passes), **self.who))

    @rule(build=dice, smoke=dice)
    def smoke_again(self, build: int, smoke: int) -> None:
        said = of([Smoke.PASSED, Smoke.PASSED, Smoke.FAILED, Smoke.VOID], smoke)
        self.act(lambda: report_smoke(of(self.builds, build), said, **self.who))

    @rule(build=dice, to=dice, overriding=st.booleans())
    def move(self, build: int, to: int, overriding: bool) -> None:
        """P1: the preview is the plan after it, also through a gate that somebody overrides (R8)."""
        chosen, where = of(self.builds, build), of(tuple(Maturity), to)
        override = None
        if overriding and where > chosen.stage:
            override = Override(judge_promotion(chosen, where, now=self.now).keys, "They cannot wait.")
        preview = preview_move(chosen, where, next_night(self.now), now=self.now)
        moved = self.act(lambda: promote_build(chosen, where, reason="Because", override=override, **self.who))
        if moved and moved[1]:
            assert gist([one.after for one in preview.effects]) == gist(self.tonight())

    @rule(build=dice, replacement=dice)
    def withdraw(self, build: int, replacement: int) -> None:
        chosen, instead = of(self.builds, build), of([None, *self.builds], replacement)
        if not chosen.stepping_stone or (instead and not instead.facts().eligible):
            instead = None
        preview = preview_withdrawal(chosen, next_night(self.now), replacement=instead)
        if self.act(lambda: withdraw_build(chosen, reason="Loses mail", replacement=instead, **self.who)):
            assert gist([one.after for one in preview.effects]) == gist(self.tonight())

    @rule(build=dice, what=dice)
    def mark(self, build: int, what: int) -> None:
        chosen = of(self.builds, build)
        verbs: list[Callable[[], object]] = [
            lambda: mark_stepping_stone(chosen, **self.who),
            lambda: unmark_stepping_stone(chosen, **self.who),
            lambda: archive_build(chosen, keys_in_use=self._keys_in_use(), reason="Old", **self.who),
        ]
        if what % 12 == 0:
            verbs = [lambda: quarantine_build(chosen, **self.who)]
        self.act(of(verbs, what))

    def _keys_in_use(self) -> set[str]:
        pinned = {one.target_build.version_key for one in self.sites if one.target_build}
        going = set(Upgrade.objects.active().values_list("build__version_key", flat=True))
        return pinned | going | {one.reported_key for one in self.sites if one.reported_key}

    @rule(build=dice, severity=st.sampled_from(Severity))
    def find_problem(self, build: int, severity: Severity) -> None:
        first = of(self.builds, build)
        self.act(lambda: report_problem(severity=severity, title="Loses mail", first_affected=first, **self.who))

    @rule(problem=dice, what=dice, build=dice)
    def decide_problem(self, problem: int, what: int, build: int) -> None:
        problems = list(Problem.objects.order_by("pk"))
        if not problems:
            return
        one, chosen = of(problems, problem), of(self.builds, build)
        verbs: list[Callable[[], object]] = [
            lambda: acknowledge_problem(one, chosen, **self.who),
            lambda: fix_problem(one, chosen, **self.who),
            lambda: dismiss_problem(one, reason="Not real", **self.who),
            lambda: reopen_problem(one, **self.who),
            lambda: change_problem(one, severity=of(list(Severity), build), **self.who),
        ]
        self.act(of(verbs, what))

    @rule(channel=dice, soak=dice, automatic=st.booleans())
    def set_channel(self, channel: int, soak: int, automatic: bool) -> None:
        days = of([0, 0, 1, 14], soak)
        self.act(lambda: set_channel_policy(of(CHANNELS, channel), soak=days * DAY, automatic=automatic, **self.who))

    # Sites.

    @rule(site=dice, what=dice, ends=dice, down=st.booleans(), stale=dice)
    def aim(self, site: int, what: int, ends: int, down: bool, stale: int) -> None:
        """T3: the preview is the decision after saving. T7: who saw an older state is refused."""
        chosen, target = of(self.sites, site), self._target(what, ends)
        seen = last_seen(chosen)
        if stale % 8 == 0 and seen:
            change = self.act(lambda: set_target(chosen, target, reason="Because", seen=seen - 1, **self.who))
            assert change is None
            return
        night = next_night(self.now)
        preview = preview_target(chosen, target, night, consent=down)
        if self.act(lambda: set_target(chosen, target, reason="Because", downgrade=down, seen=seen, **self.who)):
            assert gist([preview.after]) == gist([decide_site(chosen, night)])

    def _target(self, what: int, ends: int) -> Target:
        if what % 3 == 0:
            return Target(channel=of(CHANNELS, what // 3).channel)
        how = of(list(PinEnd), ends)
        until = self.now + (ends % 40 + 1) * HOUR if how is PinEnd.ON_DATE else None
        then = None if how is PinEnd.NEVER else of([None, "release", "beta"], what)
        return Target(build=of(self.builds, what // 3), ends=how, until=until, then=then)

    @rule(first=dice, what=dice, ends=dice)
    def aim_many(self, first: int, what: int, ends: int) -> None:
        chosen = self.sites[first % 3 : first % 3 + 3]
        self.act(lambda: set_targets(chosen, self._target(what, ends), reason="Because", **self.who))

    @rule(site=dice, starts=dice, lasts=dice, many=st.booleans())
    def hold(self, site: int, starts: int, lasts: int, many: bool) -> None:
        begins = self.now + of([0, 0, 5, 30], starts) * HOUR
        chosen = self.sites[: site % 5 + 1] if many else [of(self.sites, site)]
        self.act(
            lambda: open_holds(
                chosen, starts_at=begins, ends_at=begins + of([1, 14, 80], lasts) * HOUR, reason="Audit", **self.who
            )
        )

    @rule(hold=dice, extends=st.booleans())
    def change_hold(self, hold: int, extends: bool) -> None:
        if holds := list(Hold.objects.order_by("pk")):
            one = of(holds, hold)
            if extends:
                self.act(lambda: extend_hold(one, self.now + 20 * HOUR, **self.who))
            else:
                self.act(lambda: end_hold(one, **self.who))

    @rule(scope=st.sampled_from(FreezeScope), starts=dice, lasts=dice, again=st.booleans())
    def freeze(self, scope: FreezeScope, starts: int, lasts: int, again: bool) -> None:
        begins = (self.now + of([0, 3, 13, 30], starts) * HOUR).replace(second=0, microsecond=0)
        values = {
            "name": "Month end", "scope": scope, "starts_at": begins, "reason": "Closing the books",
            "ends_at": begins + of([2, 16, 48], lasts) * HOUR, "zone": of(ZONES, lasts),
            "customer": self.sites[0].customer if scope is FreezeScope.CUSTOMER else None,
            "tag": Tag.objects.get_or_create(name="canary")[0] if scope is FreezeScope.TAG else None,
            "repeats": "FREQ=WEEKLY" if again else "",
        }  # fmt: skip
        self.act(lambda: open_freeze(values, **self.who))

    @rule(freeze=dice)
    def thaw(self, freeze: int) -> None:
        if freezes := list(Freeze.objects.order_by("pk")):
            self.act(lambda: end_freeze(of(freezes, freeze), **self.who))

    @rule(site=dice, start=dice, zone=dice, tagged=st.booleans())
    def open_hours(self, site: int, start: int, zone: int, tagged: bool) -> None:
        chosen = of([None, *self.sites], site)
        begins = of([0, 1, 3, 20], start)
        window = Window(frozenset(range(7)), time(begins), time((begins + 3) % 24), ZoneInfo(of(ZONES, zone)))
        self.act(lambda: set_windows(chosen, [window] if start % 3 else [], **self.who))
        if chosen and tagged:
            set_tags(chosen, ["canary"], **self.who)

    @rule(site=dice, version=dice)
    def drift(self, site: int, version: int) -> None:
        """Somebody was on the machine (P10)."""
        note_version(of(self.sites, site), of(["", "4.0", "4.0.7", "<html>", "4.1"], version), now=self.now)

    @rule(host=dice, enabled=st.booleans())
    def switch_host(self, host: int, enabled: bool) -> None:
        self.act(lambda: change_host(of(list(Host.objects.all()), host), {"enabled": enabled}, **self.who))

    # Nights.

    @rule(share=dice, sizes=dice, parallel=dice, holding=st.booleans(), pause=dice)
    def change_rules(self, share: int, sizes: int, parallel: int, holding: bool, pause: int) -> None:
        values = {
            "canary_share": of([0, 10, 100], share), "wave_sizes": of(["", "1", "50 %"], sizes),
            "max_parallel": of([1, 2, 20], parallel), "hold_on_blockers": holding,
            "wave_pause_min": of([0, 0, 30], pause), "halt_share": of([0, 10, 50], share),
        }  # fmt: skip
        self.act(lambda: change_policy(values, **self.who))

    @rule(start=dice, off=dice)
    def change_nights(self, start: int, off: int) -> None:
        if off % 3 == 0:
            self.act(lambda: switch_nights_off(reason="Moving house", **self.who))
        elif off % 3 == 1 or Policy.objects.get().nights_off_since:
            self.act(lambda: switch_nights_on(**self.who))
        else:
            begins = of([1, 2, 22], start)
            self.act(lambda: change_schedule({"start": time(begins), "end": time((begins + 4) % 24)}, **self.who))

    @rule(minutes=st.sampled_from([5, 40, 60 * 5, 60 * 30, 60 * 24 * 15]))
    def let_time_pass(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self._reap()

    @rule(outcomes=st.randoms(use_true_random=False), dark=dice)
    def live_through_a_night(self, outcomes: random.Random, dark: int) -> None:
        """From its start to its end, while hosts do their work."""
        self.now = next_night(self.now).starts_at + of([0, 0, 0, 90], dark) * timedelta(minutes=1)
        self._reap()
        for _round in range(12):
            self._work(outcomes, everything=outcomes.random() < 0.5)
            self.now += timedelta(minutes=20)
            self._reap()

    @rule(outcomes=st.randoms(use_true_random=False))
    def work_for_a_while(self, outcomes: random.Random) -> None:
        self._work(outcomes, everything=False)

    @rule()
    def open_the_night_by_hand(self) -> None:
        open_night_by_hand(**self.who)

    @rule(first=dice, waives=st.sets(st.sampled_from([Rule.PAUSE, Rule.WINDOW])))
    def upgrade_now(self, first: int, waives: set[Rule]) -> None:
        chosen = self.sites[first % 4 :]
        self.act(lambda: start_upgrades(chosen, waived=frozenset(waives), reason="They cannot wait.", **self.who))

    @rule(run=dice, what=dice)
    def decide_run(self, run: int, what: int) -> None:
        runs = list(Run.objects.order_by("-pk")[:3])
        if not runs:
            return
        one, why = of(runs, run), {"reason": "Because", **self.who}
        verbs: list[Callable[[], object]] = [
            lambda: halt_run(one, **why),
            lambda: resume_run(one, **why),
            lambda: end_run(one, **why),
            lambda: retry_failed(one, **why),
        ]
        if (halt := RunHalt.objects.unreleased().first()) and what % 2:
            verbs = [lambda: release_builds(halt, **why)]
        self.act(of(verbs, what))

    @rule(upgrade=dice)
    def decide_upgrade(self, upgrade: int) -> None:
        if stuck := Upgrade.objects.awaiting_a_person().first():
            self.act(lambda: unlock_site(stuck, note="Looked at it", **self.who))
        elif failed := list(Upgrade.objects.failed().filter(retried_at=None)):
            self.act(lambda: let_retry(of(failed, upgrade), note="The disk was full", **self.who))

    # What the product and the hosts do by themselves.

    def _reap(self) -> None:
        """As the reaper does, in its order; a night that opens does what its plan said just before."""
        before = records()
        last = Change.objects.values_list("pk", flat=True).first() or 0
        end_pins(gather_builds(), self.now)
        announce_eligible(now=self.now)
        close_overdue_runs(self.now)
        record_missed_nights(self.now)
        night = due_night(self.now)
        expected = night and decisions_of(facts := facts_of_night(Night(night.date, self.now, night.ends_at)), night)
        run = open_due_night(self.now)
        assert open_due_night(self.now) is None
        assert (run is None) is (night is None)
        if run and not run.switched_off:
            assert night
            planned = decisions_of(facts, Night(night.date, self.now, night.ends_at))
            assert [(one.site.id, one.code) for one in planned] == list(
                run.decisions.values_list("instance_id", "code")
            )
            assert run.decisions.count() == len(expected or []) == len(self.sites)
            assert run.upgrades.count() == sum(len(one.legs) for one in planned)
            assert promote_automatically(now=self.now) == []
        assert_recorded(before, records(), Change.objects.filter(pk__gt=last))
        assert not Instance.objects.filter(pin_until__lte=self.now).exists(), "T2: a pin that is over has ended"
        late = Upgrade.objects.waiting().filter(run__ends_at__lte=self.now)
        assert not late.exists(), "P7: nothing waits in a run whose time is over"

    def _work(self, outcomes: random.Random, *, everything: bool) -> None:
        """Hosts begin what may begin, and end what they have begun; some of it, or all."""
        for one in waves.claimable(self.now):
            if everything or outcomes.random() < 0.7:
                self._begin(one.number)
        for upgrade in Upgrade.objects.begun().for_list():
            if everything or outcomes.random() < 0.7:
                self._end(upgrade, outcomes.choice(["good"] * 6 + list(ENDINGS)))
        settle(self.now)

    def _begin(self, number: int) -> None:
        upgrade = Upgrade.objects.for_list().get(pk=number)
        if claims.begin(upgrade, now=self.now):
            self._assert_might_begin(Upgrade.objects.for_list().get(pk=number))
        settle(self.now)

    def _assert_might_begin(self, upgrade: Upgrade) -> None:
        """P9, asked anew of the rows, without the plan."""
        site, run, build = upgrade.instance, upgrade.run, gather_builds()[upgrade.build_id]
        assert_installable(build)
        assert upgrade.state == UpgradeState.STARTING
        assert run.starts_at <= self.now < run.ends_at
        assert not run.halts.undecided().exists()
        assert Upgrade.objects.begun().count() <= Policy.objects.get().max_parallel
        assert site.host.enabled
        if Rule.PAUSE not in run.waived:
            assert not pauses_for([site], self.now, self.now + MOMENT)[site.pk]
        if Rule.WINDOW not in run.waived and (windows := windows_for([site])[site.pk]):
            assert any(list(one.openings(self.now, self.now + MOMENT)) for one in windows)
        if run.kind == RunKind.NIGHTLY:
            assert not RunHalt.objects.unreleased().filter(builds=upgrade.build_id).exists()
            assert not _is_parked(upgrade)
        if Policy.objects.get().hold_on_blockers:
            assert not build.open_blockers
        self._assert_on_the_way(site, upgrade.build)
        earlier = run.upgrades.filter(wave__stage__lt=upgrade.wave.stage if upgrade.wave else 0, opens_at__lte=self.now)
        assert not earlier.exclude(state=UpgradeState.ENDED).exists(), "P4"

    def _assert_on_the_way(self, site: Instance, build: Build) -> None:
        assert site.reported_key
        if build.version_key < site.reported_key:
            assert site.target_build_id == build.pk
            assert site.may_downgrade, "T4"
            return
        stones = Build.objects.stepping_stones().filter(version_key__gt=site.reported_key)
        if site.target_build_id != build.pk:
            between = stones.filter(version_key__lt=build.version_key)
            assert not between.exists(), "T8"

    def _end(self, upgrade: Upgrade, how: str) -> None:
        ENDINGS.get(how, _succeed)(upgrade, self.now)

    # What holds after each step.

    @invariant()
    def the_plan_is_total_and_lawful(self) -> None:
        night = next_night(self.now)
        facts = facts_of_night(night)
        planned = decisions_of(facts, night)
        assert {one.site.id for one in planned} == {site.pk for site in self.sites}
        assert len(planned) == len(self.sites)
        for decision in planned:
            if decision.upgrades:
                assert_lawful(decision, promoted(facts, night.starts_at))
                assert decision.opens_at
                assert night.starts_at <= decision.opens_at < night.ends_at

    @invariant()
    def the_rows_are_in_order(self) -> None:
        for site in self.sites:
            assert (site.target_channel_id is None) is (site.target_build_id is not None), "T1"
        locked = [*Upgrade.objects.begun(), *Upgrade.objects.awaiting_a_person()]
        assert len({one.instance_id for one in locked}) == len(locked), "U1"
        dates = list(Run.objects.nightly().values_list("date", flat=True))
        assert len(set(dates)) == len(dates), "P7"
        with_work = set(Upgrade.objects.active().values_list("run_id", flat=True))
        for run in Run.objects.all():
            assert (run.ended_at is None) is (run.pk in with_work), "what has nothing left has ended"
            assert run.ended_at is None or not run.halts.undecided().exists()

    @invariant()
    def a_stay_begins_anew_only_where_its_build_did_something(self) -> None:
        """R6: whatever happens to others, and whatever is known of it."""
        after = self._stays()
        for build, (since, *state) in self.stays.items():
            if list(after[build][1:]) == state:
                assert after[build][0] == since
        self.stays = after


def _is_parked(upgrade: Upgrade) -> bool:
    """P11: its build failed on its site before, and neither a success nor a person has made that good."""
    earlier = Upgrade.objects.filter(instance=upgrade.instance, build=upgrade.build, pk__lt=upgrade.pk)
    for one in earlier.order_by("-pk"):
        if one.outcome in GOOD or one.retried_at:
            return False
        if one.outcome in BROKE or (one.outcome in FAILED and one.end_code not in CONNECTION_TROUBLE):
            return True
    return False


def _succeed(upgrade: Upgrade, now: datetime) -> None:
    _run(upgrade, now)
    note_version(upgrade.instance, upgrade.build.version, now=now)
    upgrade.end(Outcome.SUCCEEDED, EndCode.DONE, now=now)


def _run(upgrade: Upgrade, now: datetime) -> None:
    if upgrade.state == UpgradeState.STARTING:
        upgrade.move(UpgradeState.RUNNING, now=now)


def _roll_back(upgrade: Upgrade, now: datetime) -> None:
    _run(upgrade, now)
    if upgrade.state == UpgradeState.RUNNING:
        upgrade.move(UpgradeState.ROLLING_BACK, now=now)
    Upgrade.objects.filter(pk=upgrade.pk).update(fingerprint=f"migrate {upgrade.build}")
    upgrade.end(Outcome.ROLLED_BACK, EndCode.STEP_FAILED, now=now, step="Migrate")


def _fail_clean(upgrade: Upgrade, now: datetime) -> None:
    _run(upgrade, now)
    upgrade.end(Outcome.FAILED_CLEAN, EndCode.STEP_FAILED, now=now, step="Back up")


def _leave_in_doubt(upgrade: Upgrade, now: datetime) -> None:
    _run(upgrade, now)
    note_version(upgrade.instance, "", now=now)
    upgrade.end(Outcome.NEEDS_A_PERSON, EndCode.WAY_BACK_FAILED, now=now, step="Migrate")


def _block(upgrade: Upgrade, now: datetime) -> None:
    if upgrade.state == UpgradeState.STARTING:
        upgrade.end(Outcome.BLOCKED, EndCode.UNREACHABLE, now=now, host="web1", text="No answer.")


def _put_back(upgrade: Upgrade, now: datetime) -> None:
    if upgrade.state == UpgradeState.STARTING:
        upgrade.move(UpgradeState.WAITING, now=now, started_at=None)


def _find_drift(upgrade: Upgrade, now: datetime) -> None:
    if upgrade.state == UpgradeState.STARTING:
        note_version(upgrade.instance, "4.0.3", now=now)
        upgrade.end(Outcome.SKIPPED, EndCode.DRIFT, now=now, reported="4.0.3")


def _be_there_already(upgrade: Upgrade, now: datetime) -> None:
    if upgrade.state == UpgradeState.STARTING:
        note_version(upgrade.instance, upgrade.build.version, now=now)
        upgrade.end(Outcome.ALREADY_THERE, EndCode.ALREADY_THERE, now=now)


ENDINGS: dict[str, Callable[[Upgrade, datetime], None]] = {
    "rolled back": _roll_back,
    "failed clean": _fail_clean,
    "in doubt": _leave_in_doubt,
    "unreachable": _block,
    "put back": _put_back,
    "drift": _find_drift,
    "there already": _be_there_already,
}


@pytest.mark.lives
@pytest.mark.django_db
@pytest.mark.timeout(600 * EFFORT)
def test_every_rule_holds_throughout_random_lives_of_a_fleet() -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples(12), stateful_step_count=int(os.environ.get("RELEASEMGR_TEST_STEPS", "30")),
            deadline=None, suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
