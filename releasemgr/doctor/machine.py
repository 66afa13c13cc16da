"""What can be looked at without a database: settings, the key file, folders and time zones."""

import os
import shutil
import zoneinfo
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core import checks

from releasemgr.doctor.findings import Finding, error, ok, warning
from releasemgr.lib import words
from releasemgr.lib.embedded.server import Server
from upgrades.exceptions import SignInRefused
from upgrades.ssh_keys import one_key

MIB = 1024 * 1024
SCARCE, LOW = 500 * MIB, 5000 * MIB
DATABASE = "database"
FOLLOW_FROM_HTTP = {"security.W004", "security.W012", "security.W016"}
"""What `check --deploy` says of each setting that RELEASEMGR_HTTPS switches; it is said once instead."""


def settings_of_the_processes() -> Iterator[Finding]:
    if settings.DEBUG:
        yield error("RELEASEMGR_DEBUG is on: error pages show code and settings to everyone.", "Remove it.")
    if not settings.SECURE_HTTPS:
        yield warning(
            "RELEASEMGR_HTTPS is off: passwords and sessions may travel where others can read them.",
            "Put a web server with HTTPS in front and set it to yes; see docs/install.md.",
        )
    said = False
    for message in checks.run_checks(include_deployment_checks=True):
        if message.level >= checks.WARNING and message.id not in FOLLOW_FROM_HTTP and not message.is_silenced():
            said = True
            make = error if message.is_serious() else warning
            yield make(f"{message.id}: {message.msg}", message.hint or "manage.py check --deploy says more.")
    if settings.SECURE_HTTPS and not settings.DEBUG and not said:
        yield ok("Secret key, HTTPS and Django's own checks are in order.")


def ssh_key() -> Iterator[Finding]:
    """The one private key with which every host is signed in to."""
    path = settings.SSH_KEY_FILE
    if not path.exists():
        yield error(f"There is no key file {path}.", f"Make one: ssh-keygen -t ed25519 -N '' -f {path}")
        return
    try:
        with one_key(path)(""):
            pass
    except SignInRefused as refused:
        yield error(str(refused), "It has to be a private key without a passphrase that this user may read.")
        return
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        yield error(f"Others may use the key file {path} (mode {mode:03o}).", f"chmod 600 {path}")
        return
    yield ok(f"The key file {path} can be used, by this user alone.")


def disk() -> Iterator[Finding]:
    """Whether the folders can be written to, and what is free, once for each disk."""
    on_disk: dict[int, list[str]] = {}
    free: dict[int, int] = {}
    for what, folder in _folders().items():
        there = next(each for each in (folder, *folder.parents) if each.exists())
        if what != DATABASE and not os.access(there, os.W_OK | os.X_OK):
            yield error(f"{folder}, for {what}, cannot be written to.", "Let the user that runs serve write there.")
        device = there.stat().st_dev
        on_disk.setdefault(device, []).append(f"{what} ({folder})")
        free[device] = shutil.disk_usage(there).free
    for device, folders in on_disk.items():
        yield judge_space(" and ".join(folders), free[device])


def _folders() -> dict[str, Path]:
    """The database's is known where it is the embedded one."""
    folders = {"artefacts": settings.ARTIFACT_DIR, "var": settings.VAR_DIR}
    embedded = settings.DATABASES["default"].get("EMBEDDED_IN")
    return folders | {DATABASE: Server(embedded).place.data_dir} if embedded else folders


def judge_space(what: str, free: int) -> Finding:
    said = f"{words.size_of(free)} are free for {what}."
    do = "Free some, or move what is large to another disk."
    if free < SCARCE:
        return error(said, do)
    return warning(said, do) if free < LOW else ok(said)


def time_zones() -> Iterator[Finding]:
    known = zoneinfo.available_timezones()
    if settings.TIME_ZONE not in known:
        yield error(
            f"The time zone {settings.TIME_ZONE} has no data on this machine.", "Install the system's package tzdata."
        )
        return
    yield ok(f"The clocks of {len(known)} time zones are known, {settings.TIME_ZONE} among them.")
