"""Who goes first: test sites, then canaries, then the rest in waves (P4). Pure.

A wave is one stage of one window opening: sites in far-apart zones have canaries of their own, and a wave waits
only for the waves of earlier stages whose windows have opened.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

PER_CENT = 100


class WaveKind(StrEnum):
    TEST = "test"
    CANARY = "canary"
    REST = "rest"


@dataclass(frozen=True)
class WaveSize:
    """A number of sites, or a share in per cent of the live sites that are no canaries."""

    number: int
    is_share: bool = False

    def of(self, sites: int) -> int:
        """How many of so many sites; a share is rounded up, and never nothing."""
        return max(1, -(-self.number * sites // PER_CENT)) if self.is_share else self.number

    def __str__(self) -> str:
        return f"{self.number} %" if self.is_share else str(self.number)


SIZE = re.compile(r"([0-9]{1,5})\s*(%?)")


def parse_sizes(text: str) -> tuple[WaveSize, ...]:
    """“5, 20 %, 50 %”. Raises ValueError with a sentence that says what is accepted."""
    return tuple(_parse_size(part.strip()) for part in text.split(",") if part.strip())


def _parse_size(text: str) -> WaveSize:
    found = SIZE.fullmatch(text)
    size = WaveSize(int(found[1]), bool(found[2])) if found else None
    if size is None or size.number < 1 or (size.is_share and size.number > PER_CENT):
        raise ValueError(f"“{text}” is not a size. Accepted are numbers of sites and shares: 5, 20 %, 50 %.")
    return size


@dataclass(frozen=True)
class Rollout:
    """`canaries` is the share of the live sites of each window in per cent; 0: only those that are tagged."""

    canaries: int = 0
    sizes: tuple[WaveSize, ...] = ()
    pause: timedelta = timedelta(0)


@dataclass(frozen=True)
class Candidate:
    """A site that goes tonight. `canary` says that it is tagged as one."""

    id: int
    slug: str
    live: bool
    canary: bool
    opens_at: datetime


@dataclass(frozen=True)
class Wave:
    """`stage` is 0 for test sites, 1 for canaries, and on for the rest; `sites` are ids in their order."""

    number: int
    stage: int
    kind: WaveKind
    opens_at: datetime
    sites: tuple[int, ...]


def waves_of(going: Sequence[Candidate], rollout: Rollout, salt: str) -> list[Wave]:
    """Every site in exactly one wave, in the order of stages and openings.

    `salt` is the night: canaries are chosen anew each night, and the same for whoever asks about that night.
    """
    staged: dict[tuple[int, datetime], list[Candidate]] = defaultdict(list)
    for opens_at, sites in _by_opening(going).items():
        for stage, members in enumerate(_stages(sites, rollout, salt)):
            if members:
                staged[stage, opens_at] = members
    return [
        Wave(number, stage, _kind(stage), opens_at, tuple(one.id for one in staged[stage, opens_at]))
        for number, (stage, opens_at) in enumerate(sorted(staged), 1)
    ]


def _by_opening(going: Sequence[Candidate]) -> dict[datetime, list[Candidate]]:
    groups: dict[datetime, list[Candidate]] = defaultdict(list)
    for one in sorted(going, key=lambda one: one.slug):
        groups[one.opens_at].append(one)
    return groups


def _stages(sites: list[Candidate], rollout: Rollout, salt: str) -> list[list[Candidate]]:
    """Test sites, canaries, then the rest cut into its waves."""
    live = [one for one in sites if one.live]
    chosen = {one.id for one in _canaries(live, rollout, salt)}
    rest = [one for one in live if one.id not in chosen]
    return [
        [one for one in sites if not one.live],
        [one for one in live if one.id in chosen],
        *_cut(rest, rollout.sizes),
    ]


def _canaries(live: list[Candidate], rollout: Rollout, salt: str) -> list[Candidate]:
    """Those that are tagged, and others until the share is reached (P4)."""
    tagged = [one for one in live if one.canary]
    wanted = WaveSize(rollout.canaries, is_share=True).of(len(live)) if rollout.canaries and live else 0
    others = sorted((one for one in live if not one.canary), key=lambda one: _lot(one, salt))
    return tagged + others[: max(0, wanted - len(tagged))]


def _lot(one: Candidate, salt: str) -> str:
    return hashlib.sha256(f"{salt} {one.slug}".encode()).hexdigest()


def _cut(rest: list[Candidate], sizes: Sequence[WaveSize]) -> list[list[Candidate]]:
    """The last wave takes what is left. Shares are of the whole rest."""
    waves, left = [], rest
    for size in sizes:
        number = size.of(len(rest))
        waves.append(left[:number])
        left = left[number:]
    return [*waves, left]


def _kind(stage: int) -> WaveKind:
    return (WaveKind.TEST, WaveKind.CANARY)[stage] if stage < 2 else WaveKind.REST
