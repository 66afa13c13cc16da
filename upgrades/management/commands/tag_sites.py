"""Stands here, and not with the sites: a filter asks the plan, which the sites know nothing of."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from instances.exceptions import InstanceError
from instances.models import Instance
from instances.services import change_tags
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades.management.selecting import add_selection, selection


class Command(VerbCommand):
    help = "Adds tags to sites and removes them, on all of them or on none. Freezes of a tag, and canaries, follow it."
    refusals = (InstanceError,)

    def arguments(self, parser: ArgumentParser) -> None:
        add_selection(parser)
        parser.add_argument("--add", nargs="+", default=[], metavar="TAG")
        parser.add_argument("--remove", nargs="+", default=[], metavar="TAG")
        parser.add_argument("--reason", default="")

    def answer(self, **options: Any) -> Answer:
        if not options["add"] and not options["remove"]:
            raise CommandError("Say which tags to --add or to --remove.")
        sites = selection(options)
        changed = {
            site.pk
            for site in change_tags(
                sites, add=options["add"], remove=options["remove"], actor=COMMAND, now=clock.now(),
                reason=options["reason"],
            )
        }  # fmt: skip
        shapes = [_shape(site, site.pk in changed) for site in sites]
        return Answer({"sites": shapes}, "\n".join(_text(shape) for shape in shapes))


def _shape(site: Instance, changed: bool) -> dict[str, Any]:
    return {"site": site.slug, "changed": changed, "tags": sorted(tag.name for tag in site.tags.all())}


def _text(shape: dict[str, Any]) -> str:
    return f"{shape['site']}: {', '.join(shape['tags']) or 'no tag'}{'' if shape['changed'] else ', as before'}."
