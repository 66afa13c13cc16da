"""Where the embedded PostgreSQL of a checkout lies, and as which user it runs.

As root PostgreSQL refuses to run, so it runs as an unprivileged user, who must be able to reach its
folder. No folder is opened to others for that: below a closed one, it lies in /var/lib instead.
"""

import hashlib
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

LONGEST_SOCKET_DIR = 107 - len("/.s.PGSQL.5432.lock")
ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True)
class Place:
    """`home` belongs to the one who starts the server; data and socket to the one it runs as."""

    home: Path
    socket_dir: Path
    account: pwd.struct_passwd

    @property
    def data_dir(self) -> Path:
        return self.home / "postgres"

    @property
    def access_dir(self) -> Path:
        return self.home / "postgres-access"

    @property
    def as_another_user(self) -> bool:
        return self.account.pw_uid != os.geteuid()


def place_of(var_dir: Path) -> Place:
    """The same answer for every process of a checkout. Looks at folders and changes nothing."""
    if os.geteuid() != 0:
        return _own_place(var_dir)
    short = Path("/var/lib") / f"releasemgr-{_mark(var_dir)}"
    home = _home_for_root(var_dir, short)
    socket_dir = home / "postgres-socket"
    if len(os.fsencode(socket_dir)) > LONGEST_SOCKET_DIR:
        socket_dir = short / "postgres-socket"
    return Place(home, socket_dir, account_for(home / "postgres"))


def _own_place(var_dir: Path) -> Place:
    socket_dir = var_dir / "postgres-socket"
    if len(os.fsencode(socket_dir)) > LONGEST_SOCKET_DIR:
        # Not the TMPDIR of this process: every process of the checkout must find the same folder.
        socket_dir = Path("/tmp") / f"releasemgr-{_mark(var_dir)}"  # noqa: S108
    return Place(var_dir, socket_dir, pwd.getpwuid(os.geteuid()))


def _home_for_root(var_dir: Path, short: Path) -> Path:
    """Data that exists decides, so that a later chmod of a parent never shows an empty database."""
    for home in (var_dir, short):
        if (home / "postgres").exists():
            return home
    return var_dir if may_enter(account_for(var_dir / "postgres"), var_dir) else short


def account_for(data_dir: Path) -> pwd.struct_passwd:
    """The owner of existing data, else an unprivileged system user."""
    if data_dir.exists():
        return pwd.getpwuid(data_dir.stat().st_uid)
    for name in ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise LookupError("no unprivileged user")


def may_enter(account: pwd.struct_passwd, folder: Path) -> bool:
    """Whether the user may pass through this folder and every one above it, down to existing ones."""
    groups = set(os.getgrouplist(account.pw_name, account.pw_gid))
    for each in (folder, *folder.parents):
        if not each.exists():
            continue
        seen = each.stat()
        if seen.st_uid == account.pw_uid:
            bit = 0o100
        elif seen.st_gid in groups:
            bit = 0o010
        else:
            bit = 0o001
        if not seen.st_mode & bit:
            return False
    return True


def _mark(var_dir: Path) -> str:
    return hashlib.sha256(os.fsencode(var_dir)).hexdigest()[:12]
