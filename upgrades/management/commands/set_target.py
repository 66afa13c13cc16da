"""Stands here, and not with the sites: it says what tonight will do, which the sites know nothing of."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError

from builds.choices import ChannelName
from builds.exceptions import BuildError
from builds.models import Build
from builds.services import build_named
from instances.exceptions import InstanceError
from instances.models import Instance, Target, TargetChange
from instances.pins import PinEnd
from instances.services import set_targets
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand, moment
from upgrades.management.selecting import add_selection, selection
from upgrades.management.shapes import decision_shape
from upgrades.plan import Decision
from upgrades.sentences import decision_sentence
from upgrades.services.planning import decide_sites, next_night

CAUGHT_UP = "caught-up"


class Command(VerbCommand):
    help = "Sets what sites should run: a channel, or a pin to one build. Says what the next night will do."
    refusals = (BuildError, InstanceError)

    def arguments(self, parser: ArgumentParser) -> None:
        add_selection(parser)
        target = parser.add_mutually_exclusive_group(required=True)
        target.add_argument("--channel", choices=ChannelName.values)
        target.add_argument("--version", dest="build", metavar="VERSION")
        parser.add_argument("--reason", default="", help="Needed for a pin.")
        parser.add_argument(
            "--until", type=_end, metavar="TIME", help="When a pin ends: a time, or caught-up. Never, if not given."
        )
        parser.add_argument(
            "--then", choices=ChannelName.values, help="What the site follows after a pin that ends; as before."
        )
        parser.add_argument("--downgrade", action="store_true", help="Consents to a pin older than what runs.")

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Gives --version, by which Django's commands say their own version, to the build."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def answer(self, **options: Any) -> Answer:
        now = clock.now()
        sites = selection(options)
        build = build_named(options["build"]) if options["build"] else None
        changes = set_targets(
            sites, _target(options, build), actor=COMMAND, now=now, reason=options["reason"],
            downgrade=options["downgrade"],
        )  # fmt: skip
        made = {change.instance_id: change for change in changes}
        tonight = decide_sites(sites, next_night(now))
        told = [(site, made.get(site.pk), tonight[site.pk]) for site in sites]
        return Answer(_answer([_shape(*one) for one in told]), "\n".join(_text(*one) for one in told))


def _answer(shapes: list[dict[str, Any]]) -> dict[str, Any]:
    """The keys of one site stand alone, too: so it was before many could be named."""
    return (shapes[0] if len(shapes) == 1 else {}) | {"sites": shapes}


def _end(text: str) -> datetime | PinEnd:
    return PinEnd.CAUGHT_UP if text == CAUGHT_UP else moment(text)


def _target(options: dict[str, Any], build: Build | None) -> Target:
    """Raises CommandError for the end of what never ends."""
    end = options["until"]
    if (end and build is None) or (options["then"] and not end):
        raise CommandError("Only a pin ends, and --then says what follows one that does: give --version and --until.")
    if end is None:
        return Target(options["channel"], build)
    if isinstance(end, PinEnd):
        return Target(build=build, ends=end, then=options["then"])
    return Target(build=build, ends=PinEnd.ON_DATE, until=end, then=options["then"])


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
    return {
        "channel": target.channel if target else None,
        "version": build.version if build else None,
        "ends": target.ends.value if target and build else None,
        "until": target.until if target else None,
        "then": target.then if target else None,
    }


def _text(site: Instance, change: TargetChange | None, tonight: Decision) -> str:
    what = f"{site}: {change.before} → {change.after}." if change else f"{site}: {site.target} already."
    return f"{what} Next night: {decision_sentence(tonight)}"
