"""What every installation has from its first minute: channels, roles, the schedule, slots. Idempotent."""

from django.db import connection

from builds.services import ensure_channels
from releasemgr.lib import clock
from releasemgr.roles import ensure_roles
from upgrades.models import Schedule
from upgrades.services.runs import ensure_schedule
from upgrades.services.slots import ensure_slots


def keep_installation() -> None:
    """Does nothing while the tables are not there (a migration to zero)."""
    if Schedule._meta.db_table not in connection.introspection.table_names():
        return
    ensure_channels()
    ensure_slots()
    ensure_schedule(clock.now())
    ensure_roles()
