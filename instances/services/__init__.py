"""The verbs for sites and hosts. Pages, commands and the night call these and nothing else."""

from instances.services.found import customer_named, freeze_numbered, site_named, sites_named
from instances.services.hosts import approve_host_key, note_contact, note_offered_key, note_version
from instances.services.seen import last_seen_of
from instances.services.targets import (
    DEFAULT_CHANNEL,
    check_target,
    complete_target,
    default_target,
    end_pins,
    record_target,
    set_target,
    set_targets,
)

__all__ = [
    "DEFAULT_CHANNEL",
    "approve_host_key",
    "check_target",
    "complete_target",
    "customer_named",
    "default_target",
    "end_pins",
    "freeze_numbered",
    "last_seen_of",
    "note_contact",
    "note_offered_key",
    "note_version",
    "record_target",
    "set_target",
    "set_targets",
    "site_named",
    "sites_named",
]
