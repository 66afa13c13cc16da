from argparse import ArgumentParser
from typing import Any

from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades.exceptions import UpgradeError
from upgrades.management.shapes import run_numbered
from upgrades.services.halts import end_run


class Command(VerbCommand):
    help = "Ends a halted run: what had not begun is not started. Its builds are offered to nobody until released."
    refusals = (UpgradeError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", type=int, metavar="NUMBER")
        parser.add_argument("--reason", required=True)

    def answer(self, **options: Any) -> Answer:
        run = run_numbered(options["run"])
        left = end_run(run, actor=COMMAND, now=clock.now(), reason=options["reason"])
        return Answer({"run": run.pk, "not_started": left}, f"Run {run.pk} is ended. Not started: {left}.")
