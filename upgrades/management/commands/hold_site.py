"""Stands here, and not with the sites: a filter asks the plan, which the sites know nothing of."""

from argparse import ArgumentParser
from typing import Any

from builds.sentences import stamp
from instances.exceptions import InstanceError
from instances.management.shapes import hold_shape
from instances.services import open_holds
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand, moment
from upgrades.management.selecting import add_selection, selection


class Command(VerbCommand):
    help = "Leaves sites alone until a date, for a reason. An upgrade that runs then finishes."
    refusals = (InstanceError,)

    def arguments(self, parser: ArgumentParser) -> None:
        add_selection(parser)
        parser.add_argument("--until", type=moment, required=True, metavar="TIME")
        parser.add_argument("--from", dest="begins", type=moment, metavar="TIME", help="Now, if it is not given.")
        parser.add_argument("--reason", required=True)

    def answer(self, **options: Any) -> Answer:
        holds = open_holds(
            selection(options), starts_at=options["begins"], ends_at=options["until"],
            reason=options["reason"], actor=COMMAND, now=clock.now(),
        )  # fmt: skip
        lines = [f"{hold.instance}: held from {stamp(hold.starts_at)} until {stamp(hold.ends_at)}." for hold in holds]
        return Answer({"holds": [hold_shape(hold) for hold in holds]}, "\n".join(lines))
