from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from instances.exceptions import InstanceError
from instances.models import Instance
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades import tasks
from upgrades.exceptions import UpgradeError
from upgrades.management.selecting import add_selection, selection
from upgrades.management.shapes import run_shape, run_text
from upgrades.management.waiting import wait_and_tell
from upgrades.plan import Rule
from upgrades.services.runs import start_upgrades


class Command(VerbCommand):
    help = "Upgrades sites now, as their targets say, in a manual run."
    refusals = (UpgradeError, InstanceError)

    def arguments(self, parser: ArgumentParser) -> None:
        add_selection(parser)
        group = parser.add_mutually_exclusive_group()
        group.add_argument("--live", action="store_const", const="live", dest="group", help="All live sites.")
        group.add_argument("--test", action="store_const", const="test", dest="group", help="All test sites.")
        group.add_argument("--all", action="store_const", const="all", dest="group", help="All sites.")
        parser.add_argument("--reason", default="", help="Needed for what is set aside.")
        parser.add_argument("--through-holds", action="store_true", help="Also sites on hold, and frozen ones.")
        parser.add_argument("--outside-window", action="store_true", help="Also outside the sites' windows.")
        parser.add_argument(
            "--wait", action="store_true", help="Returns when all has ended. Without workers, does the work itself."
        )

    def answer(self, **options: Any) -> Answer:
        sites = _chosen(options)
        tasks.ask_versions([site.pk for site in sites if site.reported_key is None])  # P3
        run = start_upgrades(
            sites, actor=COMMAND, now=clock.now(), reason=options["reason"], waived=_waived(options)
        )  # fmt: skip
        if options["wait"]:
            wait_and_tell(run, self.stderr)
        return Answer(run_shape(run), run_text(run))


def _waived(options: dict[str, Any]) -> frozenset[Rule]:
    """What is set aside (P8)."""
    rules = {"through_holds": Rule.PAUSE, "outside_window": Rule.WINDOW}
    return frozenset(rule for name, rule in rules.items() if options[name])


def _chosen(options: dict[str, Any]) -> list[Instance]:
    if [bool(options[name]) for name in ("sites", "group", "where")].count(True) != 1:
        raise CommandError("Name the sites, choose --live, --test or --all, or give a filter with --where.")
    if not options["group"]:
        return selection(options)
    every = Instance.objects.for_list()
    return list(every if options["group"] == "all" else every.filter(kind=options["group"]))
