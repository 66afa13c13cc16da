"""What the queue calls. Each may come twice; each is a few lines over a service or the supervisor."""

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress

from django.conf import settings

from builds.services import announce_eligible, gather_builds
from instances.models import Host, Instance
from instances.services import end_pins, note_certified, note_scan
from releasemgr.lib import clock
from releasemgr.lib.heartbeats import services as heartbeats
from upgrades.exceptions import ContactError
from upgrades.links import Limits, offered_host_key
from upgrades.models import Run
from upgrades.remote import fabric_connect
from upgrades.services import runs, slots
from upgrades.services.addresses import address_of
from upgrades.services.contacts import note_not_reached
from upgrades.services.planning import due_night
from upgrades.ssh_keys import keys_of
from upgrades.supervisor import Supervisor
from upgrades.version_check import Answer
from upgrades.version_check import ask_unknown as ask_unknown_versions
from upgrades.version_check import ask_versions as ask_site_versions

PATIENCE = 10.0  # seconds for a host's key; and for a worker to take up a run
keys = keys_of(settings.SSH_IDENTITIES)
connect = fabric_connect(keys)


def start_night() -> None:
    """Plans the night that is on, once, whatever woke it (P7). Sites without a version are asked first (P3)."""
    if due_night(clock.now()):
        ask_unknown_versions(connect)
    runs.open_due_night(clock.now())


def reap() -> None:
    """About every 30 seconds: wakes slots that lost their task, ends what is over (pins too), records and opens nights.

    In this order: what runs is not left alone while hosts are asked before a night. That the schedule lives, and
    whether the upgrades cluster does, comes before everything that may fail or last.
    """
    now = clock.now()
    heartbeats.beat(heartbeats.CONTROL)
    heartbeats.beat(heartbeats.SCHEDULE)
    heartbeats.ask(heartbeats.UPGRADES, now)
    slots.wake_lost(now)
    end_pins(gather_builds(), now)
    announce_eligible(now=now)
    runs.close_overdue_runs(now)
    runs.record_missed_nights(now)
    start_night()


def supervise(number: int) -> None:
    """Supervises upgrades for a slice of minutes, then queues the next slice if anything is left."""
    heartbeats.beat(heartbeats.UPGRADES)
    token = slots.take(number)
    if token is None:
        return
    try:
        Supervisor(connect, keep_going=lambda: _keeps(number, token)).run()
    finally:
        slots.leave(number, token)
    slots.wake_rest(clock.now())


def _keeps(number: int, token: uuid.UUID) -> bool:
    """Asked every second: workers that are busy for a whole slice take nobody's question."""
    heartbeats.beat(heartbeats.UPGRADES)
    return slots.keep(number, token)


def ask_versions(ids: Sequence[int]) -> list[Answer]:
    """Asks these sites for their version and keeps what they report (P10). In no order."""
    return ask_site_versions(list(Instance.objects.filter(pk__in=ids).for_list()), connect)


def ask_versions_later(ids: Sequence[int]) -> None:
    """The same for the queue, which keeps no answers."""
    heartbeats.beat(heartbeats.CONTROL)
    ask_versions(ids)


def scan_host_key(host_id: int) -> None:
    """Keeps the key that a host offers, for a person to approve (U6), or why it offers none."""
    heartbeats.beat(heartbeats.CONTROL)
    with suppress(ContactError):
        scan_host(Host.objects.get(pk=host_id))


def scan_host(host: Host) -> str:
    """The key that a host offers, which is kept, too. Signs in nowhere. Raises ContactError."""
    try:
        offer = offered_host_key(address_of(host), keys, Limits(connect=PATIENCE))
    except ContactError as error:
        note_not_reached(host, address_of(host), error, clock.now())
        note_scan(host, now=clock.now(), failure=str(error))
        raise
    if offer.vouched:
        note_certified(host, offer.vouched.key, offer.vouched.authority, now=clock.now())
    note_scan(host, now=clock.now(), key=offer.key)
    return offer.key


def wait_for(run: Run, progress: Callable[[Run], None] = lambda run: None) -> None:
    """Returns when a run has ended; supervises in this process while no worker does."""
    asked_at = time.monotonic()
    while not _has_ended(run):
        if slots.held():
            asked_at = time.monotonic()
        elif time.monotonic() - asked_at > PATIENCE:
            Supervisor(connect, keep_going=lambda: _is_ours(run, progress)).run()
        runs.close_overdue_runs(clock.now())  # without workers there is no reaper either
        progress(run)
        time.sleep(0.5)
    run.refresh_from_db()


def _is_ours(run: Run, progress: Callable[[Run], None]) -> bool:
    """Whether this process goes on with it, asked every second: until it has ended, or a worker lives."""
    runs.close_overdue_runs(clock.now())
    progress(run)
    return not _has_ended(run) and not slots.held()


def _has_ended(run: Run) -> bool:
    return Run.objects.filter(pk=run.pk).exclude(ended_at=None).exists()
