from argparse import ArgumentParser
from typing import Any

from instances.exceptions import InstanceError
from instances.services import sites_named
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades.exceptions import UpgradeError
from upgrades.management.shapes import run_numbered, run_shape, run_text
from upgrades.management.waiting import wait_and_tell
from upgrades.services.retries import retry_failed


class Command(VerbCommand):
    help = "Tries again what failed in a run: all of it, or the sites that are named."
    refusals = (UpgradeError, InstanceError)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", type=int, metavar="NUMBER")
        parser.add_argument("sites", nargs="*", metavar="SITE")
        parser.add_argument("--reason", default="")
        parser.add_argument(
            "--wait", action="store_true", help="Returns when all has ended. Without workers, does the work itself."
        )

    def answer(self, **options: Any) -> Answer:
        failed = run_numbered(options["run"])
        sites = [site.pk for site in sites_named(options["sites"])] if options["sites"] else None
        run = retry_failed(failed, sites, actor=COMMAND, now=clock.now(), reason=options["reason"])
        if options["wait"]:
            wait_and_tell(run, self.stderr)
        return Answer(run_shape(run), run_text(run))
