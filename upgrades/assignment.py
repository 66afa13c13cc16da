"""What a host's thread is given to do: one upgrade, with everything it needs to know of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from upgrades.contact import Ground
from upgrades.log_masks import NONE, Secrets
from upgrades.recipes.recipe import Recipe


@dataclass(frozen=True)
class VersionQuestion:
    """How a site is asked for its version: a script and its environment."""

    values: Mapping[str, str]
    script: bytes


@dataclass(frozen=True)
class SecretsInHand:
    """What a host is given, what is hidden of what it prints, and a digest of it."""

    values: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    hidden: Secrets = field(default=NONE, repr=False)
    digest: str = ""
    fault: str = ""
    """Why they cannot be given; empty where they can."""


@dataclass(frozen=True)
class Assignment:
    """One upgrade. `from_key` and `to_key` are sort keys of versions; the offsets are bytes that are kept already."""

    number: int
    begun: bool
    in_doubt: bool
    """It may have begun: whoever handed it out before us is gone, or the answer of the host was lost."""
    ground: Ground
    question: VersionQuestion
    recipe: Recipe
    values: Mapping[str, str]
    artifact: Path
    sha256: str
    from_key: str
    to_key: str
    log_offset: int
    events_offset: int
    back: int = 0
    """Which time a person had its way back run again; 0 for never."""
    secrets: SecretsInHand = SecretsInHand()

    def as_begun(self) -> "Assignment":
        return replace(self, begun=True)

    def as_in_doubt(self) -> "Assignment":
        return replace(self, in_doubt=True)

    @property
    def untouched(self) -> bool:
        """Whether certainly nothing of it has begun on the host."""
        return not (self.begun or self.in_doubt)
