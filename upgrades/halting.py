"""When a run stops by itself (P5). Pure: what ended so far, and the limits; out comes a halt or none."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from upgrades.waves import WaveKind

PER_CENT = 100
INCIDENT_LEAST = 3
"""So many unreachable sites at least make a wave an incident."""


class HaltCode(StrEnum):
    CANARY = "canary"
    SHARE = "share"
    SAME_FAILURE = "same_failure"
    UNREACHABLE = "unreachable"
    PERSON = "person"


@dataclass(frozen=True)
class Limits:
    """`share` in per cent: strictly more than that of a wave's planned upgrades, and at least `minimum` of them.

    `canaries` is the number of failed canaries that halts, `same` the number of equal failures in the run.
    """

    share: int = 10
    minimum: int = 2
    canaries: int = 1
    same: int = 3


@dataclass(frozen=True)
class WaveSoFar:
    """`failed` and `unreachable` count what ended since the run was last resumed; `planned` its upgrades, `sites` its
    sites where some of them go in legs (T8).
    """

    number: int
    kind: WaveKind
    planned: int
    failed: int = 0
    unreachable: int = 0
    sites: int | None = None

    @property
    def reachable_at_best(self) -> int:
        """Its sites: one that cannot be reached loses all its legs at once. Without `sites` each upgrade is one."""
        return self.planned if self.sites is None else self.sites


@dataclass(frozen=True)
class Halt:
    """`values` are for the words."""

    code: HaltCode
    wave: int | None = None
    values: Mapping[str, int | str] = field(default_factory=dict)


def judge_run(waves: Sequence[WaveSoFar], failures: Collection[str], limits: Limits) -> Halt | None:
    """`failures` holds the fingerprint of each failure since the run was last resumed, "" where it has none."""
    for wave in waves:
        if halt := _judge_wave(wave, limits):
            return halt
    return _same_failure(failures, limits)


def _judge_wave(wave: WaveSoFar, limits: Limits) -> Halt | None:
    values = {"wave": wave.number, "planned": wave.planned, "failed": wave.failed, "unreachable": wave.unreachable}
    if wave.kind is WaveKind.CANARY:
        if wave.failed >= limits.canaries:
            return Halt(HaltCode.CANARY, wave.number, values | {"limit": limits.canaries - 1})
    elif wave.failed >= limits.minimum and wave.failed * PER_CENT > limits.share * wave.planned:
        return Halt(HaltCode.SHARE, wave.number, values | {"limit": most_allowed(wave.planned, limits)})
    if wave.unreachable >= INCIDENT_LEAST and wave.unreachable * 2 > wave.reachable_at_best:
        return Halt(HaltCode.UNREACHABLE, wave.number, values)
    return None


def _same_failure(failures: Collection[str], limits: Limits) -> Halt | None:
    for fingerprint, number in sorted(Counter(one for one in failures if one).items()):
        if number >= limits.same:
            return Halt(HaltCode.SAME_FAILURE, None, {"number": number, "fingerprint": fingerprint})
    return None


def most_allowed(planned: int, limits: Limits) -> int:
    """How many may fail in a wave of so many before it halts: known before it begins (P5)."""
    return max(limits.share * planned // PER_CENT, limits.minimum - 1)
