"""The bar above every page while nothing works in the background, which no page shows otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from releasemgr.lib import words
from releasemgr.lib.heartbeats.services import CONTROL, SCHEDULE, UPGRADES, silences


class Worded(NamedTuple):
    """What to say of something that is silent: if it never was heard, since when it was not, and what follows."""

    name: str
    never: str | Promise
    lasting: str | Promise
    more: str | Promise


WORDS: Sequence[Worded] = (
    Worded(
        CONTROL, _("No worker has answered yet."), _("No worker has answered for %s."),
        _("No night begins and nothing is checked; what runs on hosts runs on."),
    ),
    Worded(
        SCHEDULE, _("The schedule has not run yet."), _("The schedule has not run for %s."),
        _("No night begins by itself; what runs on hosts runs on."),
    ),
    Worded(
        UPGRADES, _("No upgrade worker has answered yet."), _("No upgrade worker has answered for %s."),
        _("No upgrade begins; what runs on hosts runs on, and is read once one answers."),
    ),
)  # fmt: skip
"""In this order: while the one before is silent, nobody asks the next."""


@dataclass(frozen=True)
class EngineBar:
    strong: str
    more: str


def engine_bar() -> EngineBar | None:
    """Of the first that is silent. One query."""
    silent = silences()
    for worded in WORDS:
        if worded.name in silent:
            return EngineBar(strong_words(worded, silent[worded.name]), str(worded.more))
    return None


def strong_words(worded: Worded, lasts: timedelta | None) -> str:
    """To the minute."""
    if lasts is None:
        return str(worded.never)
    return str(worded.lasting) % words.took(timedelta(minutes=lasts // timedelta(minutes=1)))
