"""Finds sites, hosts, customers and freezes by the names and numbers that people give."""

from collections.abc import Sequence

from instances.exceptions import UnknownCustomer, UnknownFreeze, UnknownHost, UnknownSite, UnknownTag
from instances.models import Customer, Freeze, Host, Instance, Tag


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


def host_named(name: str) -> Host:
    """Raises UnknownHost."""
    return hosts_named([name])[0]


def hosts_named(names: Sequence[str]) -> list[Host]:
    """Each once, ordered by name. Raises UnknownHost, which names every one that is not there."""
    found = list(Host.objects.filter(name__in=names).order_by("name"))
    missing = sorted(set(names) - {host.name for host in found})
    if missing:
        raise UnknownHost(f"No host is named {', '.join(missing)}.")
    return found


def customer_named(slug: str) -> Customer:
    """Raises UnknownCustomer."""
    customer = Customer.objects.filter(slug=slug).first()
    if customer is None:
        raise UnknownCustomer(f"No customer is named {slug}.")
    return customer


def tag_named(name: str) -> Tag:
    """Raises UnknownTag."""
    tag = Tag.objects.filter(name=name.lower()).first()
    if tag is None:
        raise UnknownTag(f"No site has ever had the tag {name}.")
    return tag


def freeze_numbered(number: int) -> Freeze:
    """Raises UnknownFreeze."""
    freeze = Freeze.objects.for_list().filter(pk=number).first()
    if freeze is None:
        raise UnknownFreeze(f"There is no freeze {number}.")
    return freeze
