from argparse import ArgumentParser
from typing import Any

from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades import tasks
from upgrades.exceptions import UpgradeError
from upgrades.management.shapes import run_shape, run_text
from upgrades.management.waiting import wait_and_tell
from upgrades.models import Run
from upgrades.services.runs import night_by_hand, open_night_by_hand
from upgrades.version_check import ask_unknown


class Command(VerbCommand):
    help = (
        "Runs the night now: the one that is on, else the next one, ahead of its time. Each date is run once: what "
        "was run by hand, the night does not run again."
    )
    refusals = (UpgradeError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--wait", action="store_true", help="Returns when all has ended. Without workers, does the work itself."
        )

    def answer(self, **options: Any) -> Answer:
        if not Run.objects.filter(date=night_by_hand(clock.now()).date).exists():
            ask_unknown(tasks.connect)  # P3
        run, created = open_night_by_hand(actor=COMMAND, now=clock.now())
        if options["wait"]:
            wait_and_tell(run, self.stderr)
        had = "" if created else f"The night of {run.date} has its run already: run {run.pk}. Nothing was planned.\n"
        return Answer({"created": created} | run_shape(run), had + run_text(run))
