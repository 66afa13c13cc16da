"""Who works on what: leases on hosts by the database's time, and the start of an upgrade (U1, P9)."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from builds.versions import key_of
from instances.models import Host, Instance
from upgrades.choices import EndCode, Outcome, UpgradeState
from upgrades.exceptions import UpgradeChanged
from upgrades.models import HostLease, Policy, Run, Upgrade
from upgrades.plan import Decision
from upgrades.sentences import decision_sentence
from upgrades.services import waves
from upgrades.services.limits import Room, sites_at_a_limit
from upgrades.services.planning import decide_at_starts
from upgrades.services.slots import LEASE


def claim_hosts(token: uuid.UUID, wanted: Sequence[int], *, most: int) -> list[Host]:
    """Takes the first of these hosts that are free, at most so many. No query for none.

    A host whose lease ran out is free: its holder is dead or cut off, and what runs there is attached to again.
    Our own is not free for us, also when it ran out: we have a thread there, or have set the host aside.
    """
    if not wanted:
        return []
    ways = _ways()
    HostLease.objects.bulk_create([HostLease(host_id=pk) for pk in wanted], ignore_conflicts=True)
    with transaction.atomic():
        room = _room_on_jump_hosts({hop for host in wanted for hop in ways.get(host, ())}, ways)
        free = HostLease.objects.filter(host_id__in=wanted, until__lt=Now()).exclude(token=token).order_by("host_id")
        found = set(free.select_for_update(skip_locked=True).values_list("host_id", flat=True))
        ours = (host for host in wanted if host in found and _take_room(ways.get(host, ()), room))
        taken = list(islice(ours, most))
        HostLease.objects.filter(host_id__in=taken).update(token=token, until=Now() + LEASE)
    return list(Host.objects.filter(pk__in=taken))


def _ways() -> dict[int, list[int]]:
    """The jump hosts of each host that has any, by their ids. One query."""
    jump = dict(Host.objects.exclude(jump=None).values_list("pk", "jump_id"))
    ways: dict[int, list[int]] = {}
    for host in jump:
        hops, hop = [], jump.get(host)
        while hop and hop not in hops:
            hops.append(hop)
            hop = jump.get(hop)
        ways[host] = hops
    return ways


def _room_on_jump_hosts(hops: Collection[int], ways: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """How many more hosts may be reached over each of these, which are held: two claims come one after the other.

    Two queries, none without jump hosts.
    """
    if not hops:
        return {}
    jumps = Host.objects.select_for_update(no_key=True).filter(pk__in=hops).order_by("pk")
    room = dict(jumps.values_list("pk", "max_connections"))
    for host in HostLease.objects.filter(host_id__in=ways, until__gte=Now()).values_list("host_id", flat=True):
        for hop in ways[host]:
            room[hop] = room.get(hop, 0) - 1
    return room


def _take_room(hops: Sequence[int], room: dict[int, int]) -> bool:
    if any(room[hop] <= 0 for hop in hops):
        return False
    for hop in hops:
        room[hop] -= 1
    return True


def free_hosts(due: Iterable[int]) -> list[int]:
    """Those on which something is under way, then those of `due`, on which something may begin, in its order.

    One query.
    """
    places = {host: place for place, host in enumerate(due)}
    under_way = Exists(Upgrade.objects.begun().filter(instance__host=OuterRef("pk")))
    wanted = Host.objects.filter(Q(pk__in=places) | under_way)
    free = wanted.filter(Q(lease=None) | Q(lease__until__lt=Now()))
    return sorted(free.order_by("pk").values_list("pk", flat=True), key=lambda host: places.get(host, -1))


def renew(token: uuid.UUID) -> set[int]:
    """Keeps every lease that is still ours, also one that ran out but that nobody took. The hosts."""
    ours = HostLease.objects.filter(token=token)
    ours.update(until=Now() + LEASE)
    return set(ours.values_list("host_id", flat=True))


class Turn(NamedTuple):
    """When an upgrade may begin: after `place` others of its run. Turns sort as they are taken, each run's in turn.

    So a run that a person started does not wait for the rest of a night, nor the night for it.
    """

    place: int
    run: int
    number: int


def due_by_host(now: datetime) -> dict[int, list[Turn]]:
    """What may begin by host, in the order of its turns; the hosts in that of their first. At most six queries."""
    found = waves.claimable(now)
    waiting = sites_at_a_limit({one.site for one in found}) if found else ()
    places: dict[int, int] = defaultdict(int)
    turns = []
    for one in found:
        if one.site not in waiting:
            turns.append((Turn(places[one.run], one.run, one.number), one.host))
            places[one.run] += 1
    due: dict[int, list[Turn]] = defaultdict(list)
    for turn, host in sorted(turns):
        due[host].append(turn)
    return due


def room() -> int:
    """How many more upgrades may begin, over all hosts and workers (P4)."""
    limit = Policy.objects.values_list("max_parallel", flat=True).get()
    return max(0, limit - Upgrade.objects.begun().count())


def still_held(token: uuid.UUID, hosts: Collection[int]) -> set[int]:
    """Which of these hosts are ours, locked until the transaction ends: the fence before every write."""
    ours = HostLease.objects.select_for_update().filter(host_id__in=hosts, token=token).order_by("host_id")
    return set(ours.values_list("host_id", flat=True))


def hold_sites(numbers: Iterable[int]) -> None:
    """Locks the sites in the order in which everybody does, before any of them is written. One query."""
    list(Instance.objects.select_for_update(no_key=True).filter(pk__in=set(numbers)).order_by("pk").values_list("pk"))


def release(token: uuid.UUID, hosts: Collection[int] | None = None) -> None:
    """Gives these hosts, or all that are ours, to whoever claims next."""
    ours = HostLease.objects.filter(token=token)
    (ours if hosts is None else ours.filter(host_id__in=hosts)).update(until=Now(), token=uuid.uuid4())


def begin(upgrade: Upgrade, *, now: datetime) -> bool:
    """Starts a waiting upgrade if the plan still says so, and whether it did; see `begin_all`."""
    return bool(begin_all([upgrade], now=now))


def begin_all(upgrades: Sequence[Upgrade], *, now: datetime) -> list[Upgrade]:
    """Starts waiting upgrades of one run, each if the plan still says so, else ends it as skipped, with why (P9).

    Those that started. One whose turn comes later in the run waits on, as does what has no room. The policy, the run
    and the sites are held meanwhile, so that the limits over all and on tags are kept, and a halt, a hold or a change
    of target comes before or after. The number of questions to the plan does not grow with the upgrades.
    """
    if not upgrades:
        return []
    with transaction.atomic():
        Policy.objects.select_for_update().get()
        run = Run.objects.select_for_update().get(pk=upgrades[0].run_id)
        left = room()
        if not left or run.halts.stopping().exists():
            return []
        sites = Instance.objects.select_for_update(no_key=True).filter(pk__in={one.instance_id for one in upgrades})
        decisions = decide_at_starts(run, list(sites.order_by("pk")), now=now)
        shared = Room(decisions)
        begun: dict[int, Upgrade] = {}
        for upgrade in upgrades:
            site = upgrade.instance_id
            if len(begun) >= left or site in begun or not shared.has(site):
                continue
            if _begin_as_decided(upgrade, decisions[site], now):
                begun[site] = upgrade
                shared.take(site)
    return list(begun.values())


def _begin_as_decided(upgrade: Upgrade, decision: Decision, now: datetime) -> bool:
    refusal = _refusal(upgrade, decision)
    if not refusal and decision.opens_at and decision.opens_at > now:
        Upgrade.objects.waiting().filter(pk=upgrade.pk).update(opens_at=decision.opens_at)
        return False
    try:
        with transaction.atomic():
            if refusal:
                upgrade.end(Outcome.SKIPPED, EndCode.REPLANNED, now=now, text=refusal)
            else:
                upgrade.move(UpgradeState.STARTING, now=now, started_at=now)
    except (IntegrityError, UpgradeChanged):
        return False
    return not refusal


def _refusal(upgrade: Upgrade, decision: Decision) -> str:
    """Why it may not start any more; empty where it may."""
    if not decision.upgrades or not decision.legs:
        return decision_sentence(decision)
    if decision.legs[0].id != upgrade.build_id:
        return _("Its target means %(version)s now.") % {"version": decision.legs[0].version}
    if decision.site.key != key_of(upgrade.from_version):
        return _("The site reports %(version)s now.") % {"version": decision.site.reported}
    return ""
