"""The verbs for builds. Pages, commands and the night call these and nothing else."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

from django.conf import settings
from django.db import transaction

from builds import sentences
from builds.choices import DEFAULT_SOAK_DAYS, Smoke
from builds.exceptions import (
    ArtifactConflict,
    ArtifactRefused,
    ChangelogRefused,
    CommitRefused,
    PromotionRefused,
    ReasonMissing,
    UnknownBuild,
    VersionRefused,
)
from builds.maturity import Judgement, Maturity, judge
from builds.models import Build, Channel, Promotion
from builds.versions import parse_version, version_key
from releasemgr.lib.actors import Actor

PIECE = 1024 * 1024


def ensure_channels() -> None:
    """Keeps the four channels; never touches a soak time that someone set."""
    for name, days in DEFAULT_SOAK_DAYS.items():
        Channel.objects.get_or_create(name=name, defaults={"soak": timedelta(days=days)})


def build_named(version: str) -> Build:
    """Finds a build by any spelling of its version (R1). Raises VersionRefused or UnknownBuild."""
    try:
        key = version_key(parse_version(version))
    except ValueError as error:
        raise VersionRefused(str(error)) from error
    build = Build.objects.filter(version_key=key).first()
    if build is None:
        raise UnknownBuild(f"No build {version} is registered.")
    return build


def register_build(
    version: str, artifact: Path, *, now: datetime, commit: str = "", changelog: str = "",
    smoke: Smoke = Smoke.PENDING,
) -> tuple[Build, bool]:  # fmt: skip
    """Registers an artefact under a version, and whether it is new (R1, R2).

    The same version with the same bytes is a no-op, but for putting back an artefact that was lost. Raises
    VersionRefused, CommitRefused, ChangelogRefused, ArtifactRefused, ArtifactConflict.
    """
    try:
        parsed = parse_version(version)
    except ValueError as error:
        raise VersionRefused(str(error)) from error
    _refuse_odd_text(commit, changelog)
    with _copied(artifact) as copy, transaction.atomic():
        sha256 = sha256_of(copy)
        build, created = Build.objects.get_or_create(
            version_key=version_key(parsed),
            defaults={
                "version": version.strip(), "commit": commit, "changelog": changelog, "sha256": sha256,
                "artifact_size": copy.stat().st_size, "registered_at": now, "channel_since": now, "smoke": smoke,
                "smoke_reported_at": None if smoke == Smoke.PENDING else now,
            },
        )  # fmt: skip
        if not created:
            _refuse_another(build, version.strip(), sha256)
        os.replace(copy, build.artifact_path)
    return build, created


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


def report_smoke(build: Build, smoke: Smoke, *, now: datetime) -> Build:
    """Records what the smoke test said (R3). Passing after not having passed starts the soak from zero."""
    with transaction.atomic():
        build = Build.objects.select_for_update().get(pk=build.pk)
        if smoke == Smoke.PASSED and build.smoke != Smoke.PASSED:
            build.channel_since = now
        build.smoke, build.smoke_reported_at = smoke, now
        build.save(update_fields=["smoke", "smoke_reported_at", "channel_since"])
    return build


def soaks() -> dict[Maturity, timedelta]:
    """The soak time of each channel. One query."""
    return {channel.maturity: channel.soak for channel in Channel.objects.all()}


def judge_promotion(build: Build, to: Maturity, *, now: datetime) -> Judgement:
    """Whether this build may enter this channel, and if not, why not and when (R11). One query."""
    return judge(build.facts(), to, soaks(), now)


def promote_build(
    build: Build, to: Maturity, *, actor: Actor, now: datetime, reason: str = ""
) -> tuple[Promotion | None, bool]:
    """Moves a build up (if every gate passes) or down (with a reason), and whether it did (R5).

    Where the build is there already nothing happens: the answer is the promotion that brought it there (None
    for a candidate that never moved). Raises PromotionRefused, ReasonMissing, BuildChanged.
    """
    with transaction.atomic():
        build = Build.objects.select_for_update().get(pk=build.pk)
        if build.maturity == to:
            return build.promotions.first(), False
        if to < build.maturity and not reason.strip():
            raise ReasonMissing(f"Moving {build.version} back to {to.name.lower()} needs a reason.")
        if to > build.maturity:
            _refuse_unless_allowed(judge_promotion(build, to, now=now))
        return build.move(to, actor=actor, reason=reason.strip(), now=now), True


def _refuse_unless_allowed(judgement: Judgement) -> None:
    if not judgement.allowed:
        raise PromotionRefused(sentences.refusal(judgement), judgement)


def withdraw_build(build: Build, *, actor: Actor, now: datetime, reason: str) -> tuple[Build, bool]:
    """Withdraws a build for ever, and whether this call did it (R9). Raises ReasonMissing."""
    if not reason.strip():
        raise ReasonMissing(f"Withdrawing {build.version} needs a reason.")
    changed = Build.objects.filter(pk=build.pk, withdrawn_at=None).update(
        withdrawn_at=now, withdrawn_by=actor.user, withdrawn_reason=reason.strip()
    )
    return Build.objects.get(pk=build.pk), bool(changed)


def quarantine_build(build: Build, *, now: datetime) -> bool:
    """Locks a build whose artefact's bytes no longer match (R2), and whether this call did it."""
    return bool(Build.objects.filter(pk=build.pk, quarantined_at=None).update(quarantined_at=now))
