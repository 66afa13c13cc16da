"""What the queue calls. Each may come twice; each is a few lines over a service or the supervisor."""

from releasemgr.lib import clock
from upgrades.remote import connect
from upgrades.services import runs, slots
from upgrades.supervisor import Supervisor
from upgrades.version_check import ask_unknown


def start_night() -> None:
    """Plans the night that is on, once, whatever woke it (P7). Sites without a version are asked first (P3)."""
    if runs.due_night(clock.now()):
        ask_unknown(connect)
    runs.open_due_night(clock.now())


def reap() -> None:
    """About every 30 seconds: opens or records nights, ends what is over, wakes slots that lost their task."""
    now = clock.now()
    runs.record_missed_nights(now)
    if runs.due_night(now):
        start_night()
    runs.close_overdue_runs(now)
    slots.wake_lost(now)


def supervise(number: int) -> None:
    """Supervises upgrades for a slice of minutes, then queues the next slice if anything is left."""
    token = slots.take(number)
    if token is None:
        return
    try:
        Supervisor(connect, keep_going=lambda: slots.keep(number, token)).run()
    finally:
        slots.leave(number, token)
    slots.wake_lost(clock.now())
