from argparse import ArgumentParser
from typing import Any

from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades.exceptions import UpgradeError
from upgrades.management.shapes import halt_shape, halt_text, run_numbered
from upgrades.services.halts import halt_run


class Command(VerbCommand):
    help = "Halts a run: what runs finishes, nothing more begins until it is resumed or ended."
    refusals = (UpgradeError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", type=int, metavar="NUMBER")
        parser.add_argument("--reason", required=True)

    def answer(self, **options: Any) -> Answer:
        run = run_numbered(options["run"])
        halt = halt_run(run, actor=COMMAND, now=clock.now(), reason=options["reason"])
        return Answer({"run": run.pk, "halt": halt_shape(halt)}, halt_text(halt))
