"""Authorities for host keys: adding and removing them, and what they vouch for (U6)."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from django.db import transaction

from instances.exceptions import UnknownAuthority, VouchesForOthers
from instances.host_keys import key_bytes, shown_fingerprint
from instances.models import Host, HostAuthority, Installation
from instances.services.hosts import pin_key, unpin_key
from instances.services.input import reason_fault, refuse
from releasemgr.lib.actors import AUTOMATIC, Actor
from releasemgr.lib.history.services import record, refuse_unless_seen


@transaction.atomic
def add_authority(
    names: str, key: str, *, actor: Actor, now: datetime, reason: str, seen: int | None = None
) -> HostAuthority:
    """Trusts what this key signs, on these hosts. One that is there gets these names.

    `seen` is the last change of any authority that the caller saw. Raises InvalidInput or ChangedMeanwhile.
    """
    key = " ".join(key.split()[:2])
    refuse({"names": _names_fault(names), "key": _key_fault(key), "reason": reason_fault(reason)})
    Installation.objects.select_for_update().get_or_create(pk=1)  # the same key twice at once
    refuse_unless_seen(HostAuthority, seen)
    found = _locked(key)
    before = {"names": found.names} if found else {}
    row = found or HostAuthority(key=key)
    row.names, row.added_at, row.added_by, row.reason = names, now, actor.user, reason.strip()
    row.save()
    after = {"names": names, "host_key": key}
    record("authority.added", row, actor=actor, now=now, before=before, after=after, reason=reason)
    return row


def _names_fault(names: str) -> str:
    if not names.strip() or len(names.split()) != 1 or names.startswith("|") or len(names) > 1000:
        return "Patterns of host names, with commas and without blanks, such as *.example.net."
    return ""


def _key_fault(key: str) -> str:
    try:
        return "" if key_bytes(key) else "There is no key."
    except ValueError as error:
        return str(error)


@transaction.atomic
def remove_authority(
    fingerprint: str, *, actor: Actor, now: datetime, reason: str, seen: int | None = None,
    shown: Collection[str] | None = None,
) -> list[Host]:  # fmt: skip
    """Trusts it no longer, nor the keys of hosts that it vouched for. Which hosts those are.

    `shown` has the names of the hosts that the caller saw lose their key. Raises UnknownAuthority, InvalidInput for
    the reason, VouchesForOthers or ChangedMeanwhile.
    """
    row = _locked(authority_with(fingerprint).key)
    if row is None:
        raise UnknownAuthority(f"No authority has the fingerprint {fingerprint}.")
    refuse({"reason": reason_fault(reason)})
    refuse_unless_seen(row, seen)
    vouched = list(Host.objects.select_for_update().filter(host_key_authority=row).order_by("pk"))
    if shown is not None and set(shown) != {host.name for host in vouched}:
        raise VouchesForOthers(row)
    for host in vouched:
        unpin_key(host, actor=actor, now=now, reason=reason)
    before = {"names": row.names, "host_key": row.key}
    record("authority.removed", row, actor=actor, now=now, before=before, reason=reason)
    row.delete()
    return vouched


def _locked(key: str) -> HostAuthority | None:
    """Held before the hosts that it vouches for, so that it is not removed while it vouches for another."""
    return HostAuthority.objects.select_for_update().filter(key=key).first()


def authority_with(fingerprint: str) -> HostAuthority:
    """Raises UnknownAuthority."""
    for row in HostAuthority.objects.all():
        if row.fingerprint == fingerprint:
            return row
    raise UnknownAuthority(f"No authority has the fingerprint {fingerprint}.")


def authorities_of(hosts: Iterable[Host]) -> dict[int, tuple[str, ...]]:
    """The keys of the authorities that may vouch for each host, by the host's id. One query."""
    rows: Sequence[HostAuthority] = list(HostAuthority.objects.all())
    return {host.pk: tuple(row.key for row in rows if row.speaks_of(host.address, host.port)) for host in hosts}


@transaction.atomic
def note_certified(host: Host, key: str, authority: str, *, now: datetime) -> None:
    """Approves the key that an authority vouches for. What a person approved stays theirs while it is the same key."""
    if host.host_key == key and not host.offered_key:
        return
    row = _locked(authority)
    if row is None:
        return
    fresh = Host.objects.select_for_update().get(pk=host.pk)
    reason = f"Signed by the authority {shown_fingerprint(authority)}."
    pin_key(fresh, key, actor=AUTOMATIC, now=now, reason=reason, dismiss=True, authority=row)
    host.refresh_from_db()
