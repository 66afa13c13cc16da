"""Whose directory it is: the mark that a host found there, and the word of a person against it."""

from datetime import datetime

from django.db import transaction

from instances.exceptions import DirectoryMismatch
from instances.marks import Mark, mark_words
from instances.models import Installation, Instance
from instances.services.input import locked, reason_fault, refuse
from releasemgr.lib.actors import Actor
from releasemgr.lib.history.services import record

LONGEST_MARK = 200


def installation_number() -> str:
    """Of this installation, made when it is first asked for. One query."""
    return Installation.objects.get_or_create(pk=1)[0].number.hex


def mark_of(site: Instance, installation: str) -> str:
    """What its directory is to say."""
    return str(Mark(installation, site.pk, site.slug))


def note_foreign_mark(site: Instance, mark: str) -> None:
    """Keeps that its directory says that it is another site's: no upgrade begins there."""
    site.foreign_mark = mark.replace("\0", "\ufffd")[:LONGEST_MARK]
    site.save(update_fields=["foreign_mark"])


def foreign_words(site: Instance) -> str:
    """Whose its directory says that it is; empty where it does not say another's. A query where it does."""
    return mark_words(site.foreign_mark, installation_number()) if site.foreign_mark else ""


@transaction.atomic
def claim_directory(site: Instance, *, actor: Actor, now: datetime, reason: str, seen: str | None = None) -> None:
    """Says that the directory is this site's now: the mark found there is replaced at the next contact.

    Holds for exactly that mark. `seen` is the one that the person saw, if that is to be compared. Raises
    DirectoryMismatch, or InvalidInput for the reason.
    """
    [row] = locked([site])
    if not row.foreign_mark:
        raise DirectoryMismatch(f"The directory of {row} is not marked as another site’s. There is nothing to decide.")
    if seen is not None and seen != row.foreign_mark:
        raise DirectoryMismatch(f"The directory of {row} is marked in another way now. Look again.")
    refuse({"reason": reason_fault(reason)})
    row.mark_given_up = row.foreign_mark
    row.save(update_fields=["mark_given_up"])
    said = mark_words(row.foreign_mark, installation_number())
    record(
        "site.directory_claimed", row, actor=actor, now=now, reason=reason,
        before={"directory": said}, after={"directory": str(row)},
    )  # fmt: skip
    site.mark_given_up = row.mark_given_up
