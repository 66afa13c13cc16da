"""Stands here, and not with the sites: a filter asks the plan, which the sites know nothing of."""

from argparse import ArgumentParser
from typing import Any

from instances.exceptions import InstanceError
from instances.management.shapes import hold_shape
from instances.services import end_holds
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades.management.selecting import add_selection, selection


class Command(VerbCommand):
    help = "Ends all holds of sites, also those to come."
    refusals = (InstanceError,)

    def arguments(self, parser: ArgumentParser) -> None:
        add_selection(parser)
        parser.add_argument("--reason", default="")

    def answer(self, **options: Any) -> Answer:
        ended = end_holds(
            selection(options), actor=COMMAND, now=clock.now(), reason=options["reason"]
        )  # fmt: skip
        lines = [f"{hold.instance}: the hold “{hold.reason}” is over." for hold in ended]
        return Answer({"ended": [hold_shape(hold) for hold in ended]}, "\n".join(lines) or "No site was held.")
