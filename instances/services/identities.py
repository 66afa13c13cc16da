"""With which key each host is signed in on, and keys that many hosts refuse."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Max

from instances.models import Host, Instance

MANY = 3
"""So many hosts that refuse one key, and none that took it since: the key is at fault, not the hosts."""

SIDE_BY_SIDE = timedelta(minutes=1)
"""Within which a refusal says nothing against a sign-in elsewhere: they may have happened the other way round."""


def identities_of(hosts: Iterable[Host]) -> dict[int, str]:
    """The name of each host's key, by the host's id; "" is the default one. At most one query.

    A host that names none takes that of its sites' customers, if they all name the same.
    """
    hosts = list(hosts)
    unsaid = [host.pk for host in hosts if not host.identity]
    named: dict[int, set[str]] = defaultdict(set)
    if unsaid:
        rows = Instance.objects.filter(host__in=unsaid).order_by().values_list("host_id", "customer__identity")
        for host, identity in rows.distinct():
            named[host].add(identity)
    return {host.pk: host.identity or _only(named[host.pk]) for host in hosts}


def _only(names: set[str]) -> str:
    return next(iter(names)) if len(names) == 1 else ""


@dataclass(frozen=True)
class RefusedKey:
    """A key that many hosts refuse: one incident, however many they are."""

    identity: str
    hosts: tuple[Host, ...]
    since: datetime

    @property
    def words(self) -> str:
        return key_words(self.identity)


def key_words(identity: str) -> str:
    """“the key “deploy””, or the default one."""
    return f"the key “{identity}”" if identity else "the default key"


def refused_keys(after: datetime | None = None) -> list[RefusedKey]:
    """The keys that at least MANY hosts refuse and none has taken since. At most three queries, one without refusals.

    With `after` only what hosts said from then on counts.
    """
    refusing = Host.objects.exclude(refused_since=None).order_by("name")
    if after:
        refusing = refusing.filter(contacted_at__gte=after)
    hosts = list(refusing)
    if len(hosts) < MANY:
        return []
    now_named = identities_of(hosts)
    taken = dict(Host.objects.order_by().values_list("signed_in_as").annotate(last=Max("signed_in_at")))
    found: dict[str, list[Host]] = defaultdict(list)
    for host in hosts:
        if now_named[host.pk] == host.refused_as and _refuses_since(host, taken.get(host.refused_as)):
            found[host.refused_as].append(host)
    return [
        RefusedKey(identity, tuple(many), _since(many, taken.get(identity)))
        for identity, many in sorted(found.items())
        if len(many) >= MANY
    ]


def _refuses_since(host: Host, taken: datetime | None) -> bool:
    return taken is None or (host.contacted_at is not None and host.contacted_at > taken + SIDE_BY_SIDE)


def _since(hosts: Collection[Host], taken: datetime | None) -> datetime:
    """The first refusal since the key was last taken."""
    moments = [host.refused_since for host in hosts if host.refused_since]
    return min((moment for moment in moments if taken is None or moment > taken), default=min(moments))
