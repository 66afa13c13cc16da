"""R7: known problems as rows, what they affect, how they are closed, and who accepted them."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from pytest_django import DjangoAssertNumQueries

from builds.choices import ProblemState
from builds.exceptions import ProblemRefused, PromotionRefused, ReasonMissing, UnknownProblem
from builds.maturity import GateCode, Maturity, ProblemFacts, Severity
from builds.models import Acknowledgement, Build, Problem
from builds.services import (
    acknowledge_problem,
    change_problem,
    dismiss_problem,
    facts_of,
    fix_problem,
    gather_builds,
    judge_promotion,
    problem_numbered,
    promote_build,
    reopen_problem,
    report_problem,
)
from releasemgr.lib.actors import COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import ChangedMeanwhile, last_seen
from tests.factories import NOW, make_build, make_problem
from tests.together import run_together

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def builds() -> list[Build]:
    return [make_build(f"4.{number}", maturity=Maturity.RELEASE) for number in range(4)]


def affected(problem: Problem) -> list[str]:
    """By the facts and by the queryset, which agree."""
    by_facts = [facts.version for facts in gather_builds().values() if any(facts.problems)]
    by_query = [build.version for build in Build.objects.order_by("version_key")
                if problem in Problem.objects.affecting(build)]  # fmt: skip
    assert by_facts == by_query
    return by_facts


def test_r7_a_problem_is_recorded_with_who_when_and_what(builds: list[Build], support: User) -> None:
    problem = report_problem(
        severity=Severity.BLOCKER, title=" Loses attachments ", url="https://bugs.example.net/7",
        first_affected=builds[1], actor=Actor(Origin.PAGE, support), now=NOW, reason="Seen at ACME.",
    )  # fmt: skip

    assert (problem.title, problem.opened_by, problem.opened_at) == ("Loses attachments", support, NOW)
    assert (str(problem), problem.state, problem.reporter) == (
        f"P-{problem.pk}", ProblemState.OPEN, support.username,
    )  # fmt: skip
    change = Change.objects.get()
    assert (change.kind, change.subject_name, change.by) == ("problem.reported", f"P-{problem.pk}", support)
    assert change.reason == "Seen at ACME."
    assert change.after == {
        "severity": "blocker", "title": "Loses attachments", "url": "https://bugs.example.net/7",
        "first_affected": "4.1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("odd", "field"),
    [
        ({"title": " "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": "nul\x00"}, "title"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"url": "https://example.net/" + "x" * 500}, "url"),
        ({"severity": "dreadful"}, "severity"),
        ({"fixed_in": 0}, "fixed_in"),
        ({"fixed_in": 1}, "fixed_in"),
    ],
)
def test_r7_an_odd_problem_is_refused_with_its_field(builds: list[Build], odd: dict[str, Any], field: str) -> None:
    if "fixed_in" in odd:
        odd = {"fixed_in": builds[odd["fixed_in"]]}
    values: dict[str, Any] = {"severity": Severity.MINOR, "title": "Typing error", "first_affected": builds[1]}

    with pytest.raises(ProblemRefused) as refused:
        report_problem(**values | odd, actor=COMMAND, now=NOW)

    assert refused.value.field == field
    assert not Problem.objects.exists()
    assert not Change.objects.exists()


def test_r7_it_affects_every_build_up_to_its_fix_and_the_fix_does_not_unblock_them(builds: list[Build]) -> None:
    problem = make_problem(builds[1])
    assert affected(problem) == ["4.1", "4.2", "4.3"]

    fixed, did = fix_problem(problem, builds[3], actor=COMMAND, now=NOW)

    assert (fixed.state, did) == (ProblemState.FIXED, True)
    assert affected(problem) == ["4.1", "4.2"]
    assert not judge_promotion(builds[2], Maturity.STABLE, now=NOW).allowed
    assert judge_promotion(builds[3], Maturity.STABLE, now=NOW).allowed
    assert Change.objects.get().after == {"fixed_in": "4.3"}
    assert fix_problem(problem, builds[3], actor=COMMAND, now=NOW) == (fixed, False)
    assert Change.objects.count() == 1


def test_r7_a_dismissed_problem_unblocks_but_a_person_confirms(builds: list[Build]) -> None:
    problem = make_problem(builds[1], severity=Severity.BLOCKER)
    with pytest.raises(ReasonMissing):
        dismiss_problem(problem, actor=COMMAND, now=NOW, reason=" ")

    dismissed, did = dismiss_problem(problem, actor=COMMAND, now=NOW, reason="Wrong configuration")

    assert (dismissed.state, did) == (ProblemState.DISMISSED, True)
    assert affected(problem) == []
    later = make_build("4.9", registered_at=NOW + DAY)
    facts = gather_builds()
    assert [facts[build.pk].was_dismissed for build in (*builds, later)] == [False, True, True, True, False]
    assert judge_promotion(builds[1], Maturity.STABLE, now=NOW).allowed
    assert dismiss_problem(problem, actor=COMMAND, now=NOW + DAY, reason="Again") == (dismissed, False)
    assert Change.objects.get().reason == "Wrong configuration"


def test_r7_what_is_closed_one_way_is_reopened_before_it_is_closed_another(builds: list[Build]) -> None:
    problem = make_problem(builds[1])
    dismiss_problem(problem, actor=COMMAND, now=NOW, reason="Not real")
    with pytest.raises(ProblemRefused, match="Reopen it first"):
        fix_problem(problem, builds[2], actor=COMMAND, now=NOW)

    reopened, did = reopen_problem(problem, actor=COMMAND, now=NOW, reason="It is real")

    assert (reopened.state, reopened.dismissed_reason, did) == (ProblemState.OPEN, "", True)
    assert reopen_problem(problem, actor=COMMAND, now=NOW) == (reopened, False)
    fix_problem(problem, builds[2], actor=COMMAND, now=NOW)
    with pytest.raises(ProblemRefused, match=r"is fixed in 4\.2"):
        dismiss_problem(problem, actor=COMMAND, now=NOW, reason="Not real")
    assert [change.kind for change in Change.objects.order_by("pk")] == [
        "problem.dismissed", "problem.reopened", "problem.fixed",
    ]  # fmt: skip


def test_r7_a_change_keeps_only_what_differs_and_none_is_recorded_for_none(builds: list[Build]) -> None:
    problem = make_problem(builds[1], title="Loses mail")

    assert not change_problem(problem, actor=COMMAND, now=NOW, title="Loses mail ")[1]
    assert not Change.objects.exists()
    changed, did = change_problem(problem, actor=COMMAND, now=NOW, title="Loses all mail", first_affected=builds[2])

    assert did
    assert affected(changed) == ["4.2", "4.3"]
    change = Change.objects.get()
    assert change.before == {"title": "Loses mail", "first_affected": "4.1"}
    assert change.after == {"title": "Loses all mail", "first_affected": "4.2"}
    fix_problem(problem, builds[3], actor=COMMAND, now=NOW)
    with pytest.raises(ProblemRefused, match="is not newer than"):
        change_problem(problem, actor=COMMAND, now=NOW, first_affected=builds[3])
    assert Problem.objects.get().first_affected == builds[2]


def test_r7_acknowledging_names_one_problem_for_one_build(builds: list[Build], release_manager: User) -> None:
    first, second = make_problem(builds[0]), make_problem(builds[0])
    ines = Actor(Origin.PAGE, release_manager)

    accepted, did = acknowledge_problem(first, builds[1], actor=ines, now=NOW, reason="Known")

    assert did
    assert (accepted.by, accepted.reason, accepted.severity) == (release_manager, "Known", "minor")
    assert facts_of(builds[1]).problems == (
        ProblemFacts(first.pk, Severity.MINOR, first.title, acknowledged=True),
        ProblemFacts(second.pk, Severity.MINOR, second.title),
    )
    assert not any(problem.acknowledged for problem in facts_of(builds[2]).problems)
    change = Change.objects.get()
    assert (change.kind, change.after) == ("problem.acknowledged", {"build": "4.1", "severity": "minor"})
    assert acknowledge_problem(first, builds[1], actor=COMMAND, now=NOW + DAY) == (accepted, False)
    assert Change.objects.count() == 1


def test_r7_only_what_a_build_has_is_acknowledged(builds: list[Build]) -> None:
    problem = make_problem(builds[1], fixed_in=builds[3])

    for build in (builds[0], builds[3]):
        with pytest.raises(ProblemRefused, match="does not affect"):
            acknowledge_problem(problem, build, actor=COMMAND, now=NOW)

    assert not Acknowledgement.objects.exists()


def test_r7_a_severity_that_rises_voids_what_was_accepted_until_it_is_accepted_again(builds: list[Build]) -> None:
    problem = make_problem(builds[1])
    acknowledge_problem(problem, builds[1], actor=COMMAND, now=NOW)

    change_problem(problem, actor=COMMAND, now=NOW, severity=Severity.BLOCKER)
    assert facts_of(builds[1]).open_blockers
    accepted, did = acknowledge_problem(problem, builds[1], actor=COMMAND, now=NOW + DAY)
    assert (did, accepted.severity, accepted.at) == (True, "blocker", NOW + DAY)
    assert not facts_of(builds[1]).open_blockers
    change_problem(problem, actor=COMMAND, now=NOW, severity=Severity.MINOR)

    assert facts_of(builds[1]).problems[0].acknowledged
    assert Acknowledgement.objects.count() == 1


def test_r7_a_new_problem_is_not_covered_by_what_was_accepted_before(builds: list[Build]) -> None:
    acknowledge_problem(make_problem(builds[1]), builds[1], actor=COMMAND, now=NOW)
    assert judge_promotion(builds[1], Maturity.STABLE, now=NOW).allowed

    make_problem(builds[0])

    with pytest.raises(PromotionRefused) as refused:
        promote_build(builds[1], Maturity.STABLE, actor=COMMAND, now=NOW)
    assert [gate.code for gate in refused.value.judgement.failing] == [GateCode.ACKNOWLEDGED]


def test_t7_who_did_not_see_the_last_change_of_a_problem_changes_nothing(builds: list[Build]) -> None:
    problem = make_problem(builds[1], title="Loses mail")
    seen = last_seen(problem)
    change_problem(problem, actor=COMMAND, now=NOW, title="Loses all mail", seen=seen)

    calls: list[Any] = [
        lambda: change_problem(problem, actor=COMMAND, now=NOW, title="Typing error", seen=seen),
        lambda: fix_problem(problem, builds[3], actor=COMMAND, now=NOW, seen=seen),
        lambda: dismiss_problem(problem, actor=COMMAND, now=NOW, reason="Not real", seen=seen),
        lambda: acknowledge_problem(problem, builds[2], actor=COMMAND, now=NOW, seen=seen),
    ]
    for call in calls:
        with pytest.raises(ChangedMeanwhile):
            call()

    problem.refresh_from_db()
    assert (problem.title, problem.state) == ("Loses all mail", ProblemState.OPEN)
    assert Change.objects.count() == 1


@pytest.mark.parametrize(
    "odd",
    [
        {"title": ""}, {"severity": "dreadful"}, {"dismissed_at": NOW}, {"dismissed_reason": "Why"}, {"fixed_in": True},
    ],
)  # fmt: skip
def test_r7_the_database_refuses_a_problem_that_cannot_be(builds: list[Build], odd: dict[str, Any]) -> None:
    if "fixed_in" in odd:
        odd = {"fixed_in": builds[0]}
    with pytest.raises(IntegrityError), transaction.atomic():
        make_problem(builds[0], **odd)


def test_r7_the_database_keeps_one_acknowledgement_for_a_problem_and_a_build(builds: list[Build]) -> None:
    accepted, _did = acknowledge_problem(make_problem(builds[0]), builds[0], actor=COMMAND, now=NOW)
    accepted.pk = None
    with pytest.raises(IntegrityError, match="acknowledged_once_for_a_build"), transaction.atomic():
        accepted.save()


@pytest.mark.django_db(transaction=True)
def test_t7_two_people_acknowledging_at_once_make_one_acknowledgement_and_one_change() -> None:
    build = make_build("4.1")
    problem = make_problem(build)

    answers = run_together(*[lambda: acknowledge_problem(problem, build, actor=COMMAND, now=NOW)] * 2)

    accepted = Acknowledgement.objects.get()
    assert sorted(did for _row, did in answers) == [False, True]
    assert {row.pk for row, _did in answers} == {accepted.pk}
    assert Change.objects.count() == 1


def test_problems_are_listed_newest_first_and_by_state(builds: list[Build]) -> None:
    opened, fixed, dismissed = (make_problem(builds[0]) for _each in range(3))
    fix_problem(fixed, builds[1], actor=COMMAND, now=NOW)
    dismiss_problem(dismissed, actor=COMMAND, now=NOW, reason="Not real")

    assert list(Problem.objects.open()) == [opened]
    assert list(Problem.objects.fixed()) == [fixed]
    assert list(Problem.objects.dismissed()) == [dismissed]
    assert list(Problem.objects.for_list()) == [dismissed, fixed, opened]
    assert problem_numbered(fixed.pk) == fixed
    with pytest.raises(UnknownProblem, match="No problem P-0 is known"):
        problem_numbered(0)


def test_p1_the_facts_of_all_builds_cost_four_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for number in range(6):
        build = make_build(f"4.{number}", maturity=Maturity.BETA)
        problem = make_problem(build)
        acknowledge_problem(problem, build, actor=COMMAND, now=NOW)
        promote_build(build, Maturity.ALPHA, actor=COMMAND, now=NOW, reason="Back")

    with django_assert_num_queries(4):
        facts = gather_builds()

    assert [len(build.problems) for build in facts.values()] == [1, 2, 3, 4, 5, 6]
    assert all(build.sent_back for build in facts.values())
    with django_assert_num_queries(1):
        [(row.first_affected.version, row.fixed_in, row.reporter) for row in Problem.objects.for_list()]
