"""The results of a night as a table for a terminal: one line for each site."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from releasemgr.lib.choices import Colour
from upgrades.choices import EndCode, Outcome
from upgrades.halting import HaltCode
from upgrades.models import Decision, Run, Upgrade
from upgrades.plan import GOING, Code, Rule
from upgrades.sentences import LOOKS, end_sentence, halt_sentence, rule_sentence

Paint = Callable[[Colour, str], str]
HEADINGS = ("Site", "From", "To", "Outcome", "Took", "")


@dataclass(frozen=True)
class Row:
    site: str
    before: str
    after: str
    outcome: str
    took: str
    why: str
    colour: Colour = Colour.IDLE

    @property
    def cells(self) -> tuple[str, ...]:
        return self.site, self.before, self.after, self.outcome, self.took, self.why


def table(run: Run, paint: Paint) -> Iterator[str]:
    """Lines: the sites that were to be upgraded in the run's order, then those left alone, then the totals."""
    upgrades = list(run.upgrades.for_list())
    kept = [one for one in _decisions(run) if one.code not in GOING]
    rows = [*map(_upgraded, upgrades), *map(_left_alone, kept)]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *(row.cells for row in rows), strict=True)]
    yield _line(HEADINGS, widths)
    for row in rows:
        line = _line(row.cells, widths)
        yield line.replace(row.outcome, paint(row.colour, row.outcome), 1)
    yield ""
    yield totals(upgrades, kept)
    for halt in run.halts.all():
        yield f"The run was halted: {halt_sentence(HaltCode(halt.code), halt.values)}"


def totals(upgrades: list[Upgrade], kept: list[Decision]) -> str:
    outcomes = Counter(Outcome(one.outcome) for one in upgrades if one.outcome)
    ended = ", ".join(f"{count} {outcome.label.lower()}" for outcome, count in outcomes.most_common())
    codes = Counter(Code(one.code) for one in kept)
    alone = ", ".join(f"{count} {str(LOOKS[code].label).lower()}" for code, count in codes.most_common())
    return f"{len(upgrades)} upgrades: {ended}. {len(kept)} sites were left alone: {alone}."


def _decisions(run: Run) -> Iterator[Decision]:
    yield from run.decisions.select_related("instance", "build")


def _upgraded(upgrade: Upgrade) -> Row:
    outcome = Outcome(upgrade.outcome) if upgrade.outcome else None
    took = f"{upgrade.took.total_seconds():.1f} s" if upgrade.took else "–"
    return Row(
        upgrade.instance.slug, upgrade.from_version, upgrade.build.version, str(upgrade.status.label), took,
        _why(upgrade, outcome) if outcome and outcome is not Outcome.SUCCEEDED else "",
        upgrade.status.colour,
    )  # fmt: skip


def _why(upgrade: Upgrade, outcome: Outcome) -> str:
    said = upgrade.first_error
    sentence = end_sentence(outcome, EndCode(upgrade.end_code), upgrade.end_values)
    return f"{sentence} {said}".strip()


def _left_alone(decision: Decision) -> Row:
    code = Code(decision.code)
    deciding = next(check for check in decision.checks if check["code"] == code)
    sentence = rule_sentence(Rule(deciding["rule"]), code, deciding["values"])
    to = decision.build.version if decision.build else "–"
    look = LOOKS[code]
    return Row(decision.instance.slug, decision.from_version, to, str(look.label), "", sentence, look.colour)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
