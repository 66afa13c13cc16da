"""How an upgrade ends that could not begin: nothing was touched, and why (U2)."""

from datetime import datetime

from builds.services import quarantine_build
from instances.services import foreign_words, note_foreign_mark
from upgrades.choices import EndCode, Outcome
from upgrades.contact import HostAddress
from upgrades.exceptions import (
    ArtifactDamaged,
    ConnectionLost,
    HostKeyChanged,
    HostKeyUnknown,
    JumpFailed,
    OtherSite,
    RecipeInvalid,
    SecretUnusable,
    SignInRefused,
    SiteLocked,
    Unreachable,
    VersionUnreadable,
)
from upgrades.first_error import trouble_fingerprint
from upgrades.models import Upgrade

LONGEST_TEXT = 2000  # characters of what a host said, in a sentence
CODES: tuple[tuple[type[Exception], EndCode], ...] = (
    (HostKeyUnknown, EndCode.HOST_KEY),
    (HostKeyChanged, EndCode.HOST_KEY),
    (SignInRefused, EndCode.SIGN_IN),
    (SiteLocked, EndCode.SITE_LOCKED),
    (OtherSite, EndCode.OTHER_SITE),
    (VersionUnreadable, EndCode.VERSION_UNREADABLE),
    (RecipeInvalid, EndCode.RECIPE_INVALID),
    (SecretUnusable, EndCode.SECRET_UNUSABLE),
    (ArtifactDamaged, EndCode.ARTIFACT_DAMAGED),
    (JumpFailed, EndCode.JUMP_HOST),
    (Unreachable, EndCode.UNREACHABLE),
    (ConnectionLost, EndCode.UNREACHABLE),
)


def block(upgrade: Upgrade, error: Exception, address: HostAddress, *, now: datetime, text: str = "") -> None:
    """A damaged artefact is used by nobody any more (R2), and a directory of another site is kept in mind.

    `text` is what the error says, where that may hold a secret.
    """
    text = text or plain(error)
    if isinstance(error, ArtifactDamaged):
        quarantine_build(upgrade.build, now=now)
    if isinstance(error, OtherSite):
        note_foreign_mark(upgrade.instance, error.mark)
        text = foreign_words(upgrade.instance)
    code = next((code for kind, code in CODES if isinstance(error, kind)), EndCode.START_FAILED)
    values = {"site": upgrade.instance.slug, "host": address.name, "text": text}
    upgrade.end(Outcome.BLOCKED, code, now=now, shared=_shared(error, address), **values)


def _shared(error: Exception, address: HostAddress) -> str:
    """The fingerprint of a trouble that is not this host's own."""
    if isinstance(error, JumpFailed):
        return trouble_fingerprint("jump", error.hop.name)
    return trouble_fingerprint("key", address.identity) if isinstance(error, SignInRefused) else ""


def plain(error: Exception) -> str:
    """What an error says, as the database can keep it."""
    return str(error).strip().replace("\0", "\ufffd")[:LONGEST_TEXT]
