"""Makes runs out of plans: the night's, exactly one per local date, and manual ones (P7)."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta

from django.db import IntegrityError, transaction

from instances.models import Instance
from releasemgr.lib import queue
from releasemgr.lib.actors import AUTOMATIC, Actor
from upgrades.choices import EndCode, Outcome, RunKind, UpgradeState
from upgrades.exceptions import NothingToUpgrade, PlanChanged, UpgradeChanged
from upgrades.models import Decision, Run, Schedule, Upgrade
from upgrades.night import Night
from upgrades.plan import Check, fingerprint, plan
from upgrades.plan import Decision as Planned
from upgrades.services import slots
from upgrades.services.planning import gather_facts

DEFAULT_START, DEFAULT_END = time(1, 0), time(5, 0)
MANUAL_RUN_LASTS = timedelta(hours=12)
NIGHT_TASK = "upgrades.tasks.start_night"
REAPER_TASK = "upgrades.tasks.reap"


def ensure_schedule(now: datetime) -> None:
    """Keeps the schedule's row and the two entries of the queue that wake the night and the reaper."""
    schedule, _created = Schedule.objects.get_or_create(
        pk=1, defaults={"start": DEFAULT_START, "end": DEFAULT_END, "since": now}
    )
    queue.ensure_schedule("night", NIGHT_TASK, schedule.cron)
    queue.ensure_schedule("reaper", REAPER_TASK, "* * * * * */15")


def due_night(now: datetime) -> Night | None:
    """The night that is on and has no run yet; nights before the installation never were (P7)."""
    schedule = Schedule.objects.get()
    night = schedule.timetable.latest(now)
    if not night.covers(now) or night.starts_at <= schedule.since:
        return None
    return None if Run.objects.filter(date=night.date).exists() else night


def open_due_night(now: datetime) -> Run | None:
    """Plans the night that is on, if no one has; None where there is nothing to do (P7).

    May be called any number of times by any number of workers: the night's date is unique.
    """
    night = due_night(now)
    return open_night(night, actor=AUTOMATIC, now=now) if night else None


def open_night(night: Night, *, actor: Actor, now: datetime) -> Run | None:
    """Plans this night and wakes the workers, in one transaction. None where it has its run already.

    Dark nights before it are recorded first: later, this run would hide them.
    """
    with transaction.atomic():
        record_missed_nights(now)
        run = _claim_night(night, actor=actor, now=now)
        if run is not None:
            _plan_run(run, plan(gather_facts(), now), now)
    return run


def night_by_hand(now: datetime) -> Night:
    """The night that a person means who runs it now: the one that is on, else the next one, ahead of its time.

    A night that had its run is not run again: it stays the one that is meant until it is over.
    """
    timetable = Schedule.objects.get().timetable
    night = timetable.latest(now)
    return night if night.covers(now) else timetable.next(now)


def open_night_by_hand(*, actor: Actor, now: datetime) -> tuple[Run, bool]:
    """The run of the night that is meant now, and whether this call made it. The night itself then makes none."""
    night = night_by_hand(now)
    run = open_night(night, actor=actor, now=now)
    return run or Run.objects.get(date=night.date), run is not None


def _claim_night(night: Night, *, actor: Actor, now: datetime) -> Run | None:
    """Waits for another who is claiming it at the same time; None where that one succeeds."""
    try:
        with transaction.atomic():
            return Run.objects.create(
                kind=RunKind.NIGHTLY, date=night.date, starts_at=now, ends_at=night.ends_at,
                origin=actor.origin, requested_by=actor.user,
            )  # fmt: skip
    except IntegrityError:
        return None


def record_missed_nights(now: datetime) -> list[Run]:
    """Records each night that is over and had no run: three dark nights are three missed nights (P7)."""
    schedule = Schedule.objects.get()
    last = Run.objects.nightly().order_by("-date").first()
    after = max(schedule.since, schedule.timetable.night(last.date).starts_at) if last and last.date else schedule.since
    over = [night for night in schedule.timetable.started_between(after, now) if night.ends_at <= now]
    missed = [
        Run(
            kind=RunKind.NIGHTLY, date=night.date, starts_at=night.starts_at, ends_at=night.ends_at,
            ended_at=night.ends_at, missed=True, origin=AUTOMATIC.origin,
        )
        for night in over
    ]  # fmt: skip
    return Run.objects.bulk_create(missed, ignore_conflicts=True)


def start_upgrades(
    instances: Sequence[Instance], *, actor: Actor, now: datetime, reason: str = "", seen: str | None = None
) -> Run:
    """Upgrades these sites now, as their targets say (T9).

    `seen` is the fingerprint of the plan that the person confirmed; None does not compare. Raises
    NothingToUpgrade for no site at all, and PlanChanged.
    """
    if not instances:
        raise NothingToUpgrade("No site was chosen. Choose at least one.")
    with transaction.atomic():
        planned = plan(gather_facts(instances), now)
        if seen is not None and seen != fingerprint(planned):
            raise PlanChanged("The plan changed since it was shown. Nothing was started.")
        run = Run.objects.create(
            kind=RunKind.MANUAL, starts_at=now, ends_at=now + MANUAL_RUN_LASTS, origin=actor.origin,
            requested_by=actor.user, reason=reason.strip(),
        )  # fmt: skip
        _plan_run(run, planned, now)
    return run


def _plan_run(run: Run, planned: list[Planned], now: datetime) -> None:
    Decision.objects.bulk_create([_decision_row(run, decision) for decision in planned], batch_size=500)
    going = [decision for decision in planned if decision.upgrades]
    recipes = dict(Instance.objects.values_list("pk", "recipe"))
    Upgrade.objects.bulk_create(
        [_upgrade_row(run, decision, place, recipes, now) for place, decision in enumerate(going)],
        batch_size=500,
    )
    run.planned_at, run.ended_at = now, None if going else now
    run.save(update_fields=["planned_at", "ended_at"])
    if going:
        slots.wake(now)


def _decision_row(run: Run, planned: Planned) -> Decision:
    return Decision(
        run=run,
        instance_id=planned.site.id,
        code=planned.code,
        from_version=planned.site.reported,
        build_id=planned.to.id if planned.to else None,
        checks=[check_as_json(check) for check in planned.checks],
    )


def check_as_json(check: Check) -> dict[str, object]:
    return {"rule": check.rule, "code": check.code, "values": dict(check.values)}


def _upgrade_row(run: Run, planned: Planned, place: int, recipes: dict[int, str], now: datetime) -> Upgrade:
    assert planned.to is not None  # noqa: S101 - an upgrade always leads to a build
    return Upgrade(
        run=run, instance_id=planned.site.id, build_id=planned.to.id, from_version=planned.site.reported,
        recipe=recipes[planned.site.id], position=place, created_at=now,
    )  # fmt: skip


def close_overdue_runs(now: datetime) -> int:
    """Ends what had not begun when its run's time was over: not started, never late (P7). How many."""
    closed = 0
    for upgrade in Upgrade.objects.waiting().filter(run__ends_at__lte=now).select_related("build"):
        try:
            with transaction.atomic():
                upgrade.end(Outcome.NOT_STARTED, EndCode.TIME_OVER, now=now)
                closed += 1
        except UpgradeChanged:
            continue
    end_finished_runs(now)
    return closed


def end_finished_runs(now: datetime) -> int:
    """Ends every planned run of which nothing is waiting or under way. How many."""
    unfinished = Upgrade.objects.exclude(state=UpgradeState.ENDED).values("run_id")
    finished = Run.objects.open().exclude(planned_at=None).exclude(pk__in=unfinished)
    return finished.update(ended_at=now)
