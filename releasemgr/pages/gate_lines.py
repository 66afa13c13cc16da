"""The gates of a promotion in words, each failing one with what clears it (R11)."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse
from django.utils.translation import gettext as _

from builds import sentences
from builds.maturity import Gate, GateCode, Judgement, ProblemFacts
from releasemgr.pages.channels import Clock, clock_of


@dataclass(frozen=True)
class GateAction:
    """A button that leads to what clears a gate."""

    label: str
    url: str


@dataclass(frozen=True)
class GateLine:
    """One gate in words. `clock` is None where no soak clock runs; `new`: it failed only after the page was shown."""

    gate: Gate
    title: str
    detail: str
    clock: Clock | None
    actions: tuple[GateAction, ...] = ()
    new: bool = False


def gate_lines(
    judgement: Judgement, now: datetime, *, seen: Collection[str] | None = None, acknowledges: bool = False
) -> list[GateLine]:
    """What does not pass comes first. `seen` are the gates that a person saw fail, as `Judgement.keys` names them.

    `acknowledges`: the person may accept problems.
    """
    gates = sorted(judgement.gates, key=lambda gate: gate.passed)
    return [
        GateLine(
            gate, sentences.gate_title(gate), sentences.gate_detail(gate, judgement), clock_of(gate, now),
            tuple(_actions(gate, judgement, acknowledges)),
            seen is not None and not gate.passed and not gate.keys <= frozenset(seen),
        )
        for gate in gates
    ]  # fmt: skip


def _actions(gate: Gate, judgement: Judgement, acknowledges: bool) -> list[GateAction]:
    if gate.passed:
        return []
    if gate.code is GateCode.ACKNOWLEDGED and acknowledges:
        return [_acknowledge(problem, judgement) for problem in gate.in_the_way]
    return [
        GateAction(_("Open %(problem)s") % {"problem": problem.name}, reverse("problem", args=[problem.number]))
        for problem in gate.in_the_way
    ]


def _acknowledge(problem: ProblemFacts, judgement: Judgement) -> GateAction:
    address = reverse(
        "problem-acknowledge", args=[problem.number, judgement.build.version], query={"to": judgement.to.channel}
    )
    return GateAction(_("Acknowledge %(problem)s…") % {"problem": problem.name}, address)
