"""The four roles, as Django groups. Each may do all that the ones before it may.

A permission is written `app.codename`. Pages and actions check permissions, never roles.
"""

from django.contrib.auth.models import Group, Permission, User
from django.db import transaction

from releasemgr.lib.passwords import made_up_password

VIEW = [
    "builds.view_build", "builds.view_channel", "builds.view_promotion", "builds.view_problem",
    "builds.view_acknowledgement", "builds.view_gateoverride",
    "instances.view_customer", "instances.view_host", "instances.view_instance", "instances.view_targetchange",
    "instances.view_freeze", "instances.view_hold", "instances.view_sitewindow", "instances.view_tag",
    "upgrades.view_run", "upgrades.view_upgrade", "upgrades.view_runhalt", "upgrades.view_policy",
    "history.view_change",
]  # fmt: skip
SUPPORT = [
    "instances.change_target", "instances.hold_site", "builds.add_problem", "builds.change_problem",
    "releasemgr.add_snooze",
]  # fmt: skip
RELEASES = [
    "builds.add_build", "builds.promote_build", "builds.withdraw_build", "builds.change_policy",
    "builds.override_gate", "builds.add_acknowledgement", "builds.mark_stepping_stone",
    "instances.add_freeze", "instances.change_freeze", "instances.allow_downgrade", "instances.add_instance",
    "instances.change_instance", "instances.add_customer", "instances.change_customer",
    "upgrades.start_upgrade", "upgrades.cancel_upgrade", "upgrades.decide_upgrade", "upgrades.set_aside",
    "upgrades.halt_run", "upgrades.change_policy",
]  # fmt: skip
ADMINISTRATION = [
    "instances.approve_host_key", "instances.add_host", "instances.change_host", "instances.delete_host",
    "instances.delete_customer", "instances.delete_instance", "releasemgr.change_savedview",
]  # fmt: skip

ROLES: dict[str, list[str]] = {
    "Viewer": VIEW,
    "Support": VIEW + SUPPORT,
    "Release manager": VIEW + SUPPORT + RELEASES,
    "Administrator": VIEW + SUPPORT + RELEASES + ADMINISTRATION,
}


def ensure_roles() -> None:
    """Keeps the four groups with exactly these permissions. People keep their groups."""
    known = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    for role, names in ROLES.items():
        group, _created = Group.objects.get_or_create(name=role)
        group.permissions.set([known[name] for name in names])


@transaction.atomic
def give_role(username: str, role: str) -> str | None:
    """Gives somebody this role and no other. Answers with the password made up for a new account, else None."""
    user, created = User.objects.get_or_create(username=username)
    password = made_up_password() if created else None
    if password:
        user.set_password(password)
        user.save(update_fields=["password"])
    user.groups.set([Group.objects.get(name=role)])
    return password


def roles_with(permission: str) -> list[str]:
    """Which roles may do this: what a refusal tells the reader."""
    return [role for role, names in ROLES.items() if permission in names]
