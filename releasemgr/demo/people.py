"""The four people of the demo, one for each role, with one password that is made up anew for each demo."""

import os
from pathlib import Path

from django.contrib.auth.models import Group, User

from releasemgr.lib.passwords import made_up_password

ROLES = {"viewer": "Viewer", "support": "Support", "manager": "Release manager", "admin": "Administrator"}


def ensure_people(root: Path) -> None:
    """Keeps the four; somebody who is there keeps their password."""
    password = password_of(root)
    for username, role in ROLES.items():
        user, created = User.objects.get_or_create(username=username)
        if created:
            user.set_password(password)
            user.save(update_fields=["password"])
            user.groups.add(Group.objects.get(name=role))


def password_of(root: Path) -> str:
    """Made on the first call; only this user of the machine may read it."""
    file = root / "password"
    if not file.exists():
        half_written = file.with_suffix(".part")
        descriptor = os.open(half_written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as writer:
            writer.write(made_up_password() + "\n")
        half_written.replace(file)
    return file.read_text().strip()
