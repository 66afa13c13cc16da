from argparse import ArgumentParser
from typing import Any

from builds.sentences import stamp
from releasemgr.lib import clock
from releasemgr.lib.commands import Answer, VerbCommand, moment
from upgrades.management.shapes import decision_shape, decision_text
from upgrades.plan import counts
from upgrades.sentences import totals
from upgrades.services.planning import plan_night


class Command(VerbCommand):
    help = "Shows what the next night does to every site, and why. Changes nothing."

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--at", type=moment, metavar="TIME",
            help="Plans as if the night started then: 2026-11-24T01:00, in the installation's zone or with an offset.",
        )  # fmt: skip

    def answer(self, **options: Any) -> Answer:
        night, decisions = plan_night(clock.now(), options["at"])
        at = options["at"] or night.starts_at
        data = {
            "at": at,
            "date": None if options["at"] else night.date,
            "counts": counts(decisions),
            "sites": [decision_shape(decision) for decision in decisions],
        }
        head = f"Night from {stamp(at)}: {totals(decisions)}, {len(decisions)} sites."
        return Answer(data, "\n\n".join([head, *map(decision_text, decisions)]))
