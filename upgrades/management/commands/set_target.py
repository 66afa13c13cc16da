"""Stands here, and not with the sites: it says what tonight will do, which the sites know nothing of."""

from argparse import ArgumentParser
from typing import Any

from builds.choices import ChannelName
from builds.exceptions import BuildError
from builds.services import build_named
from instances.exceptions import InstanceError
from instances.models import Instance, Target, TargetChange
from instances.services import set_target, site_named
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades.management.shapes import decision_shape
from upgrades.plan import Decision
from upgrades.sentences import decision_sentence
from upgrades.services.planning import decide_site, next_night


class Command(VerbCommand):
    help = "Sets what a site should run: a channel, or a pin to one build. Says what the next night will do."
    refusals = (BuildError, InstanceError)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("site", metavar="SITE")
        target = parser.add_mutually_exclusive_group(required=True)
        target.add_argument("--channel", choices=ChannelName.values)
        target.add_argument("--version", dest="build", metavar="VERSION")
        parser.add_argument("--reason", default="")

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Gives --version, by which Django's commands say their own version, to the build."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def answer(self, **options: Any) -> Answer:
        now = clock.now()
        site = site_named(options["site"])
        build = build_named(options["build"]) if options["build"] else None
        change = set_target(site, Target(options["channel"], build), actor=COMMAND, now=now, reason=options["reason"])
        tonight = decide_site(site, next_night(now))
        return Answer(_shape(site, change, tonight), _text(site, change, tonight))


def _shape(site: Instance, change: TargetChange | None, tonight: Decision) -> dict[str, Any]:
    before = change.before if change else site.target
    return {
        "site": site.slug,
        "changed": change is not None,
        "before": _target_shape(before),
        "target": _target_shape(site.target),
        "tonight": decision_shape(tonight),
    }


def _target_shape(target: Target | None) -> dict[str, Any]:
    build = target.build if target else None
    return {"channel": target.channel if target else None, "version": build.version if build else None}


def _text(site: Instance, change: TargetChange | None, tonight: Decision) -> str:
    what = f"{site}: {change.before} → {change.after}." if change else f"{site}: {site.target} already."
    return f"{what} Next night: {decision_sentence(tonight)}"
