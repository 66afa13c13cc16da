from argparse import ArgumentParser
from typing import Any

from builds.sentences import stamp
from instances.exceptions import InstanceError
from instances.management.shapes import hold_shape
from instances.services import open_holds, sites_named
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand, moment


class Command(VerbCommand):
    help = "Leaves sites alone until a date, for a reason. An upgrade that runs then finishes."
    refusals = (InstanceError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("sites", nargs="+", metavar="SITE")
        parser.add_argument("--until", type=moment, required=True, metavar="TIME")
        parser.add_argument("--from", dest="begins", type=moment, metavar="TIME", help="Now, if it is not given.")
        parser.add_argument("--reason", required=True)

    def answer(self, **options: Any) -> Answer:
        holds = open_holds(
            sites_named(options["sites"]), starts_at=options["begins"], ends_at=options["until"],
            reason=options["reason"], actor=COMMAND, now=clock.now(),
        )  # fmt: skip
        lines = [f"{hold.instance}: held from {stamp(hold.starts_at)} until {stamp(hold.ends_at)}." for hold in holds]
        return Answer({"holds": [hold_shape(hold) for hold in holds]}, "\n".join(lines))
