"""Customers, hosts and sites (instances), with their targets, windows, holds and freezes."""

from instances.models.authorities import HostAuthority
from instances.models.fleet import (
    MOST_HOPS,
    REPORTED,
    TARGET_FIELDS,
    Customer,
    Host,
    Instance,
    Tag,
    Target,
    TargetChange,
)
from instances.models.installation import Installation
from instances.models.pauses import LONGEST, Freeze, Hold
from instances.models.windows import SiteWindow

__all__ = [
    "LONGEST",
    "MOST_HOPS",
    "REPORTED",
    "TARGET_FIELDS",
    "Customer",
    "Freeze",
    "Hold",
    "Host",
    "HostAuthority",
    "Installation",
    "Instance",
    "SiteWindow",
    "Tag",
    "Target",
    "TargetChange",
]
