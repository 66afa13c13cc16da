from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from builds.maturity import Move, automatic_promotions
from builds.sentences import stamp
from instances.models import Instance
from releasemgr.lib import clock
from releasemgr.lib.commands import Answer, VerbCommand, moment
from upgrades import run_words
from upgrades.management.shapes import decision_shape, decision_text, wave_shape
from upgrades.models import Policy
from upgrades.plan import Decision, Facts, counts, plan_with_waves
from upgrades.sentences import totals
from upgrades.services.facts import facts_of_night
from upgrades.services.planning import next_chances, next_night, night_from


class Command(VerbCommand):
    help = "Shows what the next night does to every site, and why. Changes nothing."

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--at", type=moment, metavar="TIME",
            help="Plans as if the night started then: 2026-11-24T01:00, in the installation's zone or with an offset.",
        )  # fmt: skip

    def answer(self, **options: Any) -> Answer:
        now = clock.now()
        night = night_from(options["at"], now) if options["at"] else next_night(now)
        facts, policy = facts_of_night(night), Policy.objects.get()
        decisions, waves = plan_with_waves(facts, night.starts_at, night.ends_at)
        chances = _chances(decisions, night.starts_at)
        moves = _moves(facts, night.starts_at)
        data = {
            "at": night.starts_at,
            "date": None if options["at"] else night.date,
            "nights_off": policy.nights_off_since is not None,
            "promotions": [{"version": move.build.version, "to": move.to.channel} for move in moves],
            "counts": counts(decisions),
            "waves": [wave_shape(wave, decisions, policy.limits) for wave in waves],
            "sites": [decision_shape(one) | {"next_chance": chances.get(one.site.id)} for one in decisions],
        }
        head = [f"Night from {stamp(night.starts_at)}: {totals(decisions)}, {len(decisions)} sites."]
        if policy.nights_off_since:
            head.append("Nights are switched off: nothing of this happens until somebody switches them on.")
        head += [f"First {move.build.version} is promoted to {move.to.channel} by itself." for move in moves]
        head += [
            f"{run_words.wave_name(wave.number, wave.kind)}, "
            f"{run_words.wave_turn(wave, waves, policy.rollout.pause)} (UTC). Sites: {len(wave.sites)}."
            for wave in waves
        ]
        return Answer(data, "\n\n".join(["\n".join(head), *map(decision_text, decisions)]))


def _moves(facts: Facts, at: datetime) -> list[Move]:
    """What the night promotes by itself first (R10)."""
    automatic = any(policy.automatic for policy in facts.channels.values())
    return automatic_promotions(facts.builds, facts.channels, at)[1] if automatic else []


def _chances(decisions: list[Decision], at: datetime) -> dict[int, datetime | None]:
    """By site, for those that are off their target: when windows, holds and freezes leave room next."""
    waiting = {one.site.id: one.site.needs for one in decisions if one.off_target}
    return next_chances(Instance.objects.filter(pk__in=waiting), at, waiting) if waiting else {}
