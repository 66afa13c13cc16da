"""What works in the background: schedule, workers, queue, slots and leases."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

from releasemgr.doctor.findings import Finding, error, named, ok, warning
from releasemgr.lib import clock, queue, words
from releasemgr.lib.heartbeats.services import LIMIT, SCHEDULE, silences
from releasemgr.pages.engine import WORDS, strong_words
from upgrades.models import Schedule, Slot, Upgrade
from upgrades.services.runs import NIGHT, REAPER

CLUSTERS = {"control": None, "upgrades": queue.UPGRADES}
A_DAY = timedelta(days=1)
SERVE = "See that manage.py serve runs and what its log says; restart it."
JUST_STARTED = "After a start it comes within a minute. Look again then."
MAKE_ANEW = "manage.py migrate makes it anew."


def schedule() -> Iterator[Finding]:
    """The entries of the queue that wake the reaper and the night."""
    now, due = clock.now(), queue.due_times()
    missing = [name for name in (REAPER, NIGHT) if name not in due]
    for name in missing:
        yield error(f"The schedule has no entry “{name}”.", MAKE_ANEW)
    late = [name for name in due if due[name] < now - LIMIT]
    for name in late:
        said = f"The entry “{name}” of the schedule was due at {_at(due[name])} and did not come."
        yield error(said, SERVE) if SCHEDULE in silences() else warning(said, JUST_STARTED)
    if missing or late:
        return
    if not _fits(due[NIGHT], now):
        yield error(f"The night is woken at {_at(due[NIGHT])}, which is not its start.", MAKE_ANEW)
        return
    yield ok(f"The next night is woken at {_at(due[NIGHT])}.")


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _fits(due: datetime, now: datetime) -> bool:
    """Whether a night starts then. It is due for half a minute before it is woken."""
    return due <= now or abs(Schedule.objects.get().timetable.next(now).starts_at - due) < timedelta(minutes=1)


def workers() -> Iterator[Finding]:
    silent = silences()
    for worded in WORDS:
        if worded.name in silent:
            yield error(strong_words(worded, silent[worded.name]), SERVE)
    if not silent:
        yield ok("The schedule, the control workers and the upgrade workers have answered lately.")


def tasks() -> Iterator[Finding]:
    now, well = clock.now(), True
    for name, cluster in CLUSTERS.items():
        waiting = queue.untaken(now, cluster, since=LIMIT)
        if waiting:
            well = False
            stuck = queue.is_stuck(now, A_DAY, cluster)
            said = f"Tasks of the {name} workers that wait for more than {words.took(LIMIT)}: {waiting}."
            yield error(said, SERVE) if stuck else warning(said, "If it stays so: " + SERVE[0].lower() + SERVE[1:])
    failed = queue.failures(now - A_DAY)
    for task, times in failed.items():
        said = f"Failures of the task “{task}” in the last 24 hours: {times}."
        yield warning(said, "The log of manage.py serve says why.")
    if well and not failed:
        yield ok("No task waits for long, and none failed in the last 24 hours.")


def slots() -> Iterator[Finding]:
    numbers = set(Slot.objects.values_list("number", flat=True))
    stopping = Slot.objects.filter(stopping=True, until__lt=Now()).count()
    if numbers != set(range(1, settings.UPGRADE_SLOTS + 1)):
        yield error(f"Slots: {len(numbers)}, but RELEASEMGR_UPGRADE_SLOTS is {settings.UPGRADE_SLOTS}.", SERVE)
    elif stopping:
        yield warning(f"Slots that are closed, since serve was asked to stop: {stopping}.", "Start manage.py serve.")
    else:
        yield ok(f"Slots for supervising tasks: {len(numbers)}. All are open.")


def leases() -> Iterator[Finding]:
    """Whether somebody watches each upgrade that is under way: the lease of its host is renewed every few seconds."""
    lost = Q(instance__host__lease=None) | Q(instance__host__lease__until__lt=Now() - LIMIT)
    begun = Upgrade.objects.begun()
    unwatched = list(begun.filter(lost).order_by("pk").values_list("pk", flat=True))
    if unwatched:
        yield error(
            f"Nobody watches the upgrades {named(unwatched)}.", f"They run on on their hosts and are taken up. {SERVE}"
        )
        return
    yield ok(f"Upgrades under way: {begun.count()}. Each is watched.")
