"""How hosts are reached: address, approved key, the name of the key to sign in with, and over which other hosts."""

from collections.abc import Collection, Mapping

from instances.models import MOST_HOPS, Host
from instances.services import identities_of
from upgrades.contact import HostAddress


def addresses_of(hosts: Collection[Host]) -> dict[int, HostAddress]:
    """By the host's id. At most two queries, whatever their number."""
    known = {host.pk: host for host in hosts}
    if any(host.jump_id for host in hosts):
        known |= {host.pk: host for host in Host.objects.exclude(behind=None).distinct()}
    identities = identities_of(known.values())
    return {host.pk: _address(host, known, identities, MOST_HOPS) for host in hosts}


def address_of(host: Host) -> HostAddress:
    return addresses_of([host])[host.pk]


def _address(host: Host, known: Mapping[int, Host], identities: Mapping[int, str], hops: int) -> HostAddress:
    jump = known[host.jump_id] if host.jump_id and hops else None
    via = _address(jump, known, identities, hops - 1) if jump else None
    return HostAddress(
        host.name, host.address, host.port, host.user, host.host_key, identities[host.pk], via, host.max_connections
    )
