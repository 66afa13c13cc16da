"""Signs of life of the queue's clusters and of its schedule, and how long each has been silent.

A cluster's is left by a task that ran on it: processes that merely exist, as those of a cluster that hangs do, leave
none. The database's time counts, so that no machine's clock decides who is silent.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Q
from django.db.models.functions import Now

from releasemgr.lib import queue
from releasemgr.lib.heartbeats.models import Heartbeat

CONTROL, UPGRADES, SCHEDULE = "control", queue.UPGRADES, "schedule"
LIMIT = timedelta(minutes=3)
ENOUGH = timedelta(seconds=10)
BEAT_TASK = f"{__name__}.beat"


def ensure_heartbeats(names: Iterable[str] = (CONTROL, UPGRADES, SCHEDULE)) -> None:
    Heartbeat.objects.bulk_create([Heartbeat(name=name) for name in names], ignore_conflicts=True)


def beat(name: str) -> None:
    """Shows that it lives. May come every second: one sign in ten seconds is written down. One query."""
    quiet = Heartbeat.objects.filter(Q(at=None) | Q(at__lt=Now() - ENOUGH), name=name)
    quiet.update(at=Now())


def ask(cluster: str, now: datetime) -> bool:
    """Enqueues a sign of life on a cluster, and whether it did: not while tasks wait there that nobody took.

    So what nobody takes never piles up, and whoever takes the tasks that wait shows it anyway.
    """
    if queue.untaken(now, cluster):
        return False
    queue.enqueue(BEAT_TASK, cluster, cluster=cluster, name="sign of life")
    return True


def silences(limit: timedelta = LIMIT) -> dict[str, timedelta | None]:
    """For how long each was silent that was so for longer than the limit; None if it was never heard. One query."""
    silent = Heartbeat.objects.filter(Q(at=None) | Q(at__lt=Now() - limit)).annotate(now=Now())
    return {one.name: one.now - one.at if one.at else None for one in silent}


def hangs(cluster: str, now: datetime, running_for: timedelta) -> bool:
    """Whether a cluster whose tasks show that they live while they work is silent although tasks wait. Two queries.

    One that nobody asked is not: the reaper, which asks, may be what is down.
    """
    if running_for < LIMIT or not queue.untaken(now, cluster, since=queue.MARGIN):
        return False
    return cluster in silences(LIMIT)
