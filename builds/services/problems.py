"""Known problems: reported, changed, closed, accepted for one build (R7)."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError

from builds.exceptions import ProblemRefused, ReasonMissing, UnknownProblem
from builds.maturity import Severity
from builds.models import Acknowledgement, Build, Problem
from builds.services.facts import one_decision_at_a_time
from releasemgr.lib.actors import Actor
from releasemgr.lib.history.services import difference, record, refuse_unless_seen, values_of

FIELDS = ("severity", "title", "url", "first_affected", "fixed_in", "dismissed_at", "dismissed_by", "dismissed_reason")


def problem_numbered(number: int) -> Problem:
    """Raises UnknownProblem."""
    problem = Problem.objects.for_list().filter(pk=number).first()
    if problem is None:
        raise UnknownProblem(f"No problem P-{number} is known.")
    return problem


def report_problem(
    *, severity: Severity, title: str, first_affected: Build, actor: Actor, now: datetime, url: str = "",
    fixed_in: Build | None = None, reason: str = "",
) -> Problem:  # fmt: skip
    """Records a known problem of a build and of those after it. Raises ProblemRefused."""
    with one_decision_at_a_time():
        problem = Problem(
            severity=severity, title=title.strip(), url=url.strip(), first_affected=first_affected, fixed_in=fixed_in,
            opened_at=now, opened_by=actor.user, opened_origin=actor.origin,
        )  # fmt: skip
        _refuse_odd(problem)
        problem.save()
        after = {name: value for name, value in values_of(problem, FIELDS).items() if value}
        record("problem.reported", problem, actor=actor, now=now, after=after, reason=reason)
    return problem


def change_problem(
    problem: Problem, *, actor: Actor, now: datetime, severity: Severity | None = None, title: str | None = None,
    url: str | None = None, first_affected: Build | None = None, reason: str = "", seen: int | None = None,
) -> tuple[Problem, bool]:  # fmt: skip
    """Changes what is known of it; None leaves as it is. Whether anything changed.

    A severity that rises voids what was accepted before. Raises ProblemRefused, ChangedMeanwhile.
    """
    given = {
        "severity": severity, "title": title.strip() if title is not None else None,
        "url": url.strip() if url is not None else None, "first_affected": first_affected,
    }  # fmt: skip
    new = {name: value for name, value in given.items() if value is not None}
    with _locked(problem) as row:
        return row, _save(row, "problem.changed", new, actor=actor, now=now, reason=reason, seen=seen)


def fix_problem(
    problem: Problem, fixed_in: Build, *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None
) -> tuple[Problem, bool]:
    """Closes it as fixed in a build: the ones before keep it (R7). Raises ProblemRefused, ChangedMeanwhile."""
    with _locked(problem) as row:
        if row.dismissed_at:
            raise ProblemRefused("fixed_in", f"{row} was dismissed as not real. Reopen it first.")
        return row, _save(row, "problem.fixed", {"fixed_in": fixed_in}, actor=actor, now=now, reason=reason, seen=seen)


def dismiss_problem(
    problem: Problem, *, actor: Actor, now: datetime, reason: str, seen: int | None = None
) -> tuple[Problem, bool]:
    """Closes it as not real: it affects nothing, and a person promotes the builds that had it from now on (R7).

    Raises ReasonMissing, ProblemRefused, ChangedMeanwhile.
    """
    if not reason.strip():
        raise ReasonMissing(f"Dismissing {problem} needs a reason.")
    new = {"dismissed_at": now, "dismissed_by": actor.user, "dismissed_reason": reason.strip()}
    with _locked(problem) as row:
        if row.dismissed_at:
            return row, False
        if row.fixed_in:
            raise ProblemRefused("fixed_in", f"{row} is fixed in {row.fixed_in}. Reopen it first.")
        return row, _save(row, "problem.dismissed", new, actor=actor, now=now, reason=reason, seen=seen)


def reopen_problem(
    problem: Problem, *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None
) -> tuple[Problem, bool]:
    """Neither fixed nor dismissed any more. What was accepted stays accepted. Raises ChangedMeanwhile."""
    new = {"fixed_in": None, "dismissed_at": None, "dismissed_by": None, "dismissed_reason": ""}
    with _locked(problem) as row:
        return row, _save(row, "problem.reopened", new, actor=actor, now=now, reason=reason, seen=seen)


def acknowledge_problem(
    problem: Problem, build: Build, *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None
) -> tuple[Acknowledgement, bool]:
    """Accepts it for one build, as bad as it is now, and whether this call did it (R7).

    Raises ProblemRefused where the build does not have it, ChangedMeanwhile.
    """
    with _locked(problem) as row:
        if not row.affects(build):
            raise ProblemRefused("build", f"{row} does not affect {build}: there is nothing to acknowledge.")
        there = row.acknowledgements.filter(build=build).first()
        if there and there.covers(row.severity):
            return there, False
        refuse_unless_seen(row, seen)
        accepted = accept(row, build, actor=actor, now=now, reason=reason)
        after = {"build": build.version, "severity": row.severity}
        record("problem.acknowledged", row, actor=actor, now=now, after=after, reason=reason)
    return accepted, True


def accept(problem: Problem, build: Build, *, actor: Actor, now: datetime, reason: str) -> Acknowledgement:
    """The row alone, for a caller that records the act and lets one decision at a time happen."""
    said = {
        "severity": problem.severity, "at": now, "by": actor.user, "origin": actor.origin, "reason": reason.strip(),
    }  # fmt: skip
    return Acknowledgement.objects.update_or_create(problem=problem, build=build, defaults=said)[0]


@contextmanager
def _locked(problem: Problem) -> Iterator[Problem]:
    with one_decision_at_a_time():
        yield Problem.objects.select_for_update(of=("self",)).with_versions().get(pk=problem.pk)


def _save(
    row: Problem, kind: str, new: dict[str, Any], *, actor: Actor, now: datetime, reason: str, seen: int | None
) -> bool:
    """Whether anything changed."""
    before = values_of(row, FIELDS)
    for name, value in new.items():
        setattr(row, name, value)
    old, changed = difference(before, values_of(row, FIELDS))
    if not changed:
        return False
    refuse_unless_seen(row, seen)
    _refuse_odd(row)
    row.save(update_fields=list(new))
    record(kind, row, actor=actor, now=now, before=old, after=changed, reason=reason)
    return True


def _refuse_odd(problem: Problem) -> None:
    """Names the field, for the form that sent it."""
    try:
        problem.clean_fields()
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise ProblemRefused(field, f"{field}: {' '.join(messages)}") from error
    fix, first = problem.fixed_in, problem.first_affected
    if fix and fix.version_key <= first.version_key:
        raise ProblemRefused("fixed_in", f"{fix} is not newer than {first}, the first build with the problem.")
