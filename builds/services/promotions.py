"""Moves builds between the channels: by hand, through a failing gate, and by themselves (R5, R8, R10)."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db import DatabaseError, transaction

from builds import sentences
from builds.exceptions import BuildError, PromotionRefused, ReasonMissing
from builds.maturity import (
    CHANNELS,
    BuildFacts,
    ChannelPolicy,
    Gate,
    Judgement,
    Maturity,
    Move,
    Override,
    ProblemFacts,
    automatic_promotions,
    judge,
    newer_than_channel,
)
from builds.models import Build, GateOverride, Problem, Promotion
from builds.services.facts import gather_builds, judge_promotion, one_decision_at_a_time
from builds.services.problems import accept
from releasemgr.lib.actors import AUTOMATIC, Actor
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import change_of, record, record_all, refuse_unless_seen

ELIGIBLE = "build.eligible"


def promote_build(
    build: Build, to: Maturity, *, actor: Actor, now: datetime, reason: str = "", override: Override | None = None,
    seen: int | None = None,
) -> tuple[Promotion | None, bool]:  # fmt: skip
    """Moves a build up (if every gate passes or is overridden) or down (with a reason), and whether it did (R5, R8).

    Where the build is there already nothing happens: the answer is the promotion that brought it there (None
    for a candidate that never moved). Raises PromotionRefused, ReasonMissing, BuildChanged, ChangedMeanwhile.
    """
    with one_decision_at_a_time():
        build = Build.objects.select_for_update().get(pk=build.pk)
        if build.maturity == to:
            return build.promotions.first(), False
        refuse_unless_seen(build, seen)
        if to < build.maturity:
            return _demote(build, to, actor=actor, now=now, reason=reason), True
        return _promote(build, to, actor=actor, now=now, reason=reason, override=override), True


def _demote(build: Build, to: Maturity, *, actor: Actor, now: datetime, reason: str) -> Promotion:
    if not reason.strip():
        raise ReasonMissing(f"Moving {build.version} back to {to.name.lower()} needs a reason.")
    promotion = build.move(to, actor=actor, reason=reason.strip(), now=now)
    _record("build.demoted", promotion, actor)
    return promotion


def _promote(
    build: Build, to: Maturity, *, actor: Actor, now: datetime, reason: str, override: Override | None
) -> Promotion:
    judgement = judge_promotion(build, to, now=now)
    if override and not judgement.allowed:
        _refuse_uncovered(judgement, override)
        reason = reason.strip() or override.reason
    elif not judgement.allowed:
        raise PromotionRefused(sentences.refusal(judgement), judgement)
    promotion = build.move(to, actor=actor, reason=reason.strip(), now=now)
    kept = _keep_overrides(promotion, judgement, override.reason.strip()) if override else []
    _accept_overridden(kept, actor)
    _record("build.promoted", promotion, actor, overrides=kept)
    return promotion


def _refuse_uncovered(judgement: Judgement, override: Override) -> None:
    if not override.reason.strip():
        raise ReasonMissing(f"Promoting {judgement.build.version} through a failing gate needs a reason.")
    uncovered = override.uncovered(judgement)
    if uncovered:
        raise PromotionRefused(sentences.refusal(judgement, uncovered[0]), judgement)


def _keep_overrides(promotion: Promotion, judgement: Judgement, reason: str) -> list[GateOverride]:
    problems = Problem.objects.in_bulk([one.number for gate in judgement.failing for one in gate.in_the_way])
    rows = [
        GateOverride(
            promotion=promotion, gate=gate.code, into=gate.into or judgement.to, reason=reason,
            problem=problems[problem.number] if problem else None,
            text=sentences.override_text(gate, judgement, problem),
        )
        for gate, problem in _pieces(judgement.failing)
    ]  # fmt: skip
    return GateOverride.objects.bulk_create(rows)


def _pieces(gates: Iterable[Gate]) -> list[tuple[Gate, ProblemFacts | None]]:
    """Each gate once, or once for each problem in its way."""
    return [(gate, problem) for gate in gates for problem in gate.in_the_way or (None,)]


def _accept_overridden(overrides: list[GateOverride], actor: Actor) -> None:
    """Whoever promotes through a problem has accepted it for this build."""
    for row in overrides:
        if row.problem:
            build, now = row.promotion.build, row.promotion.at
            accept(row.problem, build, actor=actor, now=now, reason=row.reason)


def _record(kind: str, promotion: Promotion, actor: Actor, overrides: Iterable[GateOverride] = ()) -> None:
    texts = [row.text for row in overrides]
    record(
        kind, promotion.build, actor=actor, now=promotion.at, reason=promotion.reason,
        before={"channel": Maturity(promotion.from_maturity).name.lower()},
        after={"channel": Maturity(promotion.to_maturity).name.lower()} | ({"overridden": texts} if texts else {}),
    )  # fmt: skip


def promote_automatically(*, now: datetime) -> list[Promotion]:
    """What the night does first (R10). One build that cannot be moved is recorded, and the others go on."""
    with one_decision_at_a_time() as channels:
        promotions: list[Promotion] = []
        failed: set[int] = set()
        for move in automatic_promotions(gather_builds(), channels, now)[1]:
            promotion = None if move.build.id in failed else _promote_by_itself(move, now)
            if promotion:
                promotions.append(promotion)
            else:
                failed.add(move.build.id)
    return promotions


def _promote_by_itself(move: Move, now: datetime) -> Promotion | None:
    """None where it failed; its build's history says why."""
    build = Build.objects.get(pk=move.build.id)
    try:
        with transaction.atomic():
            return promote_build(build, move.to, actor=AUTOMATIC, now=now)[0]
    except (BuildError, DatabaseError) as error:
        record(
            "build.promotion_failed", build, actor=AUTOMATIC, now=now, after={"channel": move.to.channel},
            reason=str(error),
        )  # fmt: skip
        return None


def announce_eligible(*, now: datetime) -> list[Change]:
    """Records that a build may enter its next channel, once for each stay (R10). Answers with what is new."""
    with one_decision_at_a_time() as channels:
        builds = gather_builds()
        eligible = eligible_promotions(builds.values(), channels, now)
        rows = Build.objects.in_bulk([build.id for build, _to in eligible])
        found = [
            change_of(
                ELIGIBLE, rows[build.id], actor=AUTOMATIC, now=now, after={"channel": to.channel, "since": build.since}
            )
            for build, to in eligible
        ]
        said = Change.objects.filter(kind=ELIGIBLE, subject_id__in=[change.subject_id for change in found])
        known = [(change.subject_id, change.after) for change in said]
        new = [change for change in found if (change.subject_id, change.after) not in known]
        record_all(new)
    return new


def eligible_promotions(
    builds: Iterable[BuildFacts], channels: Mapping[Maturity, ChannelPolicy], now: datetime
) -> list[tuple[BuildFacts, Maturity]]:
    """Each build that would become the next channel's, with that channel."""
    every = list(builds)
    return [
        (build, to)
        for to in CHANNELS
        for build in newer_than_channel(every, to)
        if build.maturity == to.before and judge(build, to, channels, now, every).allowed
    ]
