"""Registers artefacts, locks those that changed, and removes those that nothing needs (R1, R2)."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from django.conf import settings
from django.db import transaction

from builds.choices import Smoke
from builds.exceptions import (
    ArchiveRefused,
    ArtifactConflict,
    ArtifactRefused,
    ChangelogRefused,
    CommitRefused,
    ReasonMissing,
    VersionRefused,
)
from builds.maturity import channel_heads
from builds.models import Build
from builds.services.facts import gather_builds, one_decision_at_a_time
from builds.versions import parse_version, version_key
from releasemgr.lib.actors import AUTOMATIC, COMMAND, Actor
from releasemgr.lib.history.services import record, refuse_unless_seen, values_of

PIECE = 1024 * 1024


def register_build(
    version: str, artifact: Path, *, now: datetime, commit: str = "", changelog: str = "",
    smoke: Smoke = Smoke.PENDING, actor: Actor = COMMAND,
) -> tuple[Build, bool]:  # fmt: skip
    """Registers an artefact under a version, and whether it is new (R1, R2).

    The same version with the same bytes is a no-op, but for putting back an artefact that was lost or archived.
    Raises VersionRefused, CommitRefused, ChangelogRefused, ArtifactRefused, ArtifactConflict.
    """
    try:
        parsed = parse_version(version)
    except ValueError as error:
        raise VersionRefused(str(error)) from error
    _refuse_odd_text(commit, changelog)
    with _copied(artifact) as copy:
        sha256 = sha256_of(copy)
        with one_decision_at_a_time():
            build, created = Build.objects.get_or_create(
                version_key=version_key(parsed),
                defaults={
                    "version": version.strip(), "commit": commit, "changelog": changelog, "sha256": sha256,
                    "artifact_size": copy.stat().st_size, "registered_at": now, "channel_since": now, "smoke": smoke,
                    "smoke_reported_at": None if smoke == Smoke.PENDING else now,
                },
            )  # fmt: skip
            if created:
                record("build.registered", build, actor=actor, now=now, after=values_of(build, ["sha256", "smoke"]))
            else:
                _refuse_another(build, version.strip(), sha256)
                _bring_back(build, actor, now)
            os.replace(copy, build.artifact_path)
    return build, created


def _bring_back(build: Build, actor: Actor, now: datetime) -> None:
    """It was out of its channel while it was archived: its stay there begins anew (R6)."""
    if build.archived_at:
        record("build.restored", build, actor=actor, now=now, before=values_of(build, ["archived_at"]))
        build.archived_at, build.channel_since = None, now
        build.save(update_fields=["archived_at", "channel_since"])


def _refuse_odd_text(commit: str, changelog: str) -> None:
    """What the columns would refuse with a database error."""
    longest = Build._meta.get_field("commit").max_length or 0
    if len(commit) > longest or not (commit.isprintable() and commit.isascii()):
        raise CommitRefused(f"The commit has to be at most {longest} printable ASCII characters.")
    if "\x00" in changelog:
        raise ChangelogRefused("The changelog contains a NUL character: it is not a text file.")


def _refuse_another(build: Build, version: str, sha256: str) -> None:
    if build.version != version:
        raise VersionRefused(f"{version} is another spelling of {build.version}, which is registered.")
    if build.sha256 != sha256:
        raise ArtifactConflict(
            f"{version} is registered with the SHA-256 {build.sha256}, this artefact has {sha256}. "
            "A build never changes: register the new artefact under a new version."
        )


@contextmanager
def _copied(source: Path) -> Iterator[Path]:
    """A copy beside the artefacts, to be renamed into place, so that no reader sees half of one.

    It is gone afterwards unless it was renamed.
    """
    settings.ARTIFACT_DIR.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=settings.ARTIFACT_DIR, prefix=".new-")
    copy = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as writer:
            _fill(writer, source)
        copy.chmod(0o644)
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _fill(writer: IO[bytes], source: Path) -> None:
    try:
        with source.open("rb") as reader:
            shutil.copyfileobj(reader, writer, PIECE)
        writer.flush()
        os.fsync(writer.fileno())  # a crash must not leave a build whose bytes never reached the disk
    except OSError as error:
        raise ArtifactRefused(f"The artefact {source} cannot be copied: {error.strerror}.") from error
    if not writer.tell():
        raise ArtifactRefused(f"The artefact {source} is empty.")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def quarantine_build(build: Build, *, now: datetime, actor: Actor = AUTOMATIC) -> bool:
    """Locks a build whose artefact's bytes no longer match (R2), and whether this call did it."""
    with transaction.atomic():
        changed = Build.objects.filter(pk=build.pk, quarantined_at=None).update(quarantined_at=now)
        if changed:
            record("build.quarantined", build, actor=actor, now=now, after={"quarantined_at": now})
    return bool(changed)


def archive_build(
    build: Build, *, keys_in_use: Collection[str], actor: Actor, now: datetime, reason: str, seen: int | None = None
) -> tuple[Build, bool]:
    """Removes the artefact of a build that nothing needs any more and keeps its row, and whether this call did it.

    `keys_in_use` are the version keys that sites run, are pinned to, may roll back to or are on their way to: a build
    knows no sites. Registering the same artefact again brings the build back. Raises ReasonMissing, ArchiveRefused,
    ChangedMeanwhile.
    """
    if not reason.strip():
        raise ReasonMissing(f"Archiving {build} needs a reason.")
    with one_decision_at_a_time():
        build = Build.objects.select_for_update(no_key=True).get(pk=build.pk)
        if build.is_archived:
            return build, False
        refuse_unless_seen(build, seen)
        _refuse_what_is_needed(build, keys_in_use)
        build.archived_at = now
        build.save(update_fields=["archived_at"])
        record("build.archived", build, actor=actor, now=now, after={"archived_at": now}, reason=reason)
        if not Build.objects.filter(sha256=build.sha256, archived_at=None).exists():
            build.artifact_path.unlink(missing_ok=True)
    return build, True


def _refuse_what_is_needed(build: Build, keys_in_use: Collection[str]) -> None:
    if build.version_key in keys_in_use:
        raise ArchiveRefused(f"A site runs {build}, is pinned to it or may go to it. It cannot be archived.")
    if build.stepping_stone:
        raise ArchiveRefused(f"Every site must pass through {build}. It cannot be archived.")
    means = [channel.channel for channel, head in channel_heads(gather_builds().values()).items()
             if head and head.id == build.pk]  # fmt: skip
    if means:
        raise ArchiveRefused(f"{build} is the build of {', '.join(means)}. It cannot be archived.")
