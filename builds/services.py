"""The verbs for builds. Pages, commands and the night call these and nothing else."""

import hashlib
import os
import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction

from builds import sentences
from builds.choices import DEFAULT_SOAK_DAYS, Smoke
from builds.exceptions import (
    ArtifactConflict,
    ArtifactRefused,
    PromotionRefused,
    ReasonMissing,
    UnknownBuild,
    VersionRefused,
)
from builds.maturity import CHANNELS, BuildFacts, Judgement, Maturity, judge, resolve
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

    The same version with the same bytes is a no-op. Raises VersionRefused, ArtifactRefused, ArtifactConflict.
    """
    try:
        parsed = parse_version(version)
    except ValueError as error:
        raise VersionRefused(str(error)) from error
    sha256, size = _keep_artifact(artifact)
    with transaction.atomic():
        build, created = Build.objects.get_or_create(
            version_key=version_key(parsed),
            defaults={
                "version": version.strip(), "commit": commit, "changelog": changelog, "sha256": sha256,
                "artifact_size": size, "registered_at": now, "channel_since": now, "smoke": smoke,
                "smoke_reported_at": None if smoke == Smoke.PENDING else now,
            },
        )  # fmt: skip
    if not created and sha256 != build.sha256:
        _forget_artifact(sha256)
    if not created:
        _refuse_another(build, version.strip(), sha256)
    return build, created


def _forget_artifact(sha256: str) -> None:
    """Removes the file of a refused artefact, unless another build has the same bytes."""
    if not Build.objects.filter(sha256=sha256).exists():
        (settings.ARTIFACT_DIR / sha256).unlink(missing_ok=True)


def _refuse_another(build: Build, version: str, sha256: str) -> None:
    if build.version != version:
        raise VersionRefused(f"{version} is another spelling of {build.version}, which is registered.")
    if build.sha256 != sha256:
        raise ArtifactConflict(
            f"{version} is registered with the SHA-256 {build.sha256}, this artefact has {sha256}. "
            "A build never changes: register the new artefact under a new version."
        )


def _keep_artifact(source: Path) -> tuple[str, int]:
    """Copies it to ARTIFACT_DIR under its SHA-256, by a rename, so that no reader sees half of it."""
    settings.ARTIFACT_DIR.mkdir(parents=True, exist_ok=True)
    try:
        with source.open("rb") as reader, tempfile.NamedTemporaryFile(
            dir=settings.ARTIFACT_DIR, delete=False
        ) as copy:  # fmt: skip
            shutil.copyfileobj(reader, copy, PIECE)
    except OSError as error:
        raise ArtifactRefused(f"The artefact {source} cannot be read: {error.strerror}.") from error
    kept = Path(copy.name)
    sha256, size = sha256_of(kept), kept.stat().st_size
    if not size:
        kept.unlink()
        raise ArtifactRefused(f"The artefact {source} is empty.")
    kept.chmod(0o644)
    os.replace(kept, settings.ARTIFACT_DIR / sha256)
    return sha256, size


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def report_smoke(build: Build, smoke: Smoke, *, now: datetime) -> Build:
    """Records what the smoke test said (R3). Passing again after a failure starts the soak from zero."""
    with transaction.atomic():
        build = Build.objects.select_for_update().get(pk=build.pk)
        if build.smoke != smoke:
            if smoke == Smoke.PASSED and build.smoke in (Smoke.FAILED, Smoke.VOID):
                build.channel_since = now
            build.smoke = smoke
        build.smoke_reported_at = now
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


def channel_heads(builds: list[BuildFacts]) -> dict[Maturity, BuildFacts | None]:
    """What each channel resolves to (R4). No query."""
    return {channel: resolve(builds, channel) for channel in CHANNELS}
