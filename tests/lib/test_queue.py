"""The queue by its rows: what waits, and when nobody takes it."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django_q.models import OrmQ, Schedule

from releasemgr.lib import queue

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LONG = timedelta(hours=1)
RETRY = timedelta(seconds=2400)  # of the upgrades cluster


def ready_since(ago: timedelta, cluster: str = queue.UPGRADES) -> None:
    OrmQ.objects.create(key=cluster, payload="", lock=NOW - ago)


def taken(ago: timedelta) -> None:
    OrmQ.objects.create(key=queue.UPGRADES, payload="", lock=NOW - ago + RETRY)


def is_stuck(running_for: timedelta = LONG, cluster: str | None = queue.UPGRADES) -> bool:
    return queue.is_stuck(NOW, running_for, cluster)


def test_an_empty_queue_is_not_stuck() -> None:
    assert not is_stuck()


def test_a_task_that_nobody_takes_for_longer_than_a_task_may_run_means_stuck() -> None:
    """The upgrades cluster's tasks may run 600 s, and a minute is allowed on top."""
    ready_since(timedelta(seconds=659))
    assert not is_stuck()
    ready_since(timedelta(seconds=661))
    assert is_stuck()


def test_while_tasks_are_being_taken_an_old_one_only_waits_its_turn() -> None:
    ready_since(timedelta(seconds=661))
    taken(timedelta(seconds=659))
    assert not is_stuck()
    OrmQ.objects.filter(lock__gt=NOW).delete()
    taken(timedelta(seconds=661))
    assert is_stuck()


def test_workers_that_have_just_started_are_given_time_to_take_what_waited() -> None:
    ready_since(LONG)
    assert not is_stuck(running_for=timedelta(seconds=659))
    assert is_stuck(running_for=timedelta(seconds=661))


def test_each_cluster_is_judged_by_its_own_tasks_and_limits() -> None:
    ready_since(timedelta(seconds=361), cluster="control")
    assert not is_stuck()
    assert is_stuck(cluster=None)


def test_a_task_exists_exactly_when_its_transaction_commits() -> None:
    with transaction.atomic():
        queue.enqueue("math.sqrt", 4)
        transaction.set_rollback(True)
    assert queue.waiting() == 0

    queue.enqueue("math.sqrt", 4)
    queue.enqueue("math.sqrt", 4, cluster=queue.UPGRADES)

    assert queue.waiting() == 1
    assert queue.waiting(queue.UPGRADES) == 1


def test_a_schedule_exists_once_and_follows_its_latest_expression() -> None:
    queue.ensure_schedule("a test", "math.sqrt", "0 3 * * *")
    queue.ensure_schedule("a test", "math.sqrt", "30 4 * * *")
    schedule = Schedule.objects.get(name="a test")
    assert schedule.cron == "30 4 * * *"
    assert (schedule.next_run.hour, schedule.next_run.minute) == (4, 30)


def test_a_schedule_that_would_come_too_late_is_put_right_and_one_that_is_due_stays_so() -> None:
    queue.ensure_schedule("a test", "math.sqrt", "0 3 * * *")
    due = Schedule.objects.get(name="a test").next_run
    for found, kept in ((due + timedelta(days=2), due), (due - timedelta(days=3), due - timedelta(days=3))):
        Schedule.objects.filter(name="a test").update(next_run=found)
        queue.ensure_schedule("a test", "math.sqrt", "0 3 * * *")
        assert Schedule.objects.get(name="a test").next_run == kept
