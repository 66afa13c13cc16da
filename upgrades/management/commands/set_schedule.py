from argparse import ArgumentParser, ArgumentTypeError
from datetime import time
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades.exceptions import UpgradeError
from upgrades.management.shapes import schedule_shape
from upgrades.services.planning import next_night
from upgrades.services.policy import Seen, change_schedule


class Command(VerbCommand):
    help = "Sets when nights start and end, in the installation's time zone."
    refusals = (UpgradeError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--start", type=_clock, metavar="HH:MM")
        parser.add_argument("--end", type=_clock, metavar="HH:MM", help="Nothing begins from then on.")
        parser.add_argument("--reason", default="")

    def answer(self, **options: Any) -> Answer:
        values = {name: options[name] for name in ("start", "end") if options[name] is not None}
        if not values:
            raise CommandError("Say what changes: --start or --end.")
        now, before = clock.now(), Seen.now()
        schedule = change_schedule(values, actor=COMMAND, now=now, reason=options["reason"])
        changed, night = Seen.now() != before, next_night(now)
        text = f"Nights run from {schedule}, {settings.TIME_ZONE}." + ("" if changed else "\nNothing changed.")
        return Answer({"changed": changed} | schedule_shape(schedule, night), text)


def _clock(text: str) -> time:
    try:
        return time.fromisoformat(text).replace(second=0, microsecond=0, tzinfo=None)
    except ValueError:
        raise ArgumentTypeError(f"“{text}” is not a time of the day. It looks like 01:00.") from None
