from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ReleasemgrConfig(AppConfig):
    name = "releasemgr"

    def ready(self) -> None:
        post_migrate.connect(_keep_installation, sender=self)


def _keep_installation(**_signal: Any) -> None:
    """After every migrate. This app stands last, so that the permissions of all others exist by now."""
    from releasemgr.installation import keep_installation

    keep_installation()
