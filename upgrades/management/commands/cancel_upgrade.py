from argparse import ArgumentParser
from typing import Any

from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades.exceptions import UpgradeError
from upgrades.management.shapes import upgrade_numbered
from upgrades.services.cancels import Cancel, cancel_upgrade, give_up

SAID = {
    Cancel.DONE: "is cancelled. Nothing was touched.",
    Cancel.ASKED: "is cancelled: its host is asked to end it.",
    Cancel.ASKED_BEFORE: "is being cancelled already.",
    Cancel.OVER: "had ended before.",
}


class Command(VerbCommand):
    help = "Cancels an upgrade: at once where it has not begun, else as soon as its host can safely end it."
    refusals = (UpgradeError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("upgrade", type=int, metavar="UPGRADE")
        parser.add_argument("--reason", required=True)
        parser.add_argument("--give-up", action="store_true", help="where its host does not answer: a person decides")

    def answer(self, **options: Any) -> Answer:
        upgrade, now = upgrade_numbered(options["upgrade"]), clock.now()
        if options["give_up"]:
            give_up(upgrade, actor=COMMAND, now=now, reason=options["reason"])
            words = "is given up. Its site is locked until a person decides."
            return Answer({"upgrade": upgrade.pk, "cancel": "given_up"}, f"Upgrade {upgrade.pk} {words}")
        done = cancel_upgrade(upgrade, actor=COMMAND, now=now, reason=options["reason"])
        return Answer({"upgrade": upgrade.pk, "cancel": done.name.lower()}, f"Upgrade {upgrade.pk} {SAID[done]}")
