"""The verbs for sites and hosts. Pages, commands and the night call these and nothing else."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from builds.models import Build
from instances.choices import Kind
from instances.exceptions import DowngradeRefused, HostKeyMismatch, TargetChanged, TargetRefused, UnknownSite
from instances.models import Host, Instance, Target, TargetChange
from releasemgr.lib.actors import Actor

DEFAULT_CHANNEL = {Kind.LIVE: "release", Kind.TEST: "beta"}


def default_target(kind: Kind) -> Target:
    """What a new site follows unless said otherwise (T1)."""
    return Target(channel=DEFAULT_CHANNEL[kind])


def site_named(slug: str) -> Instance:
    """Raises UnknownSite."""
    return sites_named([slug])[0]


def sites_named(slugs: Sequence[str]) -> list[Instance]:
    """Each once, ordered by name. Raises UnknownSite, which names every one that is not there."""
    found = list(Instance.objects.for_list().filter(slug__in=slugs))
    missing = sorted(set(slugs) - {site.slug for site in found})
    if missing:
        raise UnknownSite(f"No site is named {', '.join(missing)}.")
    return found


def check_target(instance: Instance, target: Target) -> None:
    """Raises TargetRefused where this target may not be set (R3, R9, T2), DowngradeRefused for T4."""
    if target.build is None or target.build.pk == instance.target_build_id:
        return
    _check_pinnable(target.build)
    if instance.reported_key is not None and target.build.version_key < instance.reported_key:
        raise DowngradeRefused(
            f"{instance} runs {instance.reported_version}. {target.build} is older, and going back is refused."
        )


def _check_pinnable(build: Build) -> None:
    facts = build.facts()
    if facts.withdrawn:
        raise TargetRefused(f"{build} was withdrawn. Choose another build.")
    if facts.quarantined:
        raise TargetRefused(f"The artefact of {build} no longer matches its checksum. Choose another build.")
    if not facts.smoke_passed:
        raise TargetRefused(f"The smoke tests of {build} have not passed. Choose a build that passed.")


def set_target(
    instance: Instance, target: Target, *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None
) -> TargetChange | None:
    """Sets what a site should run and records it (T1). None where it is so already.

    `seen` is the number of the last change that the person saw, 0 for none; None does not compare. Raises
    TargetRefused, DowngradeRefused or TargetChanged, and then changes nothing.
    """
    with transaction.atomic():
        locked = Instance.objects.select_for_update(of=("self",)).select_related("target_build").get(pk=instance.pk)
        if locked.target == target:
            return None
        _check_seen(locked, seen)
        target = _as_it_is_now(target)
        check_target(locked, target)
        change = record_target(locked, target, before=locked.target, actor=actor, now=now, reason=reason)
        locked.target_channel_id, locked.target_build = target.channel, target.build
        locked.save(update_fields=["target_channel", "target_build"])
    instance.target_channel_id, instance.target_build = target.channel, target.build
    return change


def _check_seen(locked: Instance, seen: int | None) -> None:
    latest = locked.target_changes.values_list("pk", flat=True).first() or 0
    if seen is not None and seen != latest:
        raise TargetChanged(f"The target of {locked} was changed by someone else meanwhile. Nothing was saved.")


def _as_it_is_now(target: Target) -> Target:
    """The build may have been withdrawn since the caller read it."""
    return Target(build=Build.objects.get(pk=target.build.pk)) if target.build else target


def record_target(
    instance: Instance,
    target: Target,
    *,
    before: Target | None,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> TargetChange:
    return TargetChange.objects.create(
        instance=instance, at=now, by=actor.user, origin=actor.origin, reason=reason.strip(),
        from_channel_id=before.channel if before else None, from_build=before.build if before else None,
        to_channel_id=target.channel, to_build=target.build,
    )  # fmt: skip


def note_version(instance: Instance, raw: str, *, now: datetime) -> bool:
    """Keeps what a site reported (P10), and whether that is drift: another version than it reported before.

    Looks the site up anew, so that nothing else of the row is written.
    """
    with transaction.atomic():
        locked = Instance.objects.select_for_update().get(pk=instance.pk)
        drifted = locked.report(raw, now=now)
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
    return True
