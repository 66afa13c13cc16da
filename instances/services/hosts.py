"""What is known of hosts, and what sites report: kept as the night and the checks find it."""

from datetime import datetime

from django.db import transaction
from django.db.models import Q

from instances.exceptions import HostKeyMismatch
from instances.models import Host, Instance
from releasemgr.lib.actors import Actor
from releasemgr.lib.history.services import record


def note_version(instance: Instance, raw: str, *, now: datetime, late: bool = False) -> bool:
    """Keeps what a site reported (P10), and whether that is drift: another version than it reported before.

    Looks the site up anew, so that nothing else of the row is written. A `late` answer is none where the site has
    reported since the caller read it: it may have been given before that.
    """
    with transaction.atomic():
        locked = Instance.objects.select_for_update(no_key=True).get(pk=instance.pk)
        overtaken = late and locked.reported_at != instance.reported_at
        drifted = not overtaken and locked.report(raw, now=now)
    instance.refresh_from_db(fields=["reported_version", "reported_key", "reported_at"])
    return drifted


def note_contact(host: Host, *, now: datetime, failure: str = "") -> None:
    """Keeps whether the last contact with a host worked; `failure` says why not."""
    host.contacted_at, host.failure = now, failure
    host.failing_since = (host.failing_since or now) if failure else None
    host.save(update_fields=["contacted_at", "failure", "failing_since"])


def note_offered_key(host: Host, key: str, *, now: datetime) -> None:
    """Keeps a key that the host offers and that is not the approved one. Every upgrade there waits (U6)."""
    if key == host.host_key:
        return
    Host.objects.filter(pk=host.pk).exclude(offered_key=key).update(offered_key=key, offered_at=now)


@transaction.atomic
def approve_host_key(host: Host, *, seen: str, actor: Actor, now: datetime) -> bool:
    """Pins the key that the host offers, if it is the one that the person saw (U6).

    Approving the pinned key once more dismisses another one that was offered. Whether this call changed
    something. Raises HostKeyMismatch.
    """
    if not seen:
        raise HostKeyMismatch(f"{host} has not offered a key yet.")
    if host.host_key == seen and not host.offered_key:
        return False
    approved = Host.objects.filter(Q(offered_key=seen) | Q(host_key=seen), pk=host.pk).update(
        host_key=seen, offered_key="", offered_at=None, host_key_approved_by=actor.user, host_key_approved_at=now
    )  # fmt: skip
    if not approved:
        raise HostKeyMismatch(f"{host} now offers another key than the one you saw. Compare the new fingerprint.")
    before, after = {"host_key": host.host_key}, {"host_key": seen}
    record("host.key_approved", host, actor=actor, now=now, before=before, after=after)
    return True
