from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from instances.exceptions import InstanceError
from instances.models import Instance
from instances.services import sites_named
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades import tasks
from upgrades.exceptions import UpgradeError
from upgrades.management.shapes import run_shape, run_text
from upgrades.management.waiting import wait_and_tell
from upgrades.services.runs import start_upgrades


class Command(VerbCommand):
    help = "Upgrades sites now, as their targets say, in a manual run."
    refusals = (UpgradeError, InstanceError)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("sites", nargs="*", metavar="SITE")
        group = parser.add_mutually_exclusive_group()
        group.add_argument("--live", action="store_const", const="live", dest="group", help="All live sites.")
        group.add_argument("--test", action="store_const", const="test", dest="group", help="All test sites.")
        group.add_argument("--all", action="store_const", const="all", dest="group", help="All sites.")
        parser.add_argument("--reason", default="")
        parser.add_argument(
            "--wait", action="store_true", help="Returns when all has ended. Without workers, does the work itself."
        )

    def answer(self, **options: Any) -> Answer:
        sites = _chosen(options["sites"], options["group"])
        tasks.ask_versions([site.pk for site in sites if site.reported_key is None])  # P3
        run = start_upgrades(sites, actor=COMMAND, now=clock.now(), reason=options["reason"])
        if options["wait"]:
            wait_and_tell(run, self.stderr)
        return Answer(run_shape(run), run_text(run))


def _chosen(slugs: list[str], group: str | None) -> list[Instance]:
    if bool(slugs) == bool(group):
        raise CommandError("Name the sites, or choose --live, --test or --all.")
    if slugs:
        return sites_named(slugs)
    every = Instance.objects.for_list()
    return list(every if group == "all" else every.filter(kind=group))
