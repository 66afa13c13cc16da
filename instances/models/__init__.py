"""Customers, hosts and sites (instances); what sites should run, when they may be upgraded, when they are left alone."""

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
