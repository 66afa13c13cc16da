from argparse import ArgumentParser
from typing import Any

from builds.exceptions import BuildError
from builds.management.shapes import build_shape
from builds.services import build_named
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades.services.archiving import archive


class Command(VerbCommand):
    help = "Removes the artefact of a build that no site needs any more. Registering it again brings the build back."
    refusals = (BuildError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("build", metavar="VERSION")
        parser.add_argument("--reason", required=True)

    def answer(self, **options: Any) -> Answer:
        build, archived = archive(
            build_named(options["build"]), actor=COMMAND, now=clock.now(), reason=options["reason"]
        )
        text = f"{build} is archived." if archived else f"{build} was archived already."
        return Answer({"archived": archived, "build": build_shape(build)}, text)
