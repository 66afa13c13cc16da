"""What can go wrong with runs and upgrades. Each message is a sentence for a person."""

from collections.abc import Mapping, Sequence

from upgrades.contact import HostAddress


class UpgradeError(Exception):
    """Its text says what was refused and why."""


class UpgradeChanged(UpgradeError):
    """The upgrade is not in the state that the caller saw; nothing was done."""


class ReportedMeanwhile(UpgradeError):
    """The site has reported another version than the caller saw; nothing was done."""


class NothingToUpgrade(UpgradeError):
    """A manual run was asked for no site at all."""


class PlanChanged(UpgradeError):
    """The plan is not the one that the person confirmed; nothing was started."""


class ReasonMissing(UpgradeError):
    """What a person decides about a site or a run needs a reason."""


class PolicyRefused(UpgradeError):
    """`errors` has what is wrong by the field's name."""

    def __init__(self, errors: Mapping[str, Sequence[str]]) -> None:
        super().__init__(" ".join(text for texts in errors.values() for text in texts))
        self.errors = errors


class RunChanged(UpgradeError):
    """The run is not any more as the caller saw it; nothing was done."""


class CancelRefused(UpgradeError):
    """The upgrade cannot be cancelled now; nothing was done."""


class UnknownRun(UpgradeError):
    """No run has this number."""


class UnknownUpgrade(UpgradeError):
    """No upgrade has this number."""


class ContactError(Exception):
    """The text is one sentence for a person, or what the host itself printed."""


class Unreachable(ContactError):
    """No connection came about: refused, no answer in time, no such name, no route."""


class ConnectionLost(ContactError):
    """There was a connection. What runs on the host is not touched by its loss."""


class JumpFailed(ContactError):
    """A host on the way could not be used: `hop` is its address, `error` what it was."""

    def __init__(self, hop: HostAddress, error: ContactError) -> None:
        super().__init__(f"The jump host {hop.name} cannot be used: {error}")
        self.hop, self.error = hop, error


class HostKeyUnknown(ContactError):
    """U6: no key is pinned for this host yet. `fault` says what is wrong with its certificate, if it needs one."""

    def __init__(self, offered_key: str, fault: str = "") -> None:
        super().__init__(fault or "No host key is approved for this host yet.")
        self.offered_key = offered_key


class HostKeyChanged(ContactError):
    """U6: the host offers another key than the pinned one."""

    def __init__(self, pinned: str, offered_key: str) -> None:
        super().__init__("The host offers another key than the approved one.")
        self.pinned = pinned
        self.offered_key = offered_key


class SignInRefused(ContactError):
    """The host was reached and its key is right, but it does not let us in."""


class OtherSite(ContactError):
    """The directory is marked as another site's, or another installation's; nothing was done there."""

    def __init__(self, mark: str) -> None:
        super().__init__(f"The directory is marked as another site’s: {mark}")
        self.mark = mark


class VersionUnreadable(ContactError):
    """The site did not tell its version; the text is what was printed instead."""


class AlreadyBegun(ContactError):
    """An upgrade with this number has begun before, whether it runs or ended."""


class SiteLocked(ContactError):
    """Another upgrade of this site runs."""


class TooLate(ContactError):
    """The host's clock is past the latest moment at which the upgrade may begin."""


class StartFailed(ContactError):
    """The upgrade did not begin; the text is what the host printed."""


class StopFailed(ContactError):
    """The host could not be made to stop an upgrade; the text is what it printed."""


class ArtifactDamaged(ContactError):
    """The artefact on the dashboard's disk is not what was registered; nothing was sent."""


class ThreadBroke(ContactError):
    """A fault of our own while speaking to a host; the text names it."""


class SecretUnusable(Exception):
    """A secret that a recipe names is not there, or cannot be used; the text never holds any of it."""


class RecipeInvalid(Exception):
    """The text names the file and the key."""
