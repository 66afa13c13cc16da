"""Stops runs and lets them go on (P5): by the limits whenever an upgrade ended, and by a person at any time."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Count, Max

from builds.models import Build
from releasemgr.lib.actors import AUTOMATIC, Actor
from releasemgr.lib.history.services import record, refuse_unless_seen
from upgrades import sentences
from upgrades.choices import BROKE, EndCode, HaltEnd, Outcome
from upgrades.exceptions import ReasonMissing, RunChanged
from upgrades.halting import Halt, HaltCode, WaveSoFar, judge_run
from upgrades.models import Policy, Run, RunHalt, Upgrade
from upgrades.services import slots
from upgrades.waves import WaveKind


def judge_runs(numbers: Collection[int], now: datetime) -> list[RunHalt]:
    """Judges these runs, which have failures or unreachable sites.

    The run's row is held, so that nothing of it begins while it is judged: a halt wins over what ends beside it.
    """
    return [halt for run in sorted(numbers) if (halt := _judge(run, now))]


def troubled_runs() -> set[int]:
    """The open runs that have something to be judged by. One query."""
    troubled = Upgrade.objects.filter(run__ended_at=None, run__planned_at__isnull=False).troubled()
    return set(troubled.order_by().values_list("run_id", flat=True))


def held_runs(numbers: Collection[int]) -> list[Run]:
    """These runs, held until the transaction ends, always in the same order. No query for none."""
    return list(Run.objects.select_for_update().filter(pk__in=numbers).order_by("pk")) if numbers else []


@transaction.atomic
def _judge(number: int, now: datetime) -> RunHalt | None:
    run = Run.objects.select_for_update().get(pk=number)
    if run.ended_at or run.halts.undecided().exists():
        return None
    since = run.halts.aggregate(last=Max("ended_at"))["last"]
    ended = run.upgrades.troubled().select_related("wave", "build")
    counted = [upgrade for upgrade in ended if since is None or (upgrade.ended_at and upgrade.ended_at > since)]
    failures = [upgrade for upgrade in counted if upgrade.outcome in BROKE]
    halt = judge_run(_so_far(run, counted), [one.fingerprint for one in failures], Policy.objects.get().limits)
    return _halt(run, halt, _concerned(halt, failures), now=now) if halt else None


def _so_far(run: Run, counted: Sequence[Upgrade]) -> list[WaveSoFar]:
    found: dict[int, list[Upgrade]] = defaultdict(list)
    for upgrade in counted:
        if upgrade.wave_id:
            found[upgrade.wave_id].append(upgrade)
    return [
        WaveSoFar(
            wave.number, WaveKind(wave.kind), wave.planned,
            failed=sum(one.outcome in BROKE for one in found[wave.pk]),
            unreachable=unreachable(found[wave.pk]),
            sites=wave.sites,
        )
        for wave in run.waves.annotate(sites=Count("upgrades__instance", distinct=True))
    ]  # fmt: skip


def unreachable(upgrades: Iterable[Upgrade]) -> int:
    """What could not be reached: sites, and each jump host once, however many are behind it."""
    ended = list(upgrades)
    behind = {one.fingerprint for one in ended if one.end_code == EndCode.JUMP_HOST}
    return len(behind) + sum(one.end_code == EndCode.UNREACHABLE for one in ended)


def _concerned(halt: Halt, failures: Sequence[Upgrade]) -> list[Upgrade]:
    """The failures that halted it: the builds of these are offered to nobody until a person decides."""
    if halt.code is HaltCode.UNREACHABLE:
        return []
    if halt.code is HaltCode.SAME_FAILURE:
        return [one for one in failures if one.fingerprint == halt.values["fingerprint"]]
    return [one for one in failures if one.wave and one.wave.number == halt.wave]


def _halt(
    run: Run, halt: Halt, failures: Sequence[Upgrade], *, now: datetime, actor: Actor = AUTOMATIC, reason: str = ""
) -> RunHalt:
    wave = run.waves.filter(number=halt.wave).first() if halt.wave else None
    row = RunHalt.objects.create(
        run=run, wave=wave, at=now, code=halt.code, values=dict(halt.values), by=actor.user, reason=reason
    )
    row.builds.set({one.build_id for one in failures})
    said = {"halt": sentences.halt_sentence(halt.code, halt.values)}
    record("run.halted", run, actor=actor, now=now, after=said, reason=reason)
    return row


def halt_run(run: Run, *, actor: Actor, now: datetime, reason: str, seen: int | None = None) -> RunHalt:
    """Stops it by a person's word: what runs finishes, nothing more begins. Raises ReasonMissing or RunChanged.

    `seen` is the run's last change that the person saw: ChangedMeanwhile where there is another (T7).
    """
    _need(reason, "Halting a run needs a reason.")
    with transaction.atomic():
        locked = Run.objects.select_for_update().get(pk=run.pk)
        if locked.ended_at:
            raise RunChanged(f"Run {run.pk} has ended.")
        if locked.halts.undecided().exists():
            raise RunChanged(f"Run {run.pk} is halted already.")
        refuse_unless_seen(locked, seen)
        return _halt(locked, Halt(HaltCode.PERSON), [], now=now, actor=actor, reason=reason.strip())


def resume_run(run: Run, *, actor: Actor, now: datetime, reason: str, seen: int | None = None) -> RunHalt:
    """Lets it go on where it stopped: the halted wave first, and its failures up to now count no more.

    Its builds are offered again. Raises ReasonMissing, or RunChanged where it is not halted or its time is over;
    ChangedMeanwhile as `halt_run`.
    """
    _need(reason, "Resuming a run needs a reason.")
    with transaction.atomic():
        locked, halt = _locked(run, seen)
        if locked.ends_at <= now:
            raise RunChanged(f"The time of run {run.pk} is over. Release its builds, and the next night goes on.")
        _end(halt, HaltEnd.RESUMED, actor=actor, now=now, reason=reason)
        _release(halt, actor=actor, now=now, reason=reason)
        record("run.resumed", locked, actor=actor, now=now, reason=reason)
        slots.wake(now)
    return halt


def end_run(run: Run, *, actor: Actor, now: datetime, reason: str, seen: int | None = None) -> int:
    """Ends a halted run: what had not begun is recorded as not started. How many that were.

    Its builds stay blocked until they are released or withdrawn. Raises ReasonMissing, RunChanged or ChangedMeanwhile.
    """
    _need(reason, "Ending a run needs a reason.")
    with transaction.atomic():
        locked, halt = _locked(run, seen)
        _end(halt, HaltEnd.ENDED, actor=actor, now=now, reason=reason)
        number = leave_rest(locked, halt, now)
        record("run.ended", locked, actor=actor, now=now, after={"not_started": number}, reason=reason)
        finish(now)
    return number


def release_builds(halt: RunHalt, *, actor: Actor, now: datetime, reason: str, seen: int | None = None) -> RunHalt:
    """Offers the builds whose failures halted a run to sites again (P5).

    Raises ReasonMissing, RunChanged, or ChangedMeanwhile for its run.
    """
    _need(reason, "Offering a build again needs a reason.")
    with transaction.atomic():
        halt = RunHalt.objects.select_for_update(of=("self",)).select_related("run").get(pk=halt.pk)
        if halt.released_at:
            raise RunChanged("The builds of this halt are offered again already.")
        refuse_unless_seen(halt.run, seen)
        _release(halt, actor=actor, now=now, reason=reason)
        record("run.builds_released", halt.run, actor=actor, now=now, reason=reason)
    return halt


def release_run(run: Run, *, actor: Actor, now: datetime, reason: str, seen: int | None = None) -> list[Build]:
    """Offers every build again that the failures of this run keep from the sites. Which those were.

    Raises ReasonMissing, RunChanged where it keeps none, or ChangedMeanwhile.
    """
    _need(reason, "Offering a build again needs a reason.")
    with transaction.atomic():
        locked = Run.objects.select_for_update().get(pk=run.pk)
        halts = list(locked.halts.unreleased())
        if not halts:
            raise RunChanged(f"Run {run.pk} keeps no build from the sites.")
        refuse_unless_seen(locked, seen)
        builds = Build.objects.filter(halts__in=halts, withdrawn_at=None).distinct().order_by("version_key")
        released = list(builds)
        for halt in halts:
            release_builds(halt, actor=actor, now=now, reason=reason)
    return released


def leave_rest(run: Run, halt: RunHalt, now: datetime) -> int:
    """Records what of a halted run had not begun as not started, with why it was halted. How many.

    For a caller that holds the run.
    """
    said = sentences.halt_sentence(HaltCode(halt.code), halt.values)
    left = list(run.upgrades.waiting().select_related("build"))
    for upgrade in left:
        upgrade.end(Outcome.NOT_STARTED, EndCode.RUN_HALTED, now=now, text=said)
    return len(left)


def runs_to_leave() -> set[int]:
    """The runs that a person ended, and in which something waits again: its host was not reached. One query."""
    ended = RunHalt.objects.filter(end=HaltEnd.ENDED, run__ended_at=None)
    waiting = Upgrade.objects.waiting().filter(run__in=ended.values("run"))
    return set(waiting.order_by().values_list("run_id", flat=True))


def leave_what_came_back(numbers: Collection[int], now: datetime) -> None:
    """What a person ended does not begin any more. For a caller that holds these runs."""
    for run in Run.objects.filter(pk__in=numbers) if numbers else ():
        leave_rest(run, run.halts.filter(end=HaltEnd.ENDED)[0], now)


def close_halt(run: Run, now: datetime) -> RunHalt | None:
    """Ends the halt of a run whose time is over; its builds stay blocked. None where it is not halted."""
    halt = run.halts.undecided().first()
    if halt:
        _end(halt, HaltEnd.RUN_OVER, actor=AUTOMATIC, now=now, reason="")
    return halt


def finish(now: datetime) -> int:
    """Ends every planned run of which nothing is waiting or under way. How many."""
    unfinished = Upgrade.objects.active().values("run_id")
    finished = Run.objects.open().exclude(planned_at=None).exclude(pk__in=unfinished)
    number = finished.update(ended_at=now)
    if number:  # nothing is left that a halt could keep from beginning
        RunHalt.objects.undecided().exclude(run__ended_at=None).update(end=HaltEnd.RUN_OVER, ended_at=now)
    return number


def _locked(run: Run, seen: int | None) -> tuple[Run, RunHalt]:
    locked = Run.objects.select_for_update().get(pk=run.pk)
    halt = locked.halts.undecided().select_related("run").first()
    if halt is None:
        raise RunChanged(f"Run {run.pk} is not halted.")
    refuse_unless_seen(locked, seen)
    return locked, halt


def _end(halt: RunHalt, end: HaltEnd, *, actor: Actor, now: datetime, reason: str) -> None:
    halt.end, halt.ended_at, halt.ended_by, halt.end_reason = end, now, actor.user, reason.strip()
    halt.save(update_fields=["end", "ended_at", "ended_by", "end_reason"])


def _release(halt: RunHalt, *, actor: Actor, now: datetime, reason: str) -> None:
    halt.released_at, halt.released_by, halt.release_reason = now, actor.user, reason.strip()
    halt.save(update_fields=["released_at", "released_by", "release_reason"])


def _need(reason: str, refusal: str) -> None:
    if not reason.strip():
        raise ReasonMissing(refusal)
