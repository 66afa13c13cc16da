"""What every installation has from its first minute: channels, roles, the schedule, slots, heartbeats. Idempotent."""

from django.db import connection

from builds.services import ensure_channels
from releasemgr.lib import clock
from releasemgr.lib.heartbeats.models import Heartbeat
from releasemgr.lib.heartbeats.services import ensure_heartbeats
from releasemgr.roles import ensure_roles
from upgrades.models import Schedule
from upgrades.services.runs import ensure_schedule
from upgrades.services.slots import ensure_slots


def keep_installation() -> None:
    """Does nothing while the tables are not there (a migration to zero)."""
    needed = {model._meta.db_table for model in (Schedule, Heartbeat)}
    if not needed <= set(connection.introspection.table_names()):
        return
    ensure_channels()
    ensure_slots()
    ensure_heartbeats()
    ensure_schedule(clock.now())
    ensure_roles()
