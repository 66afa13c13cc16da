"""What can go wrong with sites and hosts. Each message is a sentence for a person."""


class InstanceError(Exception):
    """Its text says what was refused and why."""


class UnknownSite(InstanceError):
    """No site has this name."""


class TargetRefused(InstanceError):
    """The build is withdrawn, quarantined or not smoke tested (R3, R9, T2)."""


class DowngradeRefused(TargetRefused):
    """The pin is older than the current version (T4)."""


class TargetChanged(InstanceError):
    """Someone else set the target after the caller looked (T7)."""


class HostKeyMismatch(InstanceError):
    """The fingerprint that the person saw is not the one that the host offers now (U6)."""


class FleetInvalid(InstanceError):
    """A fleet file was refused as a whole. `errors` has a line for each fault: where it is and what it is."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors
