"""What a change that is not saved yet does tonight, in words and rows (templates/components/_outlook.html)."""

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from builds.maturity import Move
from releasemgr.lib.choices import Colour
from releasemgr.pages.effects import Row, rows_of
from upgrades.services.outlooks import Outlook
from upgrades.services.planning import Effect

ROWS_SHOWN = 50


@dataclass(frozen=True)
class Tonight:
    """`sentences` follow “If saved:”. `rows` are the sites whose night differs, `more` how many are left out."""

    colour: Colour
    sentences: list[str]
    rows: list[Row]
    more: int


def tonight_of(outlook: Outlook) -> Tonight:
    """Sites that stop come first, since they are what a person may not want."""
    stopping, starting = outlook.stopping, outlook.starting
    others = [effect for effect in outlook.changed if effect not in stopping and effect not in starting]
    rows = rows_of([*stopping, *starting, *others])
    sentences = [*_moved(outlook), *_counted(stopping, starting, others)]
    return Tonight(
        Colour.WARN if stopping else Colour.RUN,
        sentences or [_("nothing is different tonight.")],
        rows[:ROWS_SHOWN],
        max(0, len(rows) - ROWS_SHOWN),
    )


def _moved(outlook: Outlook) -> list[str]:
    """What the night promotes by itself (R10), as far as the change makes it."""
    before, after = _names(outlook.moves_before), _names(outlook.moves_after)
    new = [_("tonight %(version)s is promoted to %(channel)s by itself.") % values
           for key, values in after.items() if key not in before]  # fmt: skip
    gone = [_("tonight %(version)s is not promoted to %(channel)s by itself.") % values
            for key, values in before.items() if key not in after]  # fmt: skip
    return new + gone


def _names(moves: tuple[Move, ...]) -> dict[tuple[int, int], dict[str, str]]:
    return {(move.build.id, move.to): {"version": move.build.version, "channel": move.to.channel} for move in moves}


def _counted(stopping: list[Effect], starting: list[Effect], others: list[Effect]) -> list[str]:
    counts = [
        (len(stopping), ngettext(
            "%(n)d site waits tonight that would have upgraded.",
            "%(n)d sites wait tonight that would have upgraded.", len(stopping),
        )),
        (len(starting), ngettext(
            "%(n)d site upgrades tonight that would have stayed.",
            "%(n)d sites upgrade tonight that would have stayed.", len(starting),
        )),
        (len(others), ngettext(
            "%(n)d site gets another target or way.", "%(n)d sites get another target or way.", len(others),
        )),
    ]  # fmt: skip
    return [words % {"n": number} for number, words in counts if number]
