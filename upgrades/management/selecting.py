"""Which sites a command is for: names, a kind, or a filter as in the address of the page Sites (T9)."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from instances.models import Instance
from instances.services import customer_named, sites_named, tag_named
from releasemgr.lib import clock
from upgrades.selection import Criteria, FilterRefused, criteria_of, read_query
from upgrades.services.selections import sites_meant

EXAMPLE = "customer=acme&customer=bolt&kind=test&version=4.1"


def add_selection(parser: ArgumentParser) -> None:
    parser.add_argument("sites", nargs="*", metavar="SITE")
    parser.add_argument("--where", metavar="FILTER", help=f"As in the address of the page Sites: {EXAMPLE}")


def selection(options: dict[str, Any]) -> list[Instance]:
    """By name, each once. Raises CommandError for none at all, for both ways at once and for a faulty filter."""
    if bool(options["sites"]) == bool(options["where"]):
        raise CommandError("Name the sites, or give a filter with --where.")
    return sites_named(options["sites"]) if options["sites"] else sites_where(options["where"])


def sites_where(text: str) -> list[Instance]:
    """Raises CommandError for a filter that is not understood or matches nothing, and what unknown names raise."""
    try:
        criteria = criteria_of(read_query(text))
    except FilterRefused as refused:
        raise CommandError(str(refused)) from refused
    if criteria == Criteria():
        raise CommandError(f"The filter says nothing. It looks like {EXAMPLE}")
    for name in criteria.customers:
        customer_named(name)
    for name in criteria.tags:
        tag_named(name)
    found = sites_meant(criteria, clock.now())
    if not found:
        raise CommandError("No site matches the filter.")
    return found
