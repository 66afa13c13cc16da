from argparse import ArgumentParser
from typing import Any

from builds.exceptions import BuildError
from builds.management.shapes import build_shape
from builds.models import Build
from builds.services import UNANSWERED, Unanswered, build_named, withdraw_build
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand


class Command(VerbCommand):
    help = "Withdraws a build for ever: it is never installed again. Sites that run it stay where they are."
    refusals = (BuildError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("build", metavar="VERSION")
        parser.add_argument("--reason", required=True)
        parser.add_argument(
            "--replacement", metavar="VERSION|none",
            help="For a build that every site must pass through: the one that takes its place, or none.",
        )  # fmt: skip

    def answer(self, **options: Any) -> Answer:
        build, withdrawn = withdraw_build(
            build_named(options["build"]), actor=COMMAND, now=clock.now(), reason=options["reason"],
            replacement=_replacement(options["replacement"]),
        )  # fmt: skip
        text = f"{build} is withdrawn." if withdrawn else f"{build} was withdrawn already: {build.withdrawn_reason}"
        return Answer({"withdrawn": withdrawn, "build": build_shape(build)}, text)


def _replacement(said: str | None) -> Build | Unanswered | None:
    if said is None:
        return UNANSWERED
    return None if said == "none" else build_named(said)
