"""T7, P9, P5: what two do at the same moment ends in one of two defined ways, on real concurrent transactions."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from builds.maturity import Maturity
from builds.models import Build
from builds.services import gather_builds, withdraw_build
from instances.choices import FreezeScope
from instances.models import Freeze, Instance, Tag, Target, TargetChange
from instances.pins import PinEnd
from instances.services import (
    change_freeze,
    end_pins,
    last_seen_of,
    open_freeze,
    open_hold,
    set_target,
    set_targets,
)
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import ChangedMeanwhile, last_seen
from tests.factories import NOW, make_build, make_host, make_instance, one_wave
from tests.together import Beside, one_after_the_other, run_together
from upgrades.choices import EndCode, HaltEnd, Outcome, UpgradeState
from upgrades.exceptions import RunChanged
from upgrades.models import Policy, Run, RunHalt, Schedule, Upgrade
from upgrades.plan import Code, plan
from upgrades.services import claims, halts
from upgrades.services.facts import facts_now
from upgrades.services.halts import end_run, halt_run, judge_runs, release_builds, resume_run
from upgrades.services.policy import switch_nights_off
from upgrades.services.runs import open_due_night, settle, start_upgrades

pytestmark = pytest.mark.django_db(transaction=True)

ACT: dict[str, Any] = {"actor": COMMAND, "now": NOW}
LATER = NOW + timedelta(minutes=10)
Doing = Callable[[], object]
BOTH_WAYS = pytest.mark.parametrize("starts_first", [True, False], ids=["start first", "start second"])


def attempt(act: Doing) -> object:
    """What it did, or the kind of refusal that it met."""
    try:
        return act()
    except (ChangedMeanwhile, RunChanged) as refused:
        return type(refused)


def due_run(sites: int = 1, **policy: object) -> Run:
    """Live sites that follow release, which is 2.0, and a run that is to upgrade them now."""
    one_wave()
    Policy.objects.update(**policy)
    make_build("2.0", maturity=Maturity.RELEASE)
    host = make_host("app-1")
    return start_upgrades([make_instance(f"live-{number}", host=host) for number in range(sites)], **ACT)


def start_beside(run: Run, act: Doing, *, starts_first: bool) -> tuple[bool, object, Upgrade]:
    """Whether the run's first upgrade began, what the other act did, and the upgrade after both."""
    upgrade = run.upgrades.for_list()[0]

    def start() -> object:
        return claims.begin(upgrade, now=LATER)

    if starts_first:
        began, done = one_after_the_other(start, act)
    else:
        done, began = one_after_the_other(act, start)
    return bool(began), done, Upgrade.objects.get(pk=upgrade.pk)


@BOTH_WAYS
def test_p9_a_hold_and_a_start_come_one_after_the_other(starts_first: bool) -> None:
    run = due_run()
    site = Instance.objects.get()

    began, _hold, upgrade = start_beside(
        run, lambda: open_hold(site, ends_at=NOW + timedelta(days=1), reason="Audit", **ACT), starts_first=starts_first
    )

    assert began is starts_first
    assert site.holds.count() == 1
    if starts_first:
        assert upgrade.state == UpgradeState.STARTING
    else:
        assert (upgrade.outcome, upgrade.end_code) == (Outcome.SKIPPED, EndCode.REPLANNED)
        assert "Audit" in upgrade.end_values["text"]


@BOTH_WAYS
def test_p9_a_change_of_target_and_a_start_come_one_after_the_other(starts_first: bool) -> None:
    run = due_run()
    site = Instance.objects.get()

    began, _change, upgrade = start_beside(
        run, lambda: set_target(site, Target(channel="stable"), **ACT), starts_first=starts_first
    )

    assert began is starts_first
    assert Instance.objects.get().target == Target(channel="stable")
    assert upgrade.outcome == (None if starts_first else Outcome.SKIPPED)


@BOTH_WAYS
def test_p5_a_halt_and_a_start_come_one_after_the_other(starts_first: bool) -> None:
    run = due_run()

    began, halt, upgrade = start_beside(
        run, lambda: halt_run(run, actor=COMMAND, now=LATER, reason="The data centre is on fire."),
        starts_first=starts_first,
    )  # fmt: skip

    assert began is starts_first
    assert halt == RunHalt.objects.undecided().get()
    assert upgrade.state == (UpgradeState.STARTING if starts_first else UpgradeState.WAITING)


def test_p4_two_starts_at_once_keep_the_limit_over_all() -> None:
    run = due_run(4, max_parallel=2)

    began = run_together(*[lambda one=one: claims.begin(one, now=LATER) for one in run.upgrades.for_list()])

    assert sorted(began) == [False, False, True, True]
    assert Upgrade.objects.begun().count() == 2


def test_t7_of_two_people_who_save_one_target_the_second_is_refused() -> None:
    site, pinned = make_instance(), make_build("4.2")
    seen = last_seen(site)

    _first, second = one_after_the_other(
        lambda: set_target(site, Target(build=pinned), reason="Audit", seen=seen, **ACT),
        lambda: attempt(lambda: set_target(site, Target(channel="beta"), seen=seen, **ACT)),
    )

    assert second is ChangedMeanwhile
    assert Instance.objects.get().target.build == pinned
    assert (TargetChange.objects.count(), Change.objects.count()) == (1, 1)


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_t1_of_two_commands_that_set_one_target_the_second_starts_from_what_the_first_left(many: bool) -> None:
    """The row that it waited for is the one that it sees, with the build that it is pinned to by then."""
    site, pinned = make_instance(), make_build("4.2")

    def to_beta() -> object:
        target = Target(channel="beta")
        return set_targets([site], target, **ACT) if many else set_target(site, target, **ACT)

    one_after_the_other(lambda: set_target(site, Target(build=pinned), reason="Audit", **ACT), to_beta)

    second, first = TargetChange.objects.order_by("-pk")
    assert (first.after, second.before, second.after) == (
        Target(build=pinned), Target(build=pinned), Target(channel="beta"),
    )  # fmt: skip
    assert Change.objects.first().before["version"] == "4.2"  # type: ignore[union-attr]
    assert Instance.objects.get().target == Target(channel="beta")


def test_t9_t7_two_who_change_overlapping_selections_never_block_each_other() -> None:
    sites = [make_instance(f"site-{number}") for number in range(12)]
    seen = last_seen_of(sites)

    outcomes = run_together(
        lambda: attempt(lambda: len(set_targets(sites[:9], Target(channel="beta"), seen=seen, **ACT))),
        lambda: attempt(lambda: len(set_targets(sites[:2:-1], Target(channel="alpha"), seen=seen, **ACT))),
    )

    assert sorted(outcomes, key=str) == [9, ChangedMeanwhile]
    assert TargetChange.objects.count() == Change.objects.count() == 9


@pytest.mark.parametrize("ends_first", [True, False], ids=["pin ends first", "pin ends second"])
def test_t2_a_pin_that_ends_and_a_new_target_come_one_after_the_other(ends_first: bool) -> None:
    pinned, newer = make_build("4.2"), make_build("4.3")
    site = make_instance(target_build=pinned, pin_ends=PinEnd.ON_DATE, pin_until=NOW, pin_then_id="release", runs="4.1")
    seen = last_seen(site)

    def end() -> object:
        return len(end_pins(gather_builds(), NOW))

    def save() -> object:
        return attempt(lambda: set_target(site, Target(build=newer), reason="Another fix", seen=seen, **ACT))

    if ends_first:
        ended, saved = one_after_the_other(end, save)
        assert (ended, saved) == (1, ChangedMeanwhile)
        assert Instance.objects.get().target == Target(channel="release")
    else:
        saved, ended = one_after_the_other(save, end)
        assert ended == 0
        assert Instance.objects.get().target == Target(build=newer)
    assert TargetChange.objects.count() == Change.objects.count() == 1


def test_p8_of_two_who_change_one_freeze_the_second_starts_from_what_the_first_left() -> None:
    tag = Tag.objects.create(name="health")
    freeze = open_freeze(
        {
            "name": "Audit", "scope": FreezeScope.ALL, "starts_at": NOW, "ends_at": NOW + timedelta(days=1),
            "repeats": "", "zone": "UTC", "reason": "Audit",
        },
        **ACT,
    )  # fmt: skip

    one_after_the_other(
        lambda: change_freeze(freeze, {"scope": FreezeScope.TAG, "tag": tag}, **ACT),
        lambda: change_freeze(Freeze.objects.get(), {"reason": "The audit goes on"}, **ACT),
    )

    after = Freeze.objects.get()
    assert (after.scope, after.tag, after.reason) == ("tag", tag, "The audit goes on")
    assert Change.objects.first().after == {"reason": "The audit goes on"}  # type: ignore[union-attr]


def halted_run(sites: int = 10) -> Run:
    run = due_run(sites)
    for upgrade in run.upgrades.for_list()[:2]:
        fail(upgrade)
        settle(LATER)
    return run


def fail(upgrade: Upgrade) -> None:
    upgrade.move(UpgradeState.STARTING, now=NOW, started_at=NOW)
    upgrade.end(Outcome.ROLLED_BACK, EndCode.STEP_FAILED, now=LATER, step="Migrate")


def test_p5_of_two_who_resume_a_run_the_second_hears_that_it_is_not_halted() -> None:
    run = halted_run()

    outcomes = one_after_the_other(
        *[lambda: attempt(lambda: resume_run(run, actor=COMMAND, now=LATER, reason="Mended."))] * 2
    )

    assert outcomes[1] is RunChanged
    assert [halt.end for halt in RunHalt.objects.all()] == [HaltEnd.RESUMED]
    assert Change.objects.filter(kind="run.resumed").count() == 1


@pytest.mark.parametrize("resumes_first", [True, False])
def test_p5_one_who_resumes_and_one_who_ends_a_run_come_one_after_the_other(resumes_first: bool) -> None:
    run = halted_run()
    resume: Doing = lambda: attempt(lambda: resume_run(run, actor=COMMAND, now=LATER, reason="Mended."))  # noqa: E731
    end: Doing = lambda: attempt(lambda: end_run(run, actor=COMMAND, now=LATER, reason="Not tonight."))  # noqa: E731

    outcomes = one_after_the_other(*((resume, end) if resumes_first else (end, resume)))

    assert outcomes[1] is RunChanged
    assert run.upgrades.waiting().count() == (8 if resumes_first else 0)


def test_p5_two_workers_whose_failures_halt_a_run_halt_it_once() -> None:
    run = due_run(10)
    failing = list(run.upgrades.for_list()[:4])

    def report(*upgrades: Upgrade) -> object:
        """As the supervisor writes what its hosts told: in one transaction."""
        with transaction.atomic():
            for upgrade in upgrades:
                fail(upgrade)
            settle(LATER)
        return None

    one_after_the_other(lambda: report(failing[0]), lambda: report(failing[1]))
    halt = RunHalt.objects.get()
    assert halt.values["failed"] == 2, "neither saw the other's failure alone"

    run_together(*[lambda one=one: report(one) for one in failing[2:]])

    assert RunHalt.objects.get() == halt
    assert Change.objects.filter(kind="run.halted").count() == 1


def test_t8_p5_a_path_that_breaks_off_and_the_end_of_its_run_never_block_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker has written that the first leg failed, while a person ends the halted run with what is left of it."""
    one_wave()
    make_build("1.5", stepping_stone=True)
    make_build("2.0", maturity=Maturity.RELEASE)
    run = start_upgrades([make_instance("acme", runs="1.0")], **ACT)
    halt_run(run, actor=COMMAND, now=LATER, reason="The data centre is on fire.")

    ending: list[Beside[object]] = []

    def judge_beside(numbers: set[int], now: datetime) -> list[RunHalt]:
        """What came before this has ended the second leg."""
        ending.append(Beside(lambda: attempt(lambda: end_run(run, actor=COMMAND, now=LATER, reason="Not tonight."))))
        return judge_runs(numbers, now)

    monkeypatch.setattr(halts, "judge_runs", judge_beside)
    with transaction.atomic():
        fail(run.upgrades.for_list()[0])
        settle(LATER)

    assert ending[0].answer() is RunChanged, "nothing of it was left"
    assert [(one.outcome, one.end_code) for one in run.upgrades.order_by("leg")] == [
        (Outcome.ROLLED_BACK, EndCode.STEP_FAILED), (Outcome.NOT_STARTED, EndCode.PATH_ENDED),
    ]  # fmt: skip


@pytest.mark.parametrize("releases_first", [True, False])
def test_p5_r9_a_build_that_is_released_and_withdrawn_is_offered_to_nobody(releases_first: bool) -> None:
    halt = halted_run().halts.get()
    build = Build.objects.get(version="2.0")
    release: Doing = lambda: release_builds(halt, actor=COMMAND, now=LATER, reason="Mended.")  # noqa: E731
    withdraw: Doing = lambda: withdraw_build(build, actor=COMMAND, now=LATER, reason="Loses mail")  # noqa: E731

    one_after_the_other(*((release, withdraw) if releases_first else (withdraw, release)))

    assert Build.objects.get(pk=build.pk).is_withdrawn
    assert RunHalt.objects.get().released_at == LATER
    fresh = make_instance("fresh")
    assert [one.code for one in plan(facts_now([fresh], LATER), LATER)] == [Code.NO_BUILD]


@pytest.mark.parametrize("off_first", [True, False])
def test_p5_p7_nights_that_are_switched_off_while_one_opens_leave_one_run(off_first: bool) -> None:
    at = NOW + timedelta(hours=13, minutes=1)
    off: Doing = lambda: switch_nights_off(actor=COMMAND, now=at, reason="Moving house.")  # noqa: E731
    night: Doing = lambda: open_due_night(at)  # noqa: E731
    due_night_of_one_site()

    one_after_the_other(*((off, night) if off_first else (night, off)))

    run = Run.objects.nightly().get()
    assert run.switched_off is off_first
    assert Upgrade.objects.count() == (0 if off_first else 1)


def due_night_of_one_site() -> None:
    Schedule.objects.update(since=NOW)
    make_build("2.0", maturity=Maturity.RELEASE)
    make_instance("acme", runs="1.0")


def test_p5_what_comes_back_to_a_run_that_a_person_ended_does_not_begin_any_more() -> None:
    run = halted_run(3)
    started = run.upgrades.waiting().for_list()[0]
    started.move(UpgradeState.STARTING, now=LATER, started_at=LATER)
    end_run(run, actor=COMMAND, now=LATER, reason="Not tonight.")

    started.move(UpgradeState.WAITING, now=LATER, started_at=None)
    settle(LATER)

    after = Upgrade.objects.get(pk=started.pk)
    assert (after.outcome, after.end_code) == (Outcome.NOT_STARTED, EndCode.RUN_HALTED)
    assert Run.objects.get().ended_at == LATER
