"""R5, R8, R10: moving builds by hand, through a failing gate, and by themselves; each act is in the history once."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from builds.choices import Smoke
from builds.exceptions import BuildError, PromotionRefused, ReasonMissing
from builds.maturity import Maturity, Override, Severity, automatic_promotions
from builds.models import Acknowledgement, Build, Channel, GateOverride, Promotion
from builds.services import (
    acknowledge_problem,
    announce_eligible,
    channel_policies,
    facts_of,
    gather_builds,
    judge_promotion,
    promote_automatically,
    promote_build,
    report_problem,
    report_smoke,
    withdraw_build,
)
from releasemgr.lib.actors import AUTOMATIC, COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import ChangedMeanwhile, last_seen
from tests.factories import NOW, make_build, make_problem
from tests.together import run_together

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def stored(build: Build) -> Build:
    return Build.objects.get(pk=build.pk)


def seen_now(build: Build, to: Maturity, reason: str = "They cannot wait.") -> Override:
    return Override(judge_promotion(build, to, now=NOW).keys, reason)


def switch_on(*channels: str) -> None:
    Channel.objects.filter(name__in=channels).update(automatic=True)


def test_r5_each_move_is_in_the_history_once(release_manager: User) -> None:
    build, ines = make_build("4.2"), Actor(Origin.PAGE, release_manager)
    promote_build(build, Maturity.BETA, actor=ines, now=NOW)
    promote_build(build, Maturity.BETA, actor=ines, now=NOW)
    promote_build(build, Maturity.CANDIDATE, actor=ines, now=NOW, reason="Not ready")

    down, up = Change.objects.all()
    assert (up.kind, up.before, up.after, up.by) == (
        "build.promoted", {"channel": "candidate"}, {"channel": "beta"}, release_manager,
    )  # fmt: skip
    assert (down.kind, down.before, down.after, down.reason) == (
        "build.demoted", {"channel": "beta"}, {"channel": "candidate"}, "Not ready",
    )  # fmt: skip


def test_t7_who_did_not_see_the_last_change_of_a_build_moves_and_withdraws_nothing() -> None:
    build = make_build("4.2")
    seen = last_seen(build)
    report_smoke(build, Smoke.PASSED, now=NOW)

    with pytest.raises(ChangedMeanwhile):
        promote_build(build, Maturity.ALPHA, actor=COMMAND, now=NOW, seen=seen)
    with pytest.raises(ChangedMeanwhile):
        withdraw_build(build, actor=COMMAND, now=NOW, reason="Loses mail", seen=seen)

    assert (stored(build).stage, stored(build).is_withdrawn) == (Maturity.CANDIDATE, False)
    promote_build(build, Maturity.ALPHA, actor=COMMAND, now=NOW, seen=last_seen(build))
    again = promote_build(build, Maturity.ALPHA, actor=COMMAND, now=NOW, seen=seen)
    assert again == (Promotion.objects.get(), False), "the form sent twice names what the first did"


def test_r8_who_overrides_leaves_gate_reason_and_name_on_the_build_for_ever(release_manager: User) -> None:
    build = make_build("4.2", maturity=Maturity.RELEASE, channel_since=NOW - DAY)
    blocker = make_problem(build, severity=Severity.BLOCKER, title="Loses mail")
    minor = make_problem(build, title="Typing error")
    ines = Actor(Origin.PAGE, release_manager)

    promotion, moved = promote_build(
        build, Maturity.STABLE, actor=ines, now=NOW, override=seen_now(build, Maturity.STABLE)
    )

    assert moved
    rows = list(GateOverride.objects.of(build))
    assert {row.promotion for row in rows} == {promotion}
    assert [(row.gate, row.problem, row.text, row.reason) for row in rows] == [
        ("soak", None, "14 days in release: Since 22 Nov 12:00, complete on 6 Dec 12:00.", "They cannot wait."),
        ("no_blockers", blocker, f"No open blocker: P-{blocker.pk} Loses mail (blocker)", "They cannot wait."),
        ("acknowledged", minor, f"Known problems acknowledged: P-{minor.pk} Typing error (minor)", "They cannot wait."),
    ]
    assert rows[0].promotion.by == release_manager
    assert Promotion.objects.get().reason == "They cannot wait."
    assert all(problem.acknowledged for problem in facts_of(build).problems)
    change = Change.objects.get()
    assert change.after == {"channel": "stable", "overridden": [row.text for row in rows]}
    promote_build(build, Maturity.BETA, actor=ines, now=NOW, reason="Back")
    assert list(GateOverride.objects.of(build)) == rows


def test_r8_what_came_after_the_person_looked_refuses() -> None:
    build = make_build("4.2", maturity=Maturity.RELEASE)
    make_problem(build, severity=Severity.BLOCKER)
    override = seen_now(build, Maturity.STABLE)
    new = make_problem(build, severity=Severity.BLOCKER)

    with pytest.raises(PromotionRefused, match=f"P-{new.pk}"):
        promote_build(build, Maturity.STABLE, actor=COMMAND, now=NOW, override=override)

    assert stored(build).stage is Maturity.RELEASE
    assert not GateOverride.objects.exists()
    assert not Acknowledgement.objects.exists()
    assert not Change.objects.exists()


@pytest.mark.parametrize("fault", [{"smoke": Smoke.FAILED}, {"withdrawn_at": NOW}, {"quarantined_at": NOW}])
def test_r8_nobody_overrides_a_smoke_test_a_withdrawal_or_a_quarantine(fault: dict[str, Any]) -> None:
    build = make_build("4.2", maturity=Maturity.RELEASE, **fault)

    with pytest.raises(PromotionRefused):
        promote_build(build, Maturity.STABLE, actor=COMMAND, now=NOW, override=seen_now(build, Maturity.STABLE))

    assert stored(build).stage is Maturity.RELEASE


def test_r8_an_override_needs_a_reason_and_leaves_no_trace_where_nothing_fails() -> None:
    build = make_build("4.2", maturity=Maturity.RELEASE, channel_since=NOW)
    with pytest.raises(ReasonMissing):
        promote_build(build, Maturity.STABLE, actor=COMMAND, now=NOW, override=seen_now(build, Maturity.STABLE, " "))

    override = seen_now(build, Maturity.STABLE)
    promote_build(build, Maturity.STABLE, actor=COMMAND, now=NOW + 14 * DAY, override=override)

    assert not GateOverride.objects.exists()
    assert "overridden" not in Change.objects.get().after


def test_r8_an_override_for_release_is_none_for_stable() -> None:
    build = make_build("4.2", maturity=Maturity.BETA)
    make_problem(build, severity=Severity.BLOCKER)
    promote_build(build, Maturity.RELEASE, actor=COMMAND, now=NOW, override=seen_now(build, Maturity.RELEASE))

    assert not judge_promotion(build, Maturity.STABLE, now=NOW + 20 * DAY).allowed
    assert not facts_of(build).open_blockers


def test_r8_the_database_refuses_an_override_without_reason_of_a_hard_gate_or_without_its_problem() -> None:
    build = make_build("4.2", maturity=Maturity.RELEASE, channel_since=NOW)
    promotion, _moved = promote_build(
        build, Maturity.STABLE, actor=COMMAND, now=NOW, override=seen_now(build, Maturity.STABLE)
    )
    right = {"promotion": promotion, "gate": "soak", "into": 3, "text": "14 days", "reason": "Why"}
    for odd in ({"reason": ""}, {"gate": "smoke"}, {"gate": "no_blockers"}, {"problem": make_problem()}, {"into": 4}):
        with pytest.raises(IntegrityError), transaction.atomic():
            GateOverride.objects.create(**right | odd)


def test_r10_nothing_is_promoted_by_itself_unless_a_channel_is_switched_on() -> None:
    make_build("4.2")

    assert promote_automatically(now=NOW) == []
    switch_on("alpha")
    (promotion,) = promote_automatically(now=NOW)

    assert (promotion.origin, promotion.by, promotion.to_maturity) == (Origin.AUTOMATIC, None, Maturity.ALPHA)
    assert [(change.kind, change.origin) for change in Change.objects.all()] == [("build.promoted", "automatic")]
    assert promote_automatically(now=NOW) == []


def test_r10_what_the_night_promotes_is_what_the_rules_said_before() -> None:
    switch_on("alpha", "beta", "release", "stable")
    for number, stage in enumerate([Maturity.CANDIDATE, Maturity.ALPHA, Maturity.RELEASE, Maturity.RELEASE]):
        make_build(f"4.{9 - number}", maturity=stage)
    expected, moves = automatic_promotions(gather_builds(), channel_policies(), NOW)

    promotions = promote_automatically(now=NOW)

    assert [(row.build_id, row.to_maturity) for row in promotions] == [(move.build.id, move.to) for move in moves]
    assert len(promotions) >= 4
    assert gather_builds() == expected


def test_r10_a_build_that_a_person_sent_back_is_promoted_by_a_person_only() -> None:
    switch_on("alpha", "beta")
    build = make_build("4.2", maturity=Maturity.BETA)
    promote_build(build, Maturity.ALPHA, actor=COMMAND, now=NOW, reason="Too early")

    assert promote_automatically(now=NOW) == []
    promote_build(build, Maturity.BETA, actor=COMMAND, now=NOW)
    assert not facts_of(build).sent_back


def test_r7_r10_acknowledging_beforehand_lets_the_night_promote() -> None:
    switch_on("stable")
    build = make_build("4.2", maturity=Maturity.RELEASE)
    problem = make_problem(build)
    assert promote_automatically(now=NOW) == []

    acknowledge_problem(problem, build, actor=COMMAND, now=NOW)

    assert [row.build for row in promote_automatically(now=NOW)] == [build]


def test_r10_an_error_with_one_build_is_recorded_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    switch_on("alpha", "beta", "stable")
    broken, good = make_build("4.3"), make_build("4.2", maturity=Maturity.RELEASE)
    really_move = Build.move

    def move(build: Build, to: Maturity, **said: Any) -> Promotion:
        promotion = really_move(build, to, **said)
        if build == broken:
            raise IntegrityError("the disk is full")
        return promotion

    monkeypatch.setattr(Build, "move", move)
    promotions = promote_automatically(now=NOW)

    assert [row.build for row in promotions] == [good]
    assert Promotion.objects.get().build == good
    assert stored(broken).stage is Maturity.CANDIDATE, "it is not carried past the channel that failed either"
    (failed,) = Change.objects.filter(kind="build.promotion_failed")
    assert (failed.subject_name, failed.after, failed.reason) == ("4.3", {"channel": "alpha"}, "the disk is full")


def test_r10_that_a_build_became_eligible_is_announced_once_for_each_stay() -> None:
    build = make_build("4.2", maturity=Maturity.RELEASE, channel_since=NOW)
    make_build("4.1", maturity=Maturity.STABLE)
    make_build("4.0", maturity=Maturity.RELEASE)

    def announced(at: datetime) -> list[tuple[str, str]]:
        return [(change.subject_name, change.after["channel"]) for change in announce_eligible(now=at)]

    assert announced(NOW + 14 * DAY - timedelta(seconds=1)) == []
    assert announced(NOW + 14 * DAY) == [("4.2", "stable")]
    assert announced(NOW + 15 * DAY) == []
    report_smoke(build, Smoke.FAILED, now=NOW + 15 * DAY)
    report_smoke(build, Smoke.PASSED, now=NOW + 16 * DAY)
    assert announced(NOW + 17 * DAY) == []
    assert announced(NOW + 30 * DAY) == [("4.2", "stable")]
    (first, *_rest) = Change.objects.filter(kind="build.eligible").order_by("pk")
    assert (first.origin, first.by) == (AUTOMATIC.origin, None)


@pytest.mark.django_db(transaction=True)
def test_r9_promoting_and_withdrawing_at_once_end_withdrawn_and_never_promoted_afterwards() -> None:
    build = make_build("4.2", maturity=Maturity.BETA)

    def outcome(act: Any) -> str:
        try:
            act()
        except BuildError as refused:
            return str(refused)
        return "done"

    promoted, withdrawn = run_together(
        lambda: outcome(lambda: promote_build(build, Maturity.RELEASE, actor=COMMAND, now=NOW)),
        lambda: outcome(lambda: withdraw_build(build, actor=COMMAND, now=NOW, reason="Loses mail")),
    )

    kinds = [change.kind for change in Change.objects.order_by("pk")]
    assert withdrawn == "done"
    assert stored(build).is_withdrawn
    if promoted == "done":
        assert (kinds, stored(build).stage) == (["build.promoted", "build.withdrawn"], Maturity.RELEASE)
    else:
        assert "was withdrawn" in promoted
        assert (kinds, stored(build).stage) == (["build.withdrawn"], Maturity.BETA)


@pytest.mark.django_db(transaction=True)
def test_r8_a_blocker_reported_while_its_build_is_promoted_comes_before_or_after_and_never_between() -> None:
    build = make_build("4.2", maturity=Maturity.BETA)

    def promote() -> bool:
        try:
            return promote_build(build, Maturity.RELEASE, actor=COMMAND, now=NOW)[1]
        except PromotionRefused:
            return False

    def report() -> bool:
        return bool(
            report_problem(
                severity=Severity.BLOCKER, title="Loses mail", first_affected=build, actor=COMMAND, now=NOW
            )
        )  # fmt: skip

    promoted, _reported = run_together(promote, report)

    kinds = [change.kind for change in Change.objects.order_by("pk")]
    assert kinds == (["build.promoted", "problem.reported"] if promoted else ["problem.reported"])
