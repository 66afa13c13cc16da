from argparse import ArgumentParser
from typing import Any

from builds.exceptions import BuildError
from builds.management.shapes import problem_shape
from builds.maturity import Severity
from builds.services import build_named, report_problem
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand


class Command(VerbCommand):
    help = "Records a known problem of a build and of those after it. An open blocker keeps them out of release."
    refusals = (BuildError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("build", metavar="VERSION", help="The first build that has it.")
        parser.add_argument("title")
        parser.add_argument("--severity", choices=[str(severity) for severity in Severity], required=True)
        parser.add_argument("--url", default="", help="Where it is worked on.")
        parser.add_argument("--fixed", metavar="VERSION", help="The first build without it, if there is one yet.")
        parser.add_argument("--reason", default="", help="What is to be read in the history.")

    def answer(self, **options: Any) -> Answer:
        problem = report_problem(
            severity=Severity(options["severity"]), title=options["title"], url=options["url"],
            first_affected=build_named(options["build"]), reason=options["reason"], actor=COMMAND, now=clock.now(),
            fixed_in=build_named(options["fixed"]) if options["fixed"] else None,
        )  # fmt: skip
        return Answer({"problem": problem_shape(problem)}, f"{problem} is recorded: {problem.title}")
