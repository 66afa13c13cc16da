from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError

from builds.exceptions import BuildError
from builds.management.shapes import acknowledgement_shape, problem_shape
from builds.maturity import Severity
from builds.models import Acknowledgement, Problem
from builds.services import (
    acknowledge_problem,
    build_named,
    change_problem,
    dismiss_problem,
    fix_problem,
    problem_numbered,
    reopen_problem,
)
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand

WHAT_CHANGES = ("severity", "title", "url", "since")


class Command(VerbCommand):
    help = "Changes a known problem, closes it as fixed or as not real, reopens it, or accepts it for one build."
    refusals = (BuildError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("number", type=_number, metavar="NUMBER", help="118 or P-118.")
        act = parser.add_mutually_exclusive_group()
        act.add_argument("--fixed", metavar="VERSION", help="Closes it: this build and those after it are without it.")
        act.add_argument("--dismiss", action="store_true", help="Closes it as not real. Needs --reason.")
        act.add_argument("--reopen", action="store_true", help="Neither fixed nor dismissed any more.")
        act.add_argument("--acknowledge", metavar="VERSION", help="Accepts it for this build.")
        parser.add_argument("--severity", choices=[str(severity) for severity in Severity])
        parser.add_argument("--title")
        parser.add_argument("--url")
        parser.add_argument("--since", metavar="VERSION", help="The first build that has it.")
        parser.add_argument("--reason", default="")

    def answer(self, **options: Any) -> Answer:
        problem = problem_numbered(options["number"])
        said = {"actor": COMMAND, "now": clock.now(), "reason": options["reason"]}
        if options["acknowledge"]:
            _refuse_both(options)
            return _accepted(*acknowledge_problem(problem, build_named(options["acknowledge"]), **said))
        changed, did = _changed(problem, options, said)
        text = f"{changed} is {changed.state.label.lower()}: {changed.title}"
        return Answer({"changed": did, "problem": problem_shape(changed)}, text if did else f"{text}\nNothing changed.")


def _changed(problem: Problem, options: dict[str, Any], said: dict[str, Any]) -> tuple[Problem, bool]:
    if not (options["fixed"] or options["dismiss"] or options["reopen"]):
        return _edited(problem, options, said)
    _refuse_both(options)
    if options["fixed"]:
        return fix_problem(problem, build_named(options["fixed"]), **said)
    return dismiss_problem(problem, **said) if options["dismiss"] else reopen_problem(problem, **said)


def _edited(problem: Problem, options: dict[str, Any], said: dict[str, Any]) -> tuple[Problem, bool]:
    if all(options[name] is None for name in WHAT_CHANGES):
        raise CommandError("Say what changes: --fixed, --dismiss, --reopen, --acknowledge, or a field of it.")
    return change_problem(
        problem, title=options["title"], url=options["url"],
        severity=Severity(options["severity"]) if options["severity"] else None,
        first_affected=build_named(options["since"]) if options["since"] else None, **said,
    )  # fmt: skip


def _refuse_both(options: dict[str, Any]) -> None:
    """One act is one change in the history."""
    if any(options[name] is not None for name in WHAT_CHANGES):
        raise CommandError("Change a field in a call of its own.")


def _accepted(accepted: Acknowledgement, did: bool) -> Answer:
    data = {
        "changed": did, "problem": problem_shape(accepted.problem), "acknowledgement": acknowledgement_shape(accepted),
    }  # fmt: skip
    text = f"{accepted.problem} is acknowledged for {accepted.build}."
    return Answer(data, text if did else f"{accepted.problem} was acknowledged for {accepted.build} already.")


def _number(text: str) -> int:
    try:
        return int(text.upper().removeprefix("P-"))
    except ValueError:
        raise ArgumentTypeError(f"“{text}” is not the number of a problem.") from None
