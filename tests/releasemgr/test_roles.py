"""The four roles and what every installation has from its first minute."""

from itertools import pairwise

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django_q.models import Schedule as QueueSchedule

from builds.models import Channel
from releasemgr.roles import ROLES, roles_with
from tests.commands import json_of
from upgrades.models import Schedule, Slot

pytestmark = pytest.mark.django_db


def permissions_of(role: str) -> set[str]:
    rows = Group.objects.get(name=role).permissions.select_related("content_type")
    return {f"{row.content_type.app_label}.{row.codename}" for row in rows}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_exactly_its_permissions(role: str) -> None:
    assert permissions_of(role) == set(ROLES[role])


def test_each_role_may_do_all_that_the_ones_before_it_may() -> None:
    names = list(ROLES)
    assert names == ["Viewer", "Support", "Release manager", "Administrator"]
    for lower, higher in pairwise(names):
        assert set(ROLES[lower]) < set(ROLES[higher])


def test_people_have_what_their_role_says_and_no_more(
    viewer: User, support: User, release_manager: User, administrator: User, stranger: User
) -> None:
    people = [stranger, viewer, support, release_manager, administrator]
    able = {
        permission: [person.has_perm(permission) for person in people]
        for permission in (
            "builds.view_build", "instances.change_target", "builds.promote_build", "instances.approve_host_key",
            "builds.add_problem", "builds.override_gate", "builds.change_policy", "builds.add_acknowledgement",
        )
    }  # fmt: skip
    assert able == {
        "builds.view_build": [False, True, True, True, True],
        "instances.change_target": [False, False, True, True, True],
        "builds.promote_build": [False, False, False, True, True],
        "instances.approve_host_key": [False, False, False, False, True],
        "builds.add_problem": [False, False, True, True, True],
        "builds.override_gate": [False, False, False, True, True],
        "builds.change_policy": [False, False, False, True, True],
        "builds.add_acknowledgement": [False, False, False, True, True],
    }
    assert roles_with("builds.promote_build") == ["Release manager", "Administrator"]


def test_migrating_again_mends_the_roles_and_keeps_people_and_policy(support: User) -> None:
    group = Group.objects.get(name="Support")
    group.permissions.clear()
    Group.objects.create(name="Our own")
    Schedule.objects.update(start="02:30")
    since = Schedule.objects.get().since
    slots, queued = Slot.objects.count(), QueueSchedule.objects.count()

    call_command("migrate", verbosity=0)
    call_command("migrate", verbosity=0)

    assert permissions_of("Support") == set(ROLES["Support"])
    assert list(support.groups.all()) == [group]
    assert Group.objects.filter(name="Our own").exists()
    schedule = Schedule.objects.get()
    assert (f"{schedule.start:%H:%M}", schedule.since) == ("02:30", since)
    assert QueueSchedule.objects.get(name="night").cron == "30 2 * * *"
    assert (Slot.objects.count(), QueueSchedule.objects.count(), Channel.objects.count()) == (slots, queued, 4)


def test_set_role_makes_an_account_that_can_sign_in_and_later_only_changes_its_role() -> None:
    made = json_of("set_role", "ines", "support")
    user = User.objects.get(username="ines")
    assert user.check_password(made["password"])
    assert [group.name for group in user.groups.all()] == ["Support"]
    assert user.has_perm("instances.change_target")
    assert not user.is_superuser

    again = json_of("set_role", "ines", "release-manager")
    user = User.objects.get()
    assert again == {"username": "ines", "role": "Release manager", "password": None}
    assert user.check_password(made["password"])
    assert [group.name for group in user.groups.all()] == ["Release manager"]


def test_a_role_that_does_not_exist_makes_no_account() -> None:
    with pytest.raises(CommandError, match="release-manager"):
        json_of("set_role", "ines", "root")
    assert not User.objects.exists()
