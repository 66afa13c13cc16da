from argparse import ArgumentParser
from typing import Any

from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades.exceptions import UpgradeError
from upgrades.management.shapes import run_numbered
from upgrades.services.halts import release_run


class Command(VerbCommand):
    help = "Offers the builds whose failures halted a run to sites again."
    refusals = (UpgradeError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", type=int, metavar="NUMBER")
        parser.add_argument("--reason", required=True)

    def answer(self, **options: Any) -> Answer:
        run = run_numbered(options["run"])
        builds = release_run(run, actor=COMMAND, now=clock.now(), reason=options["reason"])
        versions = [build.version for build in builds]
        return Answer({"run": run.pk, "released": versions}, f"Offered to sites again: {', '.join(versions)}.")
