from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from instances.exceptions import InstanceError
from instances.management.shapes import windows_shape
from instances.models import Instance
from instances.services import read_windows, set_windows, sites_named
from instances.window_text import format_windows
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand


class Command(VerbCommand):
    help = "Sets when sites may be upgraded: their own windows, or the default ones."
    refusals = (InstanceError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("sites", nargs="*", metavar="SITE")
        parser.add_argument("--default", action="store_true", help="The windows of sites that have none of their own.")
        parser.add_argument(
            "--windows", required=True, metavar="TEXT",
            help="“Mon-Fri 01:00-04:00 Europe/Dublin; Sat,Sun 22:00-06:00 Europe/Dublin”. Empty removes them.",
        )  # fmt: skip
        parser.add_argument("--reason", default="")

    def answer(self, **options: Any) -> Answer:
        if bool(options["sites"]) == options["default"]:
            raise CommandError("Name the sites, or give --default.")
        windows, now = read_windows(options["windows"]), clock.now()
        whose: list[Instance | None] = [None] if options["default"] else [*sites_named(options["sites"])]
        with transaction.atomic():
            changed = [
                set_windows(one, windows, actor=COMMAND, now=now, reason=options["reason"]) is not None for one in whose
            ]
        lines = [_line(one, format_windows(windows), new) for one, new in zip(whose, changed, strict=True)]
        rows = [windows_shape(one, windows) | {"changed": new} for one, new in zip(whose, changed, strict=True)]
        return Answer({"windows": rows}, "\n".join(lines))


def _line(site: Instance | None, windows: str, changed: bool) -> str:
    nothing = "open at any time" if site is None else "no windows of its own"
    text = f"{site or 'Default'}: {windows or nothing}."
    return text if changed else f"{text} Nothing changed."
