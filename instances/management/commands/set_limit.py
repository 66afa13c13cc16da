from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from instances.exceptions import InstanceError
from instances.services import set_limit
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand


class Command(VerbCommand):
    help = "Sets how many of the sites with a tag are upgraded at once, where they share something."
    refusals = (InstanceError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tag", metavar="TAG")
        parser.add_argument("most", type=_number, metavar="NUMBER|none", help="1 to 1000, or none for no limit.")
        parser.add_argument("--reason", default="")

    def answer(self, **options: Any) -> Answer:
        tag, most = options["tag"], options["most"]
        changed = set_limit(tag, most, actor=COMMAND, now=clock.now(), reason=options["reason"])
        said = f"{tag}: {'no limit' if most is None else f'{most} at once'}."
        return Answer(
            {"tag": tag, "max_parallel": most, "changed": changed}, said if changed else f"{said} Nothing changed."
        )


def _number(text: str) -> int | None:
    if text == "none":
        return None
    if not (text.isascii() and text.isdigit()):
        raise ArgumentTypeError("a number, or none")
    return int(text)
