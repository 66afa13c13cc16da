"""The queue: wakes workers, and nothing more. The only file that imports django_q.

Delivery is at least once. A task takes ids, may come twice, and is never the only record of work.
"""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, QuerySet
from django_q.models import Failure, OrmQ, Schedule
from django_q.tasks import async_task

UPGRADES = "upgrades"
MARGIN = timedelta(seconds=60)
"""What a task may wait beyond the time that another may run."""


def enqueue(path: str, *args: Any, cluster: str | None = None, name: str | None = None) -> None:
    """Puts a task into the caller's transaction: it exists if and only if that commits.

    `path` is the dotted path of the function; `cluster` is None for the control cluster.
    """
    options: dict[str, Any] = {"save": False, "task_name": name or path.rsplit(".", 1)[-1]}
    async_task(path, *args, cluster=cluster, **options)


def waiting(cluster: str | None = None) -> int:
    """How many tasks of a cluster are queued, those being worked on included. One query."""
    return int(_queued(cluster).count())


def untaken(now: datetime, cluster: str | None = None, *, since: timedelta = timedelta(0)) -> int:
    """How many tasks of a cluster no worker has taken, those only that wait for so long. One query."""
    return int(_queued(cluster).filter(lock__lt=now - since).count())


def is_stuck(now: datetime, running_for: timedelta, cluster: str | None = None) -> bool:
    """Whether tasks wait although no worker can be too busy to take them. Two queries at most.

    A cluster whose idle worker was killed may hang so, and looks healthy. None was taken for longer than any
    may run; one that was taken is locked for the retry time from then on.
    """
    settled = settings.Q_CLUSTER if cluster is None else settings.Q_CLUSTER["ALT_CLUSTERS"][cluster]
    too_long = timedelta(seconds=settled["timeout"]) + MARGIN
    if running_for < too_long or not untaken(now, cluster, since=too_long):
        return False
    return not _queued(cluster).filter(lock__gt=now - too_long + timedelta(seconds=settled["retry"])).exists()


def _queued(cluster: str | None) -> QuerySet[OrmQ]:
    tasks: QuerySet[OrmQ] = OrmQ.objects.filter(key=cluster or settings.Q_CLUSTER["name"])
    return tasks


def due_times() -> dict[str, datetime]:
    """When each entry of the schedule is due next, by name. One query."""
    return dict(Schedule.objects.values_list("name", "next_run"))


def failures(since: datetime) -> dict[str, int]:
    """How often each task has failed since then, by its name. One query."""
    failed = Failure.objects.filter(stopped__gte=since).order_by().values_list("func")
    return {func.rsplit(".", 1)[-1]: times for func, times in failed.annotate(times=Count("pk"))}


def ensure_schedule(name: str, path: str, cron: str) -> None:
    """Keeps exactly one schedule of this name on the control cluster, with this cron expression.

    It is due no later than that says now: in another time zone than before it may say something else.
    """
    schedule, created = Schedule.objects.get_or_create(
        name=name, defaults={"func": path, "schedule_type": Schedule.CRON, "cron": cron, "repeats": -1}
    )
    changed = created or schedule.cron != cron or schedule.func != path
    schedule.func, schedule.cron, schedule.schedule_type = path, cron, Schedule.CRON
    due = schedule.calculate_next_run()
    if changed or schedule.next_run > due:
        schedule.next_run = due
        schedule.save()
