"""Customers, hosts and sites (instances), with their targets, windows, holds and freezes."""

from instances.models.fleet import TARGET_FIELDS, Customer, Host, Instance, Tag, Target, TargetChange
from instances.models.pauses import LONGEST, Freeze, Hold
from instances.models.windows import SiteWindow

__all__ = [
    "LONGEST",
    "TARGET_FIELDS",
    "Customer",
    "Freeze",
    "Hold",
    "Host",
    "Instance",
    "SiteWindow",
    "Tag",
    "Target",
    "TargetChange",
]
