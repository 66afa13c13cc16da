"""How hosts are reached: address, approved key, the name of the key to sign in with, and over which other hosts."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from instances.models import MOST_HOPS, Host
from instances.services import authorities_of, identities_of
from upgrades.contact import HostAddress


def addresses_of(hosts: Collection[Host]) -> dict[int, HostAddress]:
    """By the host's id. At most three queries, whatever their number."""
    known = {host.pk: host for host in hosts}
    if any(host.jump_id for host in hosts):
        known |= {host.pk: host for host in Host.objects.exclude(behind=None).distinct()}
    known_by = _KnownBy(known, identities_of(known.values()), authorities_of(known.values()))
    return {host.pk: _address(host, known_by, MOST_HOPS) for host in hosts}


def address_of(host: Host) -> HostAddress:
    return addresses_of([host])[host.pk]


@dataclass(frozen=True)
class _KnownBy:
    hosts: Mapping[int, Host]
    identities: Mapping[int, str]
    authorities: Mapping[int, tuple[str, ...]]


def _address(host: Host, known: _KnownBy, hops: int) -> HostAddress:
    """What an authority vouched for is not pinned: its certificate has to be valid each time."""
    jump = known.hosts[host.jump_id] if host.jump_id and hops else None
    return HostAddress(
        host.name,
        host.address,
        host.port,
        host.user,
        "" if host.host_key_authority_id else host.host_key,
        known.identities[host.pk],
        _address(jump, known, hops - 1) if jump else None,
        host.max_connections,
        known.authorities[host.pk],
    )
