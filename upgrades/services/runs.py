"""Makes runs out of plans: the night's, exactly one per local date, and manual ones (P7)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef

from builds.services import announce_eligible, gather_builds, promote_automatically
from instances.models import Instance
from instances.services import end_pins
from releasemgr.lib import queue
from releasemgr.lib.actors import AUTOMATIC, Actor
from upgrades.choices import GOOD, EndCode, Outcome, RunKind, UpgradeState
from upgrades.exceptions import NothingToUpgrade, PlanChanged, ReasonMissing
from upgrades.models import Decision, Policy, Run, Schedule, Upgrade, Wave
from upgrades.night import Night
from upgrades.plan import Check, Facts, Rule, fingerprint, plan, plan_with_waves
from upgrades.plan import Decision as Planned
from upgrades.querysets import UpgradeQuerySet
from upgrades.services import halts, slots
from upgrades.services.facts import ALWAYS_WAIVED, facts_now, facts_of_night
from upgrades.services.planning import due_night
from upgrades.waves import Wave as PlannedWave

DEFAULT_START, DEFAULT_END = time(1, 0), time(5, 0)
MANUAL_RUN_LASTS = timedelta(hours=12)
NIGHT, NIGHT_TASK = "night", "upgrades.tasks.start_night"
REAPER, REAPER_TASK = "reaper", "upgrades.tasks.reap"


def ensure_schedule(now: datetime) -> None:
    """Keeps the rows of schedule and policy, and the two entries of the queue that wake the night and the reaper."""
    Policy.objects.get_or_create(pk=1)
    schedule, _created = Schedule.objects.get_or_create(
        pk=1, defaults={"start": DEFAULT_START, "end": DEFAULT_END, "since": now}
    )
    queue.ensure_schedule(NIGHT, NIGHT_TASK, schedule.cron)
    queue.ensure_schedule(REAPER, REAPER_TASK, "* * * * * */15")


def wake_reaper(now: datetime) -> None:
    """For a start, since the schedule comes only half a minute later. Adds nothing to tasks that wait already."""
    if not queue.untaken(now):
        queue.enqueue(REAPER_TASK)


def open_due_night(now: datetime) -> Run | None:
    """Plans the night that is on, if no one has; None where there is nothing to do (P7).

    May be called any number of times by any number of workers: the night's date is unique.
    """
    night = due_night(now)
    return open_night(night, actor=AUTOMATIC, now=now) if night else None


def open_night(night: Night, *, actor: Actor, now: datetime) -> Run | None:
    """Plans this night and wakes the workers, in one transaction. None where it has its run already.

    Dark nights before it are recorded first: later, this run would hide them. What changes by itself comes before the
    plan: promotions (R10), then pins that end (T2). A night that a person switched off is recorded as such.
    """
    with transaction.atomic():
        record_missed_nights(now)
        run = _claim_night(night, actor=actor, now=now)
        if run is not None and not _switched_off(run, now):
            promote_automatically(now=now)
            announce_eligible(now=now)
            builds = gather_builds()
            end_pins(builds, now)
            night = Night(night.date, now, night.ends_at)
            _plan_run(run, facts_of_night(night, builds=builds), night.ends_at, now)
    return run


def _switched_off(run: Run, now: datetime) -> bool:
    """Holds the policy until the night is planned: who switches nights off comes before that or after."""
    if Policy.objects.select_for_update().get().nights_off_since is None:
        return False
    run.switched_off, run.planned_at, run.ended_at = True, now, now
    run.save(update_fields=["switched_off", "planned_at", "ended_at"])
    return True


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
    instances: Sequence[Instance], *, actor: Actor, now: datetime, reason: str = "", seen: str | None = None,
    waived: frozenset[Rule] = frozenset(), kind: RunKind = RunKind.MANUAL,
) -> Run:  # fmt: skip
    """Upgrades these sites now, as their targets say (T9).

    `seen` is the fingerprint of the plan that the person confirmed; None does not compare. `waived` are the rules
    that the person sets aside, with a reason: holds and freezes, windows (P8). Raises NothingToUpgrade for no site
    at all, ReasonMissing, and PlanChanged.
    """
    if not instances:
        raise NothingToUpgrade("No site was chosen. Choose at least one.")
    if waived and not reason.strip():
        raise ReasonMissing("Upgrading through a hold, a freeze or outside the window needs a reason.")
    with transaction.atomic():
        facts = facts_now(instances, now, waived=ALWAYS_WAIVED | waived)
        if seen is not None and seen != fingerprint(plan(facts, now)):
            raise PlanChanged("The plan changed since it was shown. Nothing was started.")
        run = Run.objects.create(
            kind=kind, starts_at=now, ends_at=now + MANUAL_RUN_LASTS, origin=actor.origin,
            requested_by=actor.user, reason=reason.strip(), waived=sorted(waived),
        )  # fmt: skip
        _plan_run(run, facts, None, now)
    return run


def _plan_run(run: Run, facts: Facts, until: datetime | None, now: datetime) -> None:
    planned, waves = plan_with_waves(facts, now, until)
    Decision.objects.bulk_create([_decision_row(run, decision) for decision in planned], batch_size=500)
    going = [decision for decision in planned if decision.upgrades]
    rows = _wave_rows(run, waves, {decision.site.id: decision for decision in going})
    recipes = dict(Instance.objects.values_list("pk", "recipe"))
    upgrades = [one for decision in going for one in _upgrade_rows(run, decision, rows, recipes, now)]
    for place, upgrade in enumerate(upgrades):
        upgrade.position = place
    Upgrade.objects.bulk_create(upgrades, batch_size=500)
    run.planned_at, run.ended_at = now, None if going else now
    run.save(update_fields=["planned_at", "ended_at"])
    if going:
        slots.wake(now)


def _wave_rows(run: Run, waves: Sequence[PlannedWave], going: Mapping[int, Planned]) -> dict[int, Wave]:
    """By number."""
    rows = [
        Wave(
            run=run, number=wave.number, stage=wave.stage, kind=wave.kind, opens_at=wave.opens_at,
            planned=sum(len(going[site].legs) for site in wave.sites),
        )
        for wave in waves
    ]  # fmt: skip
    return {row.number: row for row in Wave.objects.bulk_create(rows)}


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
    kept: dict[str, object] = {"rule": check.rule, "code": check.code, "values": dict(check.values)}
    return kept | ({"waived": check.waived} if check.waived else {})


def _upgrade_rows(
    run: Run, planned: Planned, waves: Mapping[int, Wave], recipes: Mapping[int, str], now: datetime
) -> list[Upgrade]:
    """One for each leg (T8), from where the leg before ends."""
    stations = [planned.site.reported, *[leg.version for leg in planned.legs]]
    return [
        Upgrade(
            run=run, instance_id=planned.site.id, build_id=leg.id, from_version=stations[place],
            recipe=recipes[planned.site.id], created_at=now, leg=place + 1, wave=waves[planned.wave or 0],
            opens_at=planned.opens_at or now,
        )
        for place, leg in enumerate(planned.legs)
    ]  # fmt: skip


def close_overdue_runs(now: datetime) -> int:
    """Ends what had not begun when its run's time was over: not started, never late (P7). How many."""
    closed = 0
    overdue = Upgrade.objects.waiting().filter(run__ends_at__lte=now)
    for number in sorted(set(overdue.order_by().values_list("run_id", flat=True))):
        with transaction.atomic():
            [run] = halts.held_runs([number])
            halt = halts.close_halt(run, now)
            closed += halts.leave_rest(run, halt, now) if halt else _leave_rest(overdue.filter(run=run), now)
    settle(now)
    return closed


def _leave_rest(upgrades: UpgradeQuerySet, now: datetime) -> int:
    """For a caller that holds the run."""
    left = list(upgrades.select_related("build"))
    for upgrade in left:
        upgrade.end(Outcome.NOT_STARTED, EndCode.TIME_OVER, now=now)
    return len(left)


def settle(now: datetime) -> None:
    """What follows from ends: paths that broke off, what came back to an ended run, runs that halt or are over.

    It holds every run concerned first, as all do that end or begin what waits in a run, and always in the same order:
    so neither the worker beside it nor a person who ends a run waits for what this one holds.
    """
    with transaction.atomic():
        broken = set(_broken_paths().order_by().values_list("run_id", flat=True))
        troubled, left = halts.troubled_runs(), halts.runs_to_leave()
        halts.held_runs(broken | troubled | left)
        if broken:
            _end_broken_paths(now)
        halts.leave_what_came_back(left, now)
        halts.judge_runs(troubled, now)
        halts.finish(now)


def _broken_paths() -> UpgradeQuerySet:
    """Legs that wait for a leg that did not succeed (T8)."""
    earlier = Upgrade.objects.filter(
        run=OuterRef("run"), instance=OuterRef("instance"), leg__lt=OuterRef("leg"), state=UpgradeState.ENDED
    ).exclude(outcome__in=GOOD)
    return Upgrade.objects.waiting().filter(Exists(earlier), leg__gt=1)


def _end_broken_paths(now: datetime) -> None:
    for upgrade in _broken_paths().select_related("build"):
        upgrade.end(Outcome.NOT_STARTED, EndCode.PATH_ENDED, now=now, leg=upgrade.leg - 1)
