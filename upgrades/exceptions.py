"""What can go wrong with runs and upgrades. Each message is a sentence for a person."""


class UpgradeError(Exception):
    """Its text says what was refused and why."""


class UpgradeChanged(UpgradeError):
    """The upgrade is not in the state that the caller saw; nothing was done."""


class NothingToUpgrade(UpgradeError):
    """A manual run was asked for no site at all."""


class ReasonMissing(UpgradeError):
    """Unlocking a site needs a reason."""
