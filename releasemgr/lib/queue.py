"""The queue: wakes workers, and nothing more. The only file that imports django_q.

Delivery is at least once. A task takes ids, may come twice, and is never the only record of work.
"""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django_q.models import OrmQ, Schedule
from django_q.tasks import async_task

UPGRADES = "upgrades"


def enqueue(path: str, *args: Any, cluster: str | None = None, name: str | None = None) -> None:
    """Puts a task into the caller's transaction: it exists if and only if that commits.

    `path` is the dotted path of the function; `cluster` is None for the control cluster.
    """
    options: dict[str, Any] = {"save": False, "task_name": name or path.rsplit(".", 1)[-1]}
    async_task(path, *args, cluster=cluster, **options)


def waiting(cluster: str | None = None) -> int:
    """How many tasks of a cluster are queued, those being worked on included. One query."""
    return int(OrmQ.objects.filter(key=cluster or settings.Q_CLUSTER["name"]).count())


def is_stuck(now: datetime, running_for: timedelta, cluster: str | None = None) -> bool:
    """Whether tasks wait although no worker can be too busy to take them. Two queries at most.

    A cluster whose idle worker was killed may hang so, and looks healthy. None was taken for longer than any
    may run; one that was taken is locked for the retry time from then on.
    """
    settled = settings.Q_CLUSTER if cluster is None else settings.Q_CLUSTER["ALT_CLUSTERS"][cluster]
    too_long = timedelta(seconds=settled["timeout"] + 60)
    queued = OrmQ.objects.filter(key=cluster or settings.Q_CLUSTER["name"])
    if running_for < too_long or not queued.filter(lock__lt=now - too_long).exists():
        return False
    return not queued.filter(lock__gt=now - too_long + timedelta(seconds=settled["retry"])).exists()


def ensure_schedule(name: str, path: str, cron: str) -> None:
    """Keeps exactly one schedule of this name on the control cluster, with this cron expression."""
    schedule, created = Schedule.objects.get_or_create(
        name=name, defaults={"func": path, "schedule_type": Schedule.CRON, "cron": cron, "repeats": -1}
    )
    if created or schedule.cron != cron or schedule.func != path:
        schedule.func, schedule.cron, schedule.schedule_type = path, cron, Schedule.CRON
        schedule.next_run = schedule.calculate_next_run()
        schedule.save()
