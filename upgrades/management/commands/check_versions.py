from argparse import ArgumentParser
from typing import Any

from instances.exceptions import InstanceError
from instances.models import Instance
from instances.services import sites_named
from releasemgr.lib.commands import Answer, VerbCommand, table
from upgrades import tasks
from upgrades.exceptions import UpgradeError
from upgrades.version_check import Answer as Heard


class Command(VerbCommand):
    help = "Asks sites which version they run and keeps what they report. Without a name, asks all of them."
    refusals = (UpgradeError, InstanceError)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("sites", nargs="*", metavar="SITE")

    def answer(self, **options: Any) -> Answer:
        sites = sites_named(options["sites"]) if options["sites"] else Instance.objects.all()
        heard = sorted(tasks.ask_versions([site.pk for site in sites]), key=lambda one: one.site.slug)
        rows = [[one.site, one.site.reported_version, _remark(one)] for one in heard]
        return Answer({"sites": [_shape(one) for one in heard]}, table(["Site", "Version", "Remark"], rows))


def _shape(heard: Heard) -> dict[str, Any]:
    return {
        "site": heard.site.slug,
        "reported": None if heard.error else heard.site.reported_version,
        "readable": heard.site.reported_key is not None,
        "drifted": heard.drifted,
        "error": heard.error,
        "known": heard.site.reported_version,
        "known_since": heard.site.reported_at,
    }


def _remark(heard: Heard) -> str:
    if heard.error:
        return f"Not asked: {heard.error}"
    if heard.site.reported_key is None:
        return "This is not a version."
    return "Another version than before." if heard.drifted else ""
