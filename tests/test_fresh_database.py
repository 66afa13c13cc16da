"""After a test whose commits were real, the next one finds the database as the migrations left it."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import IntegrityError, connection
from django_q.models import OrmQ

from builds.models import Build, Channel
from instances.models import Instance
from releasemgr.lib import queue
from releasemgr.lib.actors import COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import record
from releasemgr.roles import ROLES
from tests.factories import NOW, make_instance, make_upgrade, make_user
from tests.fresh_database import put_back
from upgrades.models import Schedule, Slot, Upgrade

pytestmark = pytest.mark.django_db(transaction=True)


def rows() -> dict[str, list[tuple[Any, ...]]]:
    """Of every table, in any order."""
    with connection.cursor() as cursor:
        found = {}
        for name in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT {name}::text FROM {name} ORDER BY 1")  # noqa: S608 - names of tables
            found[name] = cursor.fetchall()
    return found


def test_whatever_was_committed_is_undone() -> None:
    before = rows()
    ines = make_user(username="ines", role="Viewer")
    upgrade = make_upgrade(instance=make_instance("acme-live"))
    record("site.added", upgrade.instance, actor=Actor(Origin.PAGE, ines), now=NOW)
    queue.enqueue("upgrades.tasks.ask_versions_later", [1])
    Channel.objects.update(soak="1 day")
    Schedule.objects.all().delete()
    Slot.objects.all().delete()
    Group.objects.get(name="Support").delete()
    Group.objects.get(name="Viewer").permissions.add(Permission.objects.get(codename="promote_build"))

    put_back()

    assert rows() == before
    assert not any(kind.objects.exists() for kind in (User, Build, Instance, Upgrade, Change, OrmQ))
    assert set(Group.objects.values_list("name", flat=True)) == set(ROLES)


def test_the_history_is_guarded_as_before() -> None:
    record("site.added", make_instance(), actor=COMMAND, now=NOW)
    put_back()
    change = record("site.added", make_instance(), actor=COMMAND, now=NOW)

    with pytest.raises(IntegrityError, match="never changed"):
        change.delete()
