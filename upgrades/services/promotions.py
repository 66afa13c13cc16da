"""Promotes what a person confirmed, and nothing else (P1: a preview and what follows it agree)."""

from datetime import datetime

from builds.maturity import Maturity, Override
from builds.models import Build, Promotion
from builds.services import one_decision_at_a_time, promote_build
from releasemgr.lib.actors import Actor
from upgrades.exceptions import PlanChanged
from upgrades.services.planning import MovePreview, next_night, preview_move


def promote_as_shown(
    build: Build, to: Maturity, *, seen: str, actor: Actor, now: datetime, reason: str = "",
    override: Override | None = None, last_change: int | None = None,
) -> tuple[Promotion | None, MovePreview]:  # fmt: skip
    """Moves the build if its effect is still the one with the fingerprint `seen`. None where it is there already.

    `last_change` is the number of the build's last change that the person saw (T7). Raises PlanChanged, and what
    `promote_build` raises; then nothing is moved.
    """
    with one_decision_at_a_time():
        locked = Build.objects.select_for_update().get(pk=build.pk)
        preview = preview_move(locked, to, next_night(now), now=now)
        if locked.stage != to and preview.fingerprint != seen:
            raise PlanChanged("The plan changed since it was shown. Nothing was promoted.")
        promotion, moved = promote_build(
            locked, to, actor=actor, now=now, reason=reason, override=override, seen=last_change
        )
    return promotion if moved else None, preview
