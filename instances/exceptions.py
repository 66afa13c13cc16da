"""What can go wrong with sites and hosts. Each message is a sentence for a person."""

from collections.abc import Mapping, Sequence


class InstanceError(Exception):
    """Its text says what was refused and why."""


class UnknownSite(InstanceError):
    """No site has this name."""


class UnknownHost(InstanceError):
    """No host has this name."""


class UnknownAuthority(InstanceError):
    """No authority for host keys has this fingerprint."""


class UnknownCustomer(InstanceError):
    """No customer has this name."""


class UnknownTag(InstanceError):
    """No tag has this name."""


class UnknownFreeze(InstanceError):
    """No freeze has this number."""


class InvalidInput(InstanceError):
    """What was given is refused; nothing was saved.

    `errors` has sentences by the name of the field, under "" what belongs to none or to several.
    """

    def __init__(self, errors: Mapping[str, Sequence[str]]) -> None:
        told = [f"{name}: {one}" if name else one for name, found in errors.items() for one in found]
        super().__init__(" ".join(told))
        self.errors = {name: list(found) for name, found in errors.items()}


class StillInUse(InstanceError):
    """Something hangs on what was to be deleted."""


class TargetRefused(InstanceError):
    """The build is withdrawn, quarantined or not smoke tested (R3, R9, T2). `field` names what was wrong."""

    field = "build"


class ReasonMissing(TargetRefused):
    """A pin needs a reason (T2, T4)."""

    field = "reason"


class PinEndRefused(TargetRefused):
    """The pin would be over at once, or can never end like that (T2)."""

    field = "ends"


class DowngradeRefused(TargetRefused):
    """The pin is older than the current version (T4)."""


class TargetsRefused(InstanceError):
    """Not every site may have this target, so none has it (T9). `refusals` says why not, by the site's name."""

    def __init__(self, refusals: Mapping[str, TargetRefused]) -> None:
        super().__init__("\n".join(dict.fromkeys(str(refused) for refused in refusals.values())))
        self.refusals = dict(refusals)


class NothingToUndo(InstanceError):
    """No act on sites that could be taken back is meant."""


class Overtaken(InstanceError):
    """Sites were changed again after the act that was to be taken back, so none of it is (T9)."""

    def __init__(self, sites: Sequence[str]) -> None:
        super().__init__(f"Changed again meanwhile: {', '.join(sites)}. Nothing was taken back.")
        self.sites = list(sites)


class HostKeyMismatch(InstanceError):
    """The fingerprint that the person saw is not the one that the host offers now (U6)."""


class VouchesForOthers(InstanceError):
    """The authority vouches for other hosts than the person saw (U6)."""

    def __init__(self, authority: object) -> None:
        super().__init__(f"{authority} vouches for other hosts than you saw. Nothing was changed. Compare and confirm.")


class DirectoryMismatch(InstanceError):
    """The directory is not marked as the person saw it."""


class FleetInvalid(InstanceError):
    """A fleet file was refused as a whole. `errors` has a line for each fault: where it is and what it is."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors
