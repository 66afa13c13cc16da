"""Who works on what: leases on hosts by the database's time, and the start of an upgrade (U1, P9)."""

import uuid
from collections.abc import Collection
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from instances.models import Host, Instance
from upgrades.choices import BEGUN, EndCode, Outcome, UpgradeState
from upgrades.exceptions import UpgradeChanged
from upgrades.models import HostLease, Upgrade
from upgrades.plan import Decision
from upgrades.sentences import decision_sentence
from upgrades.services.planning import decide_at_start
from upgrades.services.slots import LEASE


def claim_hosts(token: uuid.UUID, *, most: int, now: datetime) -> list[Host]:
    """Takes free hosts on which something is due or under way, at most so many.

    A host whose lease ran out is free: its holder is dead or cut off, and what runs there is attached to again.
    Our own is not free for us, also when it ran out: we have a thread there, or have set the host aside.
    One query while there is nothing to take.
    """
    wanted = _free_hosts_with_work(now)
    if not wanted:
        return []
    HostLease.objects.bulk_create([HostLease(host_id=pk) for pk in wanted], ignore_conflicts=True)
    with transaction.atomic():
        free = HostLease.objects.filter(host_id__in=wanted, until__lt=Now()).exclude(token=token).order_by("host_id")
        taken = list(free.select_for_update(skip_locked=True).values_list("host_id", flat=True)[:most])
        HostLease.objects.filter(host_id__in=taken).update(token=token, until=Now() + LEASE)
    return list(Host.objects.filter(pk__in=taken))


def _free_hosts_with_work(now: datetime) -> list[int]:
    due = Q(state=UpgradeState.WAITING, run__starts_at__lte=now, run__ends_at__gt=now)
    busy = Upgrade.objects.filter(due | Q(state__in=BEGUN))
    free = busy.filter(Q(instance__host__lease=None) | Q(instance__host__lease__until__lt=Now()))
    return list(free.order_by().values_list("instance__host_id", flat=True).distinct())


def renew(token: uuid.UUID) -> set[int]:
    """Keeps every lease that is still ours, also one that ran out but that nobody took. The hosts."""
    ours = HostLease.objects.filter(token=token)
    ours.update(until=Now() + LEASE)
    return set(ours.values_list("host_id", flat=True))


def due_on(hosts: Collection[int], *, now: datetime) -> dict[int, list[int]]:
    """The numbers of what is due on these hosts, in the order of their turn, by host. One query."""
    due: dict[int, list[int]] = {host: [] for host in hosts}
    rows = Upgrade.objects.claimable(now).filter(instance__host__in=hosts)
    for host, number in rows.values_list("instance__host_id", "pk"):
        due[host].append(number)
    return due


def still_held(token: uuid.UUID, hosts: Collection[int]) -> set[int]:
    """Which of these hosts are ours, locked until the transaction ends: the fence before every write."""
    ours = HostLease.objects.select_for_update().filter(host_id__in=hosts, token=token).order_by("host_id")
    return set(ours.values_list("host_id", flat=True))


def release(token: uuid.UUID, hosts: Collection[int] | None = None) -> None:
    """Gives these hosts, or all that are ours, to whoever claims next."""
    ours = HostLease.objects.filter(token=token)
    (ours if hosts is None else ours.filter(host_id__in=hosts)).update(until=Now(), token=uuid.uuid4())


def begin(upgrade: Upgrade, *, now: datetime) -> bool:
    """Starts a waiting upgrade if the plan still says so, else ends it as skipped, with the reason (P9).

    Whether it starts. The site's row is held meanwhile, so that a change of its target comes before or after.
    """
    try:
        with transaction.atomic():
            sites = Instance.objects.select_for_update(of=("self",)).select_related("host", "customer", "target_build")
            decision = decide_at_start(upgrade, sites.get(pk=upgrade.instance_id), now=now)
            refusal = _refusal(upgrade, decision)
            if refusal:
                upgrade.end(Outcome.SKIPPED, EndCode.REPLANNED, now=now, text=refusal)
                return False
            upgrade.move(UpgradeState.STARTING, now=now, started_at=now)
    except (IntegrityError, UpgradeChanged):
        return False
    return True


def _refusal(upgrade: Upgrade, decision: Decision) -> str:
    """Why it may not start any more; empty where it may."""
    if not decision.upgrades or decision.to is None:
        return decision_sentence(decision)
    if decision.to.id != upgrade.build_id:
        return _("Its target means %(version)s now.") % {"version": decision.to.version}
    if decision.site.reported != upgrade.from_version:
        return _("The site reports %(version)s now.") % {"version": decision.site.reported}
    return ""
