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


class ReasonMissing(BuildError):
    """Demoting and withdrawing need a reason (R5, R9)."""


class PromotionRefused(BuildError):
    """A gate does not pass; `judgement` says which, why and when (R11)."""

    def __init__(self, message: str, judgement: Judgement) -> None:
        super().__init__(message)
        self.judgement = judgement


class BuildChanged(BuildError):
    """Someone else changed the build in between; nothing was done."""
