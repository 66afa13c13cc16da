from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand
from upgrades.exceptions import UpgradeError
from upgrades.management.shapes import policy_shape
from upgrades.models import Policy
from upgrades.services.policy import POLICY_FIELDS, Seen, change_policy


class Command(VerbCommand):
    help = "Sets how nights go about their upgrades: waves, limits and what halts them. Without options: says them."
    refusals = (UpgradeError,)

    def arguments(self, parser: ArgumentParser) -> None:
        whole: dict[str, Any] = {"type": int, "metavar": "NUMBER"}
        share: dict[str, Any] = {"type": int, "metavar": "PERCENT"}
        parser.add_argument("--canaries", dest="canary_share", **share)
        parser.add_argument("--tag", dest="canary_tag", help="Sites with it are canaries; empty for none.")
        parser.add_argument(
            "--waves", dest="wave_sizes", metavar="SIZES", help="After the canaries, such as “5, 25 %%”."
        )
        parser.add_argument("--pause", dest="wave_pause_min", type=int, metavar="MINUTES", help="Between two waves.")
        parser.add_argument("--parallel", dest="max_parallel", **whole, help="So many upgrades at once.")
        parser.add_argument("--share", dest="halt_share", **share, help="A wave halts the run above it.")
        parser.add_argument("--minimum", dest="halt_minimum", **whole, help="And at least so many failed upgrades.")
        parser.add_argument("--failed", dest="halt_canaries", **whole, help="So many failed canaries halt the run.")
        parser.add_argument("--same", dest="halt_same", **whole, help="So many equal failures halt the run.")
        parser.add_argument("--blockers", choices=["hold", "go"], help="Upgrades to builds with an open blocker.")
        parser.add_argument("--reason", default="")

    def answer(self, **options: Any) -> Answer:
        values = {name: options[name] for name in POLICY_FIELDS if options.get(name) is not None}
        if options["blockers"]:
            values["hold_on_blockers"] = options["blockers"] == "hold"
        if options["reason"] and not values:
            raise CommandError("Say what changes.")
        before = Seen.now()
        policy = (
            change_policy(values, actor=COMMAND, now=clock.now(), reason=options["reason"]) if values else _policy()
        )
        changed = Seen.now() != before
        return Answer({"changed": changed, "policy": policy_shape(policy)}, _said(policy, changed or not values))


def _policy() -> Policy:
    return Policy.objects.get()


def _said(policy: Policy, as_it_was: bool) -> str:
    tag = f" and those tagged {policy.canary_tag}" if policy.canary_tag else ""
    lines = [
        f"Canaries: {policy.canary_share} % of the live sites of each window{tag}.",
        f"Waves after them: {policy.wave_sizes or 'one with the rest'}, {policy.wave_pause_min} min apart.",
        f"At once: {policy.max_parallel}.",
        f"Halts above {policy.halt_share} % of a wave and at least {policy.halt_minimum} failed, "
        f"at {policy.halt_canaries} failed canaries, at {policy.halt_same} equal failures.",
        f"Upgrades to builds with an open blocker {'wait' if policy.hold_on_blockers else 'go'}.",
    ]
    return "\n".join(lines if as_it_was else [*lines, "Nothing changed."])
