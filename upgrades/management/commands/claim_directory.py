from argparse import ArgumentParser
from typing import Any

from instances.exceptions import InstanceError
from instances.services import claim_directory, foreign_words, site_named
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades import tasks


class Command(VerbCommand):
    help = "Says that a directory that is marked as another site's is this site's now, and asks the site at once."
    refusals = (InstanceError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("site", metavar="SITE")
        parser.add_argument("--reason", default="")

    def answer(self, **options: Any) -> Answer:
        site = site_named(options["site"])
        found = foreign_words(site)
        claim_directory(site, actor=COMMAND, now=clock.now(), reason=options["reason"])
        [heard] = tasks.ask_versions([site.pk])
        data = {
            "site": site.slug, "was": found, "reported": heard.site.reported_version or None, "error": heard.error,
        }  # fmt: skip
        said = heard.error or f"It reports {heard.site.reported_version}."
        return Answer(data, f"The directory is {site}’s from now on; it was marked as {found}. {said}")
