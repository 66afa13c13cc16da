"""The key that signs sessions and queued tasks."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

from releasemgr.lib.env import Env


def secret_key(env: Env, var_dir: Path) -> str:
    """The key from RELEASEMGR_SECRET_KEY; without it, one that this checkout makes once and keeps."""
    given = env.source.get("RELEASEMGR_SECRET_KEY", "").strip()
    return given or _kept_key(var_dir / "secret_key")


def _kept_key(path: Path) -> str:
    """Of processes that start together the first one's key is kept, by all: a key appears whole or not."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _offer(path, get_random_secret_key())
    key = path.read_text().strip()
    if not key:
        raise ImproperlyConfigured(f"{path} is empty. Remove it, or set RELEASEMGR_SECRET_KEY.")
    return key


def _offer(path: Path, key: str) -> None:
    descriptor, half = tempfile.mkstemp(prefix="secret_key.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(half, path)
    finally:
        os.unlink(half)
