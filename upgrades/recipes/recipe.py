"""A recipe: the ordered steps of an upgrade and the ordered way back."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

STEP_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


class Kind(StrEnum):
    HOST = "host"
    """Its steps run on the site's host."""
    FABFILE = "fabfile"
    """Its steps run on the dashboard's machine: they run a task of the team's own fabfile."""


class Phase(StrEnum):
    """In the order in which they run; what a failure means differs by phase."""

    CHECK = "check"
    """Nothing has been touched yet: a failure blocks the upgrade."""
    PREPARE = "prepare"
    """The running version is not touched: a failure ends clean, after the way back."""
    CHANGE = "change"
    """A failure begins the way back."""
    VERIFY = "verify"
    """A failure begins the way back."""
    FINISH = "finish"
    """The upgrade has succeeded: a failure is a warning."""
    BACK = "back"
    """Steps of the way back; not written in a recipe's steps."""


FORWARD = [Phase.CHECK, Phase.PREPARE, Phase.CHANGE, Phase.VERIFY, Phase.FINISH]
UNTIL_CHANGED = (Phase.CHECK, Phase.PREPARE, Phase.CHANGE)


@dataclass(frozen=True)
class Step:
    name: str
    title: str
    phase: Phase
    run: str
    """A script of the recipe: a file of its folder, or made of the step's one line."""
    timeout: int
    """Seconds."""
    undoes: str | None = None
    """Only of a step of the way back: it runs when the step of this name had begun."""


@dataclass(frozen=True)
class Recipe:
    name: str
    title: str
    version_script: str
    steps: tuple[Step, ...]
    way_back: tuple[Step, ...]
    scripts: Mapping[str, bytes]
    """By name: those shared by all recipes and of its folder, and those made of the lines kept in the recipe itself."""
    values: Mapping[str, str] = field(default_factory=dict)
    """What its scripts find in their environment where the site has nothing of its own, by name."""
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Further values, which no site sets for itself."""
    secrets: tuple[str, ...] = ()
    """Further variables of its steps, whose values the dashboard's machine holds (U8)."""
    kind: Kind = Kind.HOST
    runner_version: str | None = None
    """The script by which the runner asks for the version; None where it is `version_script` itself."""
    way_down: bool = False
    """Whether its steps also lead to an older version, when DIRECTION is down (T4)."""
    usually: timedelta | None = None
    """How long an upgrade takes where the site's past does not tell (P6)."""
    point_of_no_return: str | None = None
    """The last step before which an upgrade can still be stopped (R9); None: before every one."""

    @property
    def version_program(self) -> bytes:
        """What the site's host is asked with."""
        return self.scripts[self.version_script]
