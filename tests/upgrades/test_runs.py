"""P7: one nightly run per local date, whatever wakes it. P2, P8: what a run records."""

from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import IntegrityError, transaction
from django_q.models import OrmQ
from pytest_django import Settings

from builds.maturity import Maturity
from releasemgr.lib.actors import AUTOMATIC, COMMAND, Origin
from tests.factories import NOW, make_build, make_instance, make_run, make_upgrade
from tests.together import run_together
from upgrades.choices import EndCode, Outcome, RunKind, RunState, UpgradeState
from upgrades.exceptions import NothingToUpgrade, PlanChanged
from upgrades.models import Decision, Run, Schedule, Upgrade
from upgrades.plan import Code, fingerprint, plan
from upgrades.services.facts import facts_now
from upgrades.services.halts import finish
from upgrades.services.planning import plan_night
from upgrades.services.policy import change_schedule
from upgrades.services.runs import (
    close_overdue_runs,
    open_due_night,
    open_night,
    record_missed_nights,
    start_upgrades,
)

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
ONE = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
"""When the first night after NOW starts."""


@pytest.fixture(autouse=True)
def installed_at_noon(db: None) -> None:
    Schedule.objects.update(since=NOW, start=time(1, 0), end=time(5, 0))


def fleet() -> None:
    make_build("4.2", maturity=Maturity.RELEASE)
    make_instance("a-live", runs="4.1")
    make_instance("b-current", runs="4.2")
    make_instance("c-test", runs="4.1", kind="test")


def test_p7_the_night_is_planned_once_however_often_it_is_asked() -> None:
    fleet()

    runs = [open_due_night(ONE + timedelta(minutes=minutes)) for minutes in (0, 0, 1, 239)]

    run = Run.objects.get()
    assert runs == [run, None, None, None]
    assert (run.kind, run.date, run.origin, run.missed) == (RunKind.NIGHTLY, ONE.date(), Origin.AUTOMATIC, False)
    assert (run.starts_at, run.ends_at, run.planned_at) == (ONE, ONE + timedelta(hours=4), ONE)
    assert (Decision.objects.count(), Upgrade.objects.count()) == (3, 2)


def test_p1_a_run_does_what_the_plan_said_in_the_plans_order() -> None:
    fleet()
    planned = plan_night(NOW)[1]

    run = open_due_night(ONE)

    assert run
    assert [(row.instance_id, row.code) for row in run.decisions.all()] == [(one.site.id, one.code) for one in planned]
    upgrades = run.upgrades.order_by("position")
    assert [upgrade.instance.slug for upgrade in upgrades] == ["c-test", "a-live"]
    assert [upgrade.state for upgrade in upgrades] == ["waiting", "waiting"]
    assert {upgrade.from_version for upgrade in upgrades} == {"4.1"}
    current = run.decisions.get(instance__slug="b-current")
    assert current.checks[1] == {
        "rule": "target", "code": "up_to_date", "values": {"channel": "release", "to": "4.2", "from": "4.2"},
    }  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_p7_two_workers_at_the_same_moment_make_one_run() -> None:
    Schedule.objects.update(since=NOW)
    fleet()

    runs = run_together(*[lambda: open_due_night(ONE)] * 4)

    run = Run.objects.get()
    assert sorted(runs, key=bool) == [None, None, None, run]
    assert (Decision.objects.count(), Upgrade.objects.count()) == (3, 2)


def test_p7_a_fault_in_planning_is_not_taken_for_a_night_that_has_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise IntegrityError("something else")

    monkeypatch.setattr("upgrades.services.runs._plan_run", broken)

    with pytest.raises(IntegrityError, match="something else"):
        open_due_night(ONE)

    assert not Run.objects.exists()


@pytest.mark.parametrize("moment", [ONE - timedelta(seconds=1), ONE + timedelta(hours=4), ONE + timedelta(hours=9)])
def test_p7_outside_the_night_nothing_is_planned(moment: datetime) -> None:
    """A night missed because everything was down is not run at ten in the morning."""
    assert open_due_night(moment) is None
    assert not Run.objects.exists()


def test_p7_a_worker_that_comes_back_within_the_night_runs_it() -> None:
    run = open_due_night(ONE + timedelta(hours=3))

    assert run
    assert (run.date, run.ends_at) == (ONE.date(), ONE + timedelta(hours=4))


def test_p7_nights_before_the_installation_never_were() -> None:
    assert open_due_night(NOW - timedelta(hours=10)) is None
    assert record_missed_nights(NOW) == []
    assert not Run.objects.exists()


def test_p7_a_change_of_the_hours_makes_no_missed_night_of_one_that_never_was() -> None:
    change_schedule({"start": time(22, 0), "end": time(23, 0)}, actor=COMMAND, now=NOW)
    evening = ONE - timedelta(hours=3)
    assert open_due_night(evening)

    change_schedule({"start": time(1, 0), "end": time(5, 0)}, actor=COMMAND, now=evening + timedelta(hours=9))

    assert record_missed_nights(evening + timedelta(hours=10)) == []
    assert [run.date for run in Run.objects.all()] == [evening.date()]


def test_p7_a_change_of_the_hours_forgets_no_dark_night_and_not_the_one_that_is_on() -> None:
    noon = NOW + DAY
    change_schedule({"start": time(11, 0), "end": time(13, 0)}, actor=COMMAND, now=noon)

    missed = Run.objects.get()
    assert (missed.date, missed.missed) == (ONE.date(), True)
    assert open_due_night(noon) is None, "that date has had its night"
    change_schedule({"start": time(11, 30)}, actor=COMMAND, now=noon + DAY)
    assert open_due_night(noon + DAY), "by the new hours it is on"


def test_p7_the_night_during_which_it_was_installed_never_was() -> None:
    Schedule.objects.update(since=ONE + timedelta(hours=1))

    assert open_due_night(ONE + timedelta(hours=2)) is None
    assert record_missed_nights(ONE + timedelta(hours=12)) == []


def test_p7_three_dark_nights_are_three_missed_nights() -> None:
    noon = NOW + 3 * DAY

    record_missed_nights(noon)
    record_missed_nights(noon)

    runs = list(Run.objects.order_by("date"))
    assert [(run.date, run.missed, run.state) for run in runs] == [
        ((ONE + number * DAY).date(), True, RunState.MISSED) for number in range(3)
    ]
    assert not Decision.objects.exists()


def test_p7_a_night_that_is_still_on_is_not_missed() -> None:
    record_missed_nights(ONE + timedelta(hours=3))

    assert not Run.objects.exists()


def test_p7_dark_nights_are_recorded_also_when_the_next_one_opens_first() -> None:
    """Coming back in the middle of the fourth night."""
    run = open_due_night(ONE + 3 * DAY)

    record_missed_nights(ONE + 4 * DAY - timedelta(hours=2))

    assert [(one.date, one.missed) for one in Run.objects.order_by("date")] == [
        *[((ONE + number * DAY).date(), True) for number in range(3)],
        ((ONE + 3 * DAY).date(), False),
    ]
    assert Run.objects.get(missed=False) == run


@pytest.mark.django_db(transaction=True)
def test_p7_two_workers_recording_missed_nights_record_each_once() -> None:
    Schedule.objects.update(since=NOW)

    run_together(*[lambda: record_missed_nights(NOW + 3 * DAY)] * 3)

    assert Run.objects.filter(missed=True).count() == 3


@pytest.mark.parametrize(
    ("zone", "start", "change"),
    [
        ("Europe/London", time(1, 30), datetime(2027, 3, 28, tzinfo=UTC)),
        ("Europe/London", time(1, 30), datetime(2026, 10, 25, tzinfo=UTC)),
        ("America/New_York", time(1, 30), datetime(2026, 11, 1, tzinfo=UTC)),
        ("Australia/Lord_Howe", time(2, 15), datetime(2026, 10, 4, tzinfo=UTC)),
    ],
)
def test_p7_over_a_clock_change_a_reaper_makes_one_run_for_each_date(
    settings: Settings, zone: str, start: time, change: datetime
) -> None:
    settings.TIME_ZONE = zone
    Schedule.objects.update(since=change - 3 * DAY, start=start, end=time(5, 0))

    moment = change - 3 * DAY
    while moment < change + 2 * DAY:
        record_missed_nights(moment)
        open_due_night(moment)
        moment += timedelta(minutes=30)

    dates = [run.date for run in Run.objects.order_by("date") if run.date]
    assert len(dates) >= 4
    assert [date - dates[0] for date in dates] == [number * DAY for number in range(len(dates))]
    assert not Run.objects.filter(missed=True).exists()


def test_p7_a_night_run_by_hand_ahead_of_its_time_is_not_run_again() -> None:
    night = Schedule.objects.get().timetable.next(NOW)

    run = open_night(night, actor=COMMAND, now=NOW)

    assert run
    assert open_night(night, actor=COMMAND, now=NOW) is None
    assert open_due_night(ONE) is None
    assert record_missed_nights(ONE + timedelta(hours=12)) == []
    assert Run.objects.get() == run


def test_p7_the_database_refuses_a_second_run_of_a_date_and_a_night_without_one() -> None:
    make_run(date=ONE.date())
    for values in ({"date": ONE.date()}, {"kind": RunKind.NIGHTLY}, {"kind": RunKind.MANUAL, "date": NOW.date()}):
        with pytest.raises(IntegrityError), transaction.atomic():
            make_run(**values)


def test_p7_a_run_with_nothing_to_do_ends_at_once_and_wakes_nobody() -> None:
    run = open_due_night(ONE)

    assert run
    assert (run.ended_at, run.state) == (ONE, RunState.ENDED)
    assert not OrmQ.objects.exists()


def test_a_manual_run_upgrades_the_chosen_sites_now_and_is_its_own_kind() -> None:
    fleet()
    chosen = [make_instance("chosen", runs="4.1"), make_instance("current", runs="4.2")]

    run = start_upgrades(chosen, actor=COMMAND, now=NOW, reason=" Asked for ")

    assert (run.kind, run.date, run.origin, run.reason) == (RunKind.MANUAL, None, Origin.COMMAND, "Asked for")
    assert [upgrade.instance.slug for upgrade in run.upgrades.all()] == ["chosen"]
    assert [decision.code for decision in run.decisions.all()] == [Code.UPGRADE, Code.UP_TO_DATE]
    assert OrmQ.objects.exists()


def test_p1_a_manual_run_of_a_plan_that_nobody_saw_starts_nothing() -> None:
    fleet()
    site = make_instance("chosen", runs="4.1")
    seen = fingerprint(plan(facts_now([site], NOW), NOW))
    make_build("4.3", maturity=Maturity.STABLE)

    with pytest.raises(PlanChanged):
        start_upgrades([site], actor=COMMAND, now=NOW, seen=seen)

    assert not Run.objects.exists()
    assert not OrmQ.objects.exists()


def test_a_manual_run_of_no_site_is_refused() -> None:
    with pytest.raises(NothingToUpgrade):
        start_upgrades([], actor=COMMAND, now=NOW)

    assert not Run.objects.exists()


def test_p7_what_has_not_begun_when_the_time_is_over_is_not_started() -> None:
    run = make_run()
    waiting = make_upgrade(run=run)
    running = make_upgrade(run=run, state=UpgradeState.RUNNING)
    over = run.ends_at

    assert close_overdue_runs(over - timedelta(seconds=1)) == 0
    assert close_overdue_runs(over) == 1

    waiting.refresh_from_db()
    assert (waiting.outcome, waiting.end_code, waiting.ended_at) == (Outcome.NOT_STARTED, EndCode.TIME_OVER, over)
    assert waiting.events.get().to_state == UpgradeState.ENDED
    running.refresh_from_db()
    assert running.state == UpgradeState.RUNNING
    assert Run.objects.get().ended_at is None

    running.end(Outcome.ROLLED_BACK, EndCode.STEP_FAILED, now=over, step="health")
    assert finish(over) == 1
    assert Run.objects.get().state is RunState.WITH_FAILURES
    assert Run.objects.for_list().get().state is RunState.WITH_FAILURES


def test_a_run_that_is_still_being_planned_is_not_ended() -> None:
    make_run(planned_at=None)

    assert finish(NOW) == 0


def test_the_list_of_runs_counts_how_upgrades_ended() -> None:
    run = make_run()
    for outcome in (Outcome.SUCCEEDED, Outcome.ALREADY_THERE, Outcome.ROLLED_BACK, Outcome.SKIPPED):
        make_upgrade(run=run, outcome=outcome)
    make_upgrade(run=run)

    row = Run.objects.for_list().get()

    counted = [getattr(row, name) for name in ("planned", "succeeded", "failed", "untouched", "active")]
    assert counted == [5, 2, 1, 1, 1]


def test_p7_the_automatic_run_names_nobody() -> None:
    run = open_due_night(ONE)

    assert run
    assert run.requested_by is None
    assert AUTOMATIC.origin == run.origin
