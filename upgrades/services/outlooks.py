"""What a change of a problem, a build or a channel does to the night, before anybody saves it (P1). Changes nothing."""

from dataclasses import dataclass, replace

from builds.maturity import ChannelPolicy, Maturity, Move, automatic_promotions
from builds.models import Build, Problem
from builds.services import gather_builds
from upgrades.models import RunHalt
from upgrades.night import Night
from upgrades.plan import Facts
from upgrades.services.facts import facts_of_night
from upgrades.services.planning import Effect, preview_of


@dataclass(frozen=True)
class Outlook:
    """Every site's night without the change and with it, and what the night promotes by itself, both times (R10)."""

    effects: tuple[Effect, ...]
    moves_before: tuple[Move, ...]
    moves_after: tuple[Move, ...]

    @property
    def changed(self) -> list[Effect]:
        return [effect for effect in self.effects if effect.changed]

    @property
    def stopping(self) -> list[Effect]:
        """Sites that would have moved tonight, and wait because of the change."""
        return [effect for effect in self.changed if effect.before.upgrades and not effect.after.upgrades]

    @property
    def starting(self) -> list[Effect]:
        """Sites that would have stayed tonight, and move because of the change."""
        return [effect for effect in self.changed if effect.after.upgrades and not effect.before.upgrades]

    @property
    def upgrades_before(self) -> int:
        return sum(effect.before.upgrades for effect in self.effects)

    @property
    def upgrades_after(self) -> int:
        return sum(effect.after.upgrades for effect in self.effects)


def outlook(facts: Facts, changed: Facts, night: Night) -> Outlook:
    """No query."""
    effects = preview_of(facts, lambda _facts: changed, night)
    return Outlook(tuple(effects), _moves(facts, night), _moves(changed, night))


def _moves(facts: Facts, night: Night) -> tuple[Move, ...]:
    return tuple(automatic_promotions(facts.builds, facts.channels, night.starts_at)[1])


def preview_problem(problem: Problem, night: Night) -> Outlook:
    """If the problem were saved as it is here, reported for the first time or not (R7)."""
    facts = facts_of_night(night)
    return outlook(facts, replace(facts, builds=gather_builds(problem)), night)


def preview_acknowledgement(problem: Problem, build: Build, night: Night) -> Outlook:
    """If somebody accepted the problem for this build (R7)."""
    facts = facts_of_night(night)
    here = facts.builds[build.pk].accepting([problem.pk])
    return outlook(facts, replace(facts, builds={**facts.builds, here.id: here}), night)


def preview_stepping_stone(build: Build, stone: bool, night: Night) -> Outlook:
    """If every site had to pass through the build, or had not any more (T8)."""
    facts = facts_of_night(night)
    here = replace(facts.builds[build.pk], stepping_stone=stone)
    return outlook(facts, replace(facts, builds={**facts.builds, here.id: here}), night)


def preview_release(halt: RunHalt, night: Night) -> Outlook:
    """If the builds that halted a run were offered again (P5). Another halt may still hold one back."""
    facts = facts_of_night(night)
    left = RunHalt.objects.unreleased().exclude(pk=halt.pk).order_by("pk")
    return outlook(facts, replace(facts, halted=dict(left.values_list("builds", "run_id"))), night)


def preview_channel(channel: Maturity, policy: ChannelPolicy, night: Night) -> Outlook:
    """If a channel asked for that, and the night promoted into it or not (R6, R10)."""
    facts = facts_of_night(night)
    return outlook(facts, replace(facts, channels={**facts.channels, channel: policy}), night)
