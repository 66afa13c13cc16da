from argparse import ArgumentParser
from typing import Any

from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades.exceptions import UpgradeError
from upgrades.management.shapes import halt_shape, halt_text, run_numbered
from upgrades.services.halts import resume_run


class Command(VerbCommand):
    help = "Lets a halted run go on, the halted wave first. Its failures up to now count no more."
    refusals = (UpgradeError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", type=int, metavar="NUMBER")
        parser.add_argument("--reason", required=True)

    def answer(self, **options: Any) -> Answer:
        run = run_numbered(options["run"])
        halt = resume_run(run, actor=COMMAND, now=clock.now(), reason=options["reason"])
        return Answer({"run": run.pk, "halt": halt_shape(halt)}, halt_text(halt))
