"""The key that signs sessions and queued tasks."""

import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key

from releasemgr.lib.env import Env


def secret_key(env: Env, var_dir: Path) -> str:
    """The key from RELEASEMGR_SECRET_KEY; without it, one that this checkout makes once and keeps."""
    given = env.source.get("RELEASEMGR_SECRET_KEY", "").strip()
    return given or _kept_key(var_dir / "secret_key")


def _kept_key(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(get_random_secret_key())
    return path.read_text().strip()
