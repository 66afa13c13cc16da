"""Marks the builds that every site must pass through (T8)."""

from datetime import datetime

from builds.exceptions import SteppingStoneRefused
from builds.models import Build
from builds.services.facts import one_decision_at_a_time
from releasemgr.lib.actors import Actor
from releasemgr.lib.history.services import record, refuse_unless_seen


def mark_stepping_stone(
    build: Build, *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None
) -> tuple[Build, bool]:
    """Makes it a build that every site must pass through, and whether this call did it.

    Raises SteppingStoneRefused for what no site may install, ChangedMeanwhile.
    """
    with one_decision_at_a_time():
        build = Build.objects.select_for_update(no_key=True).get(pk=build.pk)
        if build.stepping_stone:
            return build, False
        refuse_unless_seen(build, seen)
        refuse_uninstallable(build)
        return _set(build, True, actor, now, reason), True


def unmark_stepping_stone(
    build: Build, *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None
) -> tuple[Build, bool]:
    """Lets sites pass by it again, and whether this call did it. Raises ChangedMeanwhile."""
    with one_decision_at_a_time():
        build = Build.objects.select_for_update(no_key=True).get(pk=build.pk)
        if not build.stepping_stone:
            return build, False
        refuse_unless_seen(build, seen)
        return _set(build, False, actor, now, reason), True


def refuse_uninstallable(build: Build) -> None:
    """A site that must pass through it would never get further."""
    if not build.facts().eligible:
        raise SteppingStoneRefused(
            f"{build} cannot be one that every site must pass through: "
            "it is withdrawn, quarantined or archived, or its smoke tests have not passed."
        )


def _set(build: Build, stone: bool, actor: Actor, now: datetime, reason: str) -> Build:
    build.stepping_stone = stone
    build.save(update_fields=["stepping_stone"])
    kind = "stepping_stone.marked" if stone else "stepping_stone.unmarked"
    values = {"before": {"stepping_stone": not stone}, "after": {"stepping_stone": stone}}
    record(kind, build, actor=actor, now=now, reason=reason, **values)
    return build
