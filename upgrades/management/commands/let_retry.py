from argparse import ArgumentParser
from typing import Any

from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades.exceptions import UpgradeError
from upgrades.management.shapes import decision_shape, upgrade_numbered
from upgrades.sentences import decision_sentence
from upgrades.services.planning import decide_site, next_night
from upgrades.services.retries import let_retry


class Command(VerbCommand):
    help = "Lets the nights try a build again that failed on a site. Says what the next night will do."
    refusals = (UpgradeError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("upgrade", type=int, metavar="UPGRADE")
        parser.add_argument("--reason", required=True)

    def answer(self, **options: Any) -> Answer:
        now, upgrade = clock.now(), upgrade_numbered(options["upgrade"])
        site = let_retry(upgrade, actor=COMMAND, now=now, note=options["reason"])
        tonight = decide_site(site, next_night(now))
        data = {"upgrade": upgrade.pk, "site": site.slug, "tonight": decision_shape(tonight)}
        return Answer(data, f"{site}: {upgrade.build} may be tried again. Next night: {decision_sentence(tonight)}")
