from argparse import ArgumentParser
from typing import Any

from builds.choices import Smoke
from builds.exceptions import BuildError
from builds.management.shapes import build_shape
from builds.services import build_named, report_smoke
from releasemgr.lib import clock
from releasemgr.lib.commands import Answer, VerbCommand


class Command(VerbCommand):
    help = "Records what the smoke tests of a build said. Only a build that passed enters a channel."
    refusals = (BuildError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("build", metavar="VERSION")
        parser.add_argument("result", choices=list(Smoke))

    def answer(self, **options: Any) -> Answer:
        build = report_smoke(build_named(options["build"]), Smoke(options["result"]), now=clock.now())
        return Answer({"build": build_shape(build)}, f"The smoke tests of {build} are recorded as {build.smoke}.")
