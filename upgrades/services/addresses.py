"""How hosts are reached: address, approved key and the name of the key to sign in with."""

from collections.abc import Collection

from instances.models import Host
from instances.services import identities_of
from upgrades.contact import HostAddress


def addresses_of(hosts: Collection[Host]) -> dict[int, HostAddress]:
    """By the host's id. At most one query, whatever their number."""
    identities = identities_of(hosts)
    return {
        host.pk: HostAddress(host.name, host.address, host.port, host.user, host.host_key, identities[host.pk])
        for host in hosts
    }


def address_of(host: Host) -> HostAddress:
    return addresses_of([host])[host.pk]
