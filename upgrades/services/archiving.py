"""Archives builds that nothing needs any more: an artefact goes, its row stays (R9)."""

from datetime import datetime

from builds.models import Build
from builds.services import archive_build
from builds.versions import key_of
from instances.models import Instance
from releasemgr.lib.actors import Actor
from upgrades.choices import GOOD
from upgrades.models import Upgrade


def keys_in_use() -> set[str]:
    """The version keys that sites run, are pinned to, may roll back to, or are on their way to. Three queries."""
    sites = Instance.objects.order_by().values_list("reported_key", "target_build__version_key").distinct()
    under_way = Upgrade.objects.active().order_by().values_list("from_version", "build__version_key").distinct()
    last = Upgrade.objects.filter(outcome__in=GOOD).order_by("instance_id", "-pk").distinct("instance_id")
    keys = {key for row in sites for key in row}
    keys |= {key for old, new in under_way for key in (key_of(old), new)}
    keys |= {key_of(old) for old in last.values_list("from_version", flat=True)}
    return {key for key in keys if key}


def archive(
    build: Build, *, actor: Actor, now: datetime, reason: str, seen: int | None = None
) -> tuple[Build, bool]:  # fmt: skip
    """Archives a build, and whether this call did it. Raises ReasonMissing, ArchiveRefused, ChangedMeanwhile."""
    return archive_build(build, keys_in_use=keys_in_use(), actor=actor, now=now, reason=reason, seen=seen)
