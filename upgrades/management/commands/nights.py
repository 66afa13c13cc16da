from argparse import ArgumentParser
from typing import Any

from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades.exceptions import UpgradeError
from upgrades.models import Policy
from upgrades.services.policy import switch_nights_off, switch_nights_on


class Command(VerbCommand):
    help = "Switches the nights off, without an end, or on again."
    refusals = (UpgradeError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("switch", choices=["off", "on"], metavar="off|on")
        parser.add_argument("--reason", default="", help="Needed to switch them off.")

    def answer(self, **options: Any) -> Answer:
        verb = switch_nights_on if options["switch"] == "on" else switch_nights_off
        changed = verb(actor=COMMAND, now=clock.now(), reason=options["reason"])
        policy = Policy.objects.get()
        data = {
            "changed": changed,
            "nights": options["switch"],
            "off_since": policy.nights_off_since,
            "reason": policy.nights_off_reason,
        }
        already = "" if changed else " already"
        return Answer(data, f"Nights are switched {options['switch']}{already}.")
