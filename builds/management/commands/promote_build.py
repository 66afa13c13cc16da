from argparse import ArgumentParser
from typing import Any

from builds.exceptions import BuildError
from builds.management.shapes import build_shape, promotion_shape
from builds.maturity import Maturity, Override
from builds.models import Build, Promotion
from builds.sentences import stamp
from builds.services import build_named, judge_promotion, promote_build
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand

STAGES = {stage.name.lower(): stage for stage in Maturity}


class Command(VerbCommand):
    help = "Moves a build to a channel if every gate passes, or back to an earlier one, with a reason."
    refusals = (BuildError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("build", metavar="VERSION")
        parser.add_argument("channel", choices=STAGES)
        parser.add_argument("--reason", default="", help="Needed for moving a build back.")
        parser.add_argument(
            "--override", metavar="REASON",
            help="Goes through the gates that fail and can be overridden. They stay on the build with this reason.",
        )  # fmt: skip

    def answer(self, **options: Any) -> Answer:
        build, to, now = build_named(options["build"]), STAGES[options["channel"]], clock.now()
        override = None
        if options["override"] is not None:
            override = Override(judge_promotion(build, to, now=now).keys, options["override"])
        promotion, moved = promote_build(build, to, actor=COMMAND, now=now, reason=options["reason"], override=override)
        build = build_named(options["build"])
        data = {"moved": moved, "promotion": promotion_shape(promotion), "build": build_shape(build)}
        return Answer(data, _moved(promotion) if promotion and moved else _there(build))


def _moved(promotion: Promotion) -> str:
    before, after = promotion.get_from_maturity_display(), promotion.get_to_maturity_display()
    through = [f"Overridden: {row.text}" for row in promotion.overrides.all()]
    return "\n".join([f"{promotion.build} went from {before} to {after}.", *through])


def _there(build: Build) -> str:
    return f"{build} is {build.get_maturity_display()} already, since {stamp(build.channel_since)}. Nothing changed."
