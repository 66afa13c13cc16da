from argparse import ArgumentParser
from typing import Any

from instances.exceptions import InstanceError
from instances.management.shapes import hold_shape
from instances.services import end_holds, sites_named
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand


class Command(VerbCommand):
    help = "Ends all holds of sites, also those to come."
    refusals = (InstanceError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("sites", nargs="+", metavar="SITE")
        parser.add_argument("--reason", default="")

    def answer(self, **options: Any) -> Answer:
        ended = end_holds(
            sites_named(options["sites"]), actor=COMMAND, now=clock.now(), reason=options["reason"]
        )  # fmt: skip
        lines = [f"{hold.instance}: the hold “{hold.reason}” is over." for hold in ended]
        return Answer({"ended": [hold_shape(hold) for hold in ended]}, "\n".join(lines) or "No site was held.")
