"""What is known of hosts, and what sites report: kept as the night and the checks find it."""

from datetime import datetime

from django.db import transaction

from instances.exceptions import HostKeyMismatch
from instances.host_keys import shown_fingerprint
from instances.models import REPORTED, Host, HostAuthority, Instance
from instances.services.input import reason_fault, refuse
from releasemgr.lib.actors import Actor
from releasemgr.lib.history.services import record

CONTACT_FIELDS = [
    "contacted_at", "failure", "failing_since", "signed_in_at", "signed_in_as", "refused_since", "refused_as",
]  # fmt: skip
KEY_FIELDS = [
    "host_key", "host_key_approved_by", "host_key_approved_at", "host_key_authority", "offered_key", "offered_at",
]  # fmt: skip


def note_version(instance: Instance, raw: str, *, now: datetime, late: bool = False) -> bool:
    """Keeps what a site reported (P10), and whether that is drift: another version than it reported before.

    Looks the site up anew, so that nothing else of the row is written. A `late` answer is none where the site has
    reported since the caller read it: it may have been given before that.
    """
    with transaction.atomic():
        locked = Instance.objects.select_for_update(no_key=True).get(pk=instance.pk)
        overtaken = late and locked.reported_at != instance.reported_at
        drifted = not overtaken and locked.report(raw, now=now)
    instance.refresh_from_db(fields=REPORTED)
    return drifted


def note_contact(host: Host, *, now: datetime, identity: str) -> None:
    """Keeps that a host let us in with this key."""
    host.contacted_at = host.signed_in_at = now
    host.signed_in_as, host.failing_since, host.failure = identity, None, ""
    host.refused_since, host.refused_as = None, ""
    host.save(update_fields=CONTACT_FIELDS)


def note_failure(host: Host, failure: str, *, now: datetime, refused: str | None = None) -> None:
    """Keeps why a host could not be worked on. `refused` is the key that it did not take, where that was why."""
    host.contacted_at, host.failure = now, failure
    host.failing_since = host.failing_since or now
    again = host.refused_since is not None and host.refused_as == refused
    host.refused_since = None if refused is None else host.refused_since if again else now
    host.refused_as = refused or ""
    host.save(update_fields=CONTACT_FIELDS)


def note_offered_key(host: Host, key: str, *, now: datetime) -> None:
    """Keeps a key that the host offers and that is not the approved one. Every upgrade there waits (U6)."""
    if key == host.host_key:
        return
    Host.objects.filter(pk=host.pk).exclude(offered_key=key).update(offered_key=key, offered_at=now)


def ask_for_key(host: Host, *, now: datetime) -> None:
    """Keeps that somebody wants to know its key: a worker asks for it."""
    host.scan_asked_at = now
    host.save(update_fields=["scan_asked_at"])


def note_scan(host: Host, *, now: datetime, key: str = "", failure: str = "") -> None:
    """Keeps what asking a host for its key brought: the key, or why there is none."""
    Host.objects.filter(pk=host.pk).update(scanned_at=now, scan_failure=failure)
    if key:
        note_offered_key(host, key, now=now)
    host.refresh_from_db()


def key_with(host: Host, wanted: str) -> str:
    """The host's key with this fingerprint: the one that it offers, or the approved one. Raises HostKeyMismatch."""
    known = {shown_fingerprint(key): key for key in (host.host_key, host.offered_key) if key}
    if wanted in known:
        return known[wanted]
    if not known:
        raise HostKeyMismatch(f"{host} has not offered a key yet. Scan it first.")
    said = {"approved": shown_fingerprint(host.host_key), "offered": shown_fingerprint(host.offered_key)}
    told = ", ".join(f"{name} {mark}" for name, mark in said.items() if mark)
    raise HostKeyMismatch(f"No key of {host} has the fingerprint {wanted}. Known: {told}.")


@transaction.atomic
def approve_host_key(host: Host, *, seen: str, actor: Actor, now: datetime, reason: str = "") -> bool:
    """Pins the key that the host offers, if it is the one that the person saw (U6).

    In place of another one that needs a reason. Approving the pinned key once more dismisses another one that was
    offered. Whether this call changed something. Raises HostKeyMismatch, or InvalidInput for the reason.
    """
    if not seen:
        raise HostKeyMismatch(f"{host} has not offered a key yet.")
    row = Host.objects.select_for_update().get(pk=host.pk)
    if row.host_key == seen and not (row.offered_key or row.host_key_authority_id):
        return False
    if seen not in (row.host_key, row.offered_key):
        raise HostKeyMismatch(f"{host} now offers another key than the one you saw. Compare the new fingerprint.")
    if row.host_key and row.host_key != seen:
        refuse({"reason": reason_fault(reason)})
    pin_key(row, seen, actor=actor, now=now, reason=reason, dismiss=True)
    host.refresh_from_db()
    return True


def pin_key(
    host: Host, key: str, *, actor: Actor, now: datetime, reason: str = "", dismiss: bool = False,
    authority: HostAuthority | None = None,
) -> None:  # fmt: skip
    """For a caller that holds the row. Another key that the host offers waits on, unless `dismiss`."""
    before = {"host_key": host.host_key}
    host.host_key, host.host_key_approved_by, host.host_key_approved_at = key, actor.user, now
    host.host_key_authority = authority
    if dismiss or host.offered_key == key:
        host.offered_key, host.offered_at = "", None
    host.save(update_fields=KEY_FIELDS)
    record("host.key_approved", host, actor=actor, now=now, before=before, after={"host_key": key}, reason=reason)


def unpin_key(host: Host, *, actor: Actor, now: datetime, reason: str) -> None:
    """Trusts its key no longer: nothing runs there before another one is approved. For a caller that holds the row."""
    before = {"host_key": host.host_key}
    host.host_key, host.host_key_approved_by, host.host_key_approved_at = "", None, None
    host.host_key_authority = None
    host.save(update_fields=KEY_FIELDS)
    record("host.key_revoked", host, actor=actor, now=now, before=before, after={"host_key": ""}, reason=reason)
