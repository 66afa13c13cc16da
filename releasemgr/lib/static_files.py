"""Collects the static files when what was collected is older than what there is."""

import logging
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command

logger = logging.getLogger(__name__)


def collect_when_stale() -> bool:
    """Says whether it collected. With RELEASEMGR_DEBUG files are served from where they lie."""
    manifest_name: str | None = getattr(staticfiles_storage, "manifest_name", None)
    if manifest_name is None:
        return False
    manifest = Path(settings.STATIC_ROOT) / manifest_name
    if manifest.exists() and manifest.stat().st_mtime >= _newest_source():
        return False
    logger.info("Collecting static files into %s.", settings.STATIC_ROOT)
    call_command("collectstatic", interactive=False, verbosity=0)
    return True


def _newest_source() -> float:
    files = (Path(storage.path(name)) for finder in get_finders() for name, storage in finder.list(ignore_patterns=[]))
    return max((file.stat().st_mtime for file in files), default=0.0)
