from argparse import ArgumentParser
from typing import Any

from builds.exceptions import BuildError
from builds.management.shapes import build_shape
from builds.services import build_named, mark_stepping_stone, unmark_stepping_stone
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand


class Command(VerbCommand):
    help = "Marks a build that every site must pass through on its way to a later one, or takes the mark away."
    refusals = (BuildError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("build", metavar="VERSION")
        parser.add_argument("--remove", action="store_true", help="Sites may pass by it again.")
        parser.add_argument("--reason", default="")

    def answer(self, **options: Any) -> Answer:
        verb = unmark_stepping_stone if options["remove"] else mark_stepping_stone
        build, changed = verb(build_named(options["build"]), actor=COMMAND, now=clock.now(), reason=options["reason"])
        text = f"Sites may pass by {build}." if options["remove"] else f"Every site must pass through {build}."
        return Answer(
            {"changed": changed, "build": build_shape(build)}, text if changed else f"{text}\nNothing changed."
        )
