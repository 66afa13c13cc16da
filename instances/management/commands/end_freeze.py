from argparse import ArgumentParser
from typing import Any

from instances.exceptions import InstanceError
from instances.management.shapes import freeze_shape
from instances.services import end_freeze, freeze_numbered
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand


class Command(VerbCommand):
    help = "Ends a freeze, and that it comes again."
    refusals = (InstanceError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("number", type=int, metavar="NUMBER", help="What the command freeze answered with.")
        parser.add_argument("--reason", default="")

    def answer(self, **options: Any) -> Answer:
        freeze = freeze_numbered(options["number"])
        ended = end_freeze(freeze, actor=COMMAND, now=clock.now(), reason=options["reason"])
        text = f"{freeze} is over." if ended else f"{freeze} was over already. Nothing changed."
        return Answer({"ended": ended, "freeze": freeze_shape(freeze)}, text)
