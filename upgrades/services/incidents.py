"""Trouble that many hosts share: what waits for them ends at once, instead of one by one after an attempt each."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from instances.models import Host
from instances.services import RefusedKey, refused_keys
from releasemgr.lib import words
from upgrades.choices import EndCode, Outcome
from upgrades.exceptions import UpgradeChanged
from upgrades.first_error import trouble_fingerprint
from upgrades.models import Upgrade
from upgrades.services import halts, runs
from upgrades.services.addresses import addresses_of

PATIENCE = timedelta(seconds=30)
"""For a jump host, before what waits behind it ends: it may be starting anew."""


@dataclass(frozen=True)
class Trouble:
    """Why nothing can begin on a host now, for all hosts that share it: `name` is that of the key or host at fault."""

    kind: str
    code: EndCode
    name: str
    text: str

    def end(self, upgrade: Upgrade, now: datetime) -> None:
        """Equal for all that share it, so that a run shows them together."""
        values = {"host": upgrade.instance.host.name, "site": upgrade.instance.slug, "text": self.text}
        with suppress(UpgradeChanged):
            shared = trouble_fingerprint(self.kind, self.name)
            upgrade.end(Outcome.BLOCKED, self.code, now=now, shared=shared, **values)


def end_what_is_doomed(due: Mapping[int, Sequence[int]], now: datetime) -> set[int]:
    """Ends as blocked what its run has met the trouble of before: of `due`, numbers by host.

    The hosts on which something ended. One query while no host is in such trouble, none for nothing.
    """
    if not due or not Host.objects.in_shared_trouble().exists():
        return set()
    doomed = _doomed(sorted(number for numbers in due.values() for number in numbers), now)
    if doomed:
        with transaction.atomic():
            halts.held_runs({upgrade.run_id for upgrade, _trouble in doomed})
            for upgrade, trouble in doomed:
                trouble.end(upgrade, now)
            runs.settle(now)
    return {upgrade.instance.host_id for upgrade, _trouble in doomed}


def _doomed(numbers: Sequence[int], now: datetime) -> list[tuple[Upgrade, Trouble]]:
    by_run: dict[datetime, list[Upgrade]] = defaultdict(list)
    for upgrade in Upgrade.objects.waiting().filter(pk__in=numbers).for_list():
        by_run[upgrade.run.starts_at].append(upgrade)
    return [
        (upgrade, trouble)
        for starts_at, upgrades in by_run.items()
        for upgrade, trouble in _in_trouble(upgrades, starts_at, now)
    ]


def _in_trouble(upgrades: Sequence[Upgrade], since: datetime, now: datetime) -> Iterable[tuple[Upgrade, Trouble]]:
    """Only what hosts said since then counts: the next run asks them anew."""
    refused = {one.identity: key_trouble(one, now) for one in refused_keys(since)}
    failing = Host.objects.failing_jump_hosts().filter(contacted_at__gte=since, failing_since__lte=now - PATIENCE)
    jumps = {host.name: jump_trouble(host, now) for host in failing}
    addresses = addresses_of({upgrade.instance.host for upgrade in upgrades}) if refused or jumps else {}
    for upgrade in upgrades if addresses else ():
        address = addresses[upgrade.instance.host_id]
        on_the_way = [jumps[hop.name] for hop in address.hops if hop.name in jumps]
        if trouble := next(iter(on_the_way), refused.get(address.identity)):
            yield upgrade, trouble


def jump_trouble(host: Host, now: datetime) -> Trouble:
    assert host.failing_since  # noqa: S101 - its caller looked
    moment = words.moment_of(host.failing_since, now)
    text = f"The jump host {host} cannot be used since {moment}: {host.failure}"
    return Trouble("jump", EndCode.JUMP_HOST, host.name, text)


def key_trouble(key: RefusedKey, now: datetime) -> Trouble:
    moment = words.moment_of(key.since, now)
    text = f"{len(key.hosts)} hosts refuse {key.words} since {moment}."
    return Trouble("key", EndCode.KEY_REFUSED, key.identity, text)
