"""Slots for supervising tasks: who holds one, who is asked to leave, and how their tasks are woken.

Slots and leases live by the database's time, so that no worker's clock decides who owns what.
"""

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now

from releasemgr.lib import queue
from upgrades.models import Slot, Upgrade

SUPERVISE_TASK = "upgrades.tasks.supervise"
LEASE = timedelta(seconds=25)
WAKE_AGAIN = timedelta(seconds=60)


def ensure_slots() -> None:
    """Keeps as many slots as RELEASEMGR_UPGRADE_SLOTS says."""
    for number in range(1, settings.UPGRADE_SLOTS + 1):
        Slot.objects.get_or_create(number=number)
    Slot.objects.filter(number__gt=settings.UPGRADE_SLOTS).delete()


def wake(now: datetime, *, again: bool = False) -> int:
    """Enqueues the task of each slot that nobody holds, in the caller's transaction. How many.

    `again` leaves alone the slots that were woken within the last minute: a repeated wake-up does no harm, but
    the reaper need not fill the queue with them.
    """
    free = Slot.objects.filter(until__lt=Now(), stopping=False)
    if again:
        free = free.filter(woken_at__lt=now - WAKE_AGAIN)
    numbers = list(free.values_list("number", flat=True))
    Slot.objects.filter(number__in=numbers).update(woken_at=now)
    for number in numbers:
        queue.enqueue(SUPERVISE_TASK, number, cluster=queue.UPGRADES, name=f"supervise slot {number}")
    return len(numbers)


def wake_lost(now: datetime) -> int:
    """Wakes the slots while there is work that nobody may be watching (the reaper's part). How many."""
    return wake(now, again=True) if Upgrade.objects.active().exists() else 0


def wake_rest(now: datetime) -> int:
    """Wakes the free slots when a slice is over and something is left. How many."""
    return wake(now) if Upgrade.objects.active().exists() else 0


def take(number: int) -> uuid.UUID | None:
    """Takes a slot for a supervising task; None where another holds it or nobody may."""
    token = uuid.uuid4()
    taken = Slot.objects.filter(number=number, until__lt=Now(), stopping=False).update(token=token, until=Now() + LEASE)
    return token if taken else None


def keep(number: int, token: uuid.UUID) -> bool:
    """Renews the hold on a slot; False where it is lost or its holder is asked to leave."""
    kept = Slot.objects.filter(number=number, token=token, stopping=False).update(until=Now() + LEASE)
    return bool(kept)


def leave(number: int, token: uuid.UUID) -> None:
    Slot.objects.filter(number=number, token=token).update(until=Now())


def mark_stopping() -> None:
    """Asks every supervising task to leave its slot within five seconds; what runs on hosts runs on."""
    Slot.objects.update(stopping=True)


def clear_stopping() -> None:
    """Lets slots be taken again, and makes the reaper wake them at once."""
    Slot.objects.update(stopping=False, woken_at=F("woken_at") - WAKE_AGAIN)


def held() -> int:
    """How many slots a supervising task holds now."""
    return Slot.objects.filter(until__gt=Now()).count()
