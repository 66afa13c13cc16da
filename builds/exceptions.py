"""What can go wrong with builds. Each message is a sentence for a person."""

from builds.maturity import Judgement


class BuildError(Exception):
    """Its text says what was refused and why."""


class VersionRefused(BuildError):
    """The version does not parse, or another spelling of it is registered (R1)."""


class ArtifactRefused(BuildError):
    """The artefact cannot be read or is empty."""


class CommitRefused(BuildError):
    """The commit is too long, or not one line of text."""


class ChangelogRefused(BuildError):
    """The changelog is not text."""


class ArtifactConflict(BuildError):
    """This version is registered with another SHA-256 (R2): 409 in the API."""


class UnknownBuild(BuildError):
    """No build has this version."""


class UnknownProblem(BuildError):
    """No problem has this number."""


class ReasonMissing(BuildError):
    """Demoting and withdrawing need a reason (R5, R9)."""


class PromotionRefused(BuildError):
    """A gate does not pass; `judgement` says which, why and when (R11)."""

    def __init__(self, message: str, judgement: Judgement) -> None:
        super().__init__(message)
        self.judgement = judgement


class BuildChanged(BuildError):
    """Someone else changed the build in between; nothing was done."""


class FieldRefused(BuildError):
    """One field of what was sent is refused; `field` names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class ProblemRefused(FieldRefused):
    """A problem cannot be like that, or not be closed like that (R7)."""


class PolicyRefused(FieldRefused):
    """A channel cannot have this policy (R6)."""


class SteppingStoneRefused(BuildError):
    """This build cannot be one that every site must pass through (T8)."""


class ReplacementMissing(BuildError):
    """A stepping stone is withdrawn without saying what takes its place, or that nothing does (T8)."""


class SmokeRefused(BuildError):
    """The smoke tests of this build cannot be as was reported (R3)."""


class ArchiveRefused(BuildError):
    """Something needs this build still (R9)."""
