"""Promotes and withdraws what a person confirmed, and nothing else (P1: a preview and what follows it agree)."""

from datetime import datetime

from builds.maturity import Maturity, Override
from builds.models import Build, Promotion
from builds.services import (
    UNANSWERED,
    Unanswered,
    one_decision_at_a_time,
    promote_build,
    withdraw_build,
)
from releasemgr.lib.actors import Actor
from upgrades.exceptions import PlanChanged
from upgrades.services.planning import MovePreview, next_night, preview_move, preview_withdrawal


def promote_as_shown(
    build: Build, to: Maturity, *, seen: str, actor: Actor, now: datetime, reason: str = "",
    override: Override | None = None, last_change: int | None = None,
) -> tuple[Promotion | None, MovePreview]:  # fmt: skip
    """Moves the build if its effect is still the one with the fingerprint `seen`. None where it is there already.

    `last_change` is the number of the build's last change that the person saw (T7). Raises PlanChanged, and what
    `promote_build` raises; then nothing is moved.
    """
    with one_decision_at_a_time():
        locked = Build.objects.select_for_update(no_key=True).get(pk=build.pk)
        preview = preview_move(locked, to, next_night(now), now=now)
        if locked.stage != to:
            _refuse_unless_shown(preview, seen, "promoted")
        promotion, moved = promote_build(
            locked, to, actor=actor, now=now, reason=reason, override=override, seen=last_change
        )
    return promotion if moved else None, preview


def withdraw_as_shown(
    build: Build, *, seen: str, actor: Actor, now: datetime, reason: str,
    replacement: Build | Unanswered | None = UNANSWERED, last_change: int | None = None,
) -> tuple[Build, bool]:  # fmt: skip
    """Withdraws the build if its effect is still the one with the fingerprint `seen`, and whether this call did it.

    Raises PlanChanged, and what `withdraw_build` raises; then nothing is withdrawn.
    """
    with one_decision_at_a_time():
        locked = Build.objects.select_for_update(no_key=True).get(pk=build.pk)
        chosen = None if isinstance(replacement, Unanswered) else replacement
        if not locked.is_withdrawn:
            _refuse_unless_shown(preview_withdrawal(locked, next_night(now), replacement=chosen), seen, "withdrawn")
        return withdraw_build(locked, actor=actor, now=now, reason=reason, replacement=replacement, seen=last_change)


def _refuse_unless_shown(preview: MovePreview, seen: str, what: str) -> None:
    if preview.fingerprint != seen:
        raise PlanChanged(f"The plan changed since it was shown. Nothing was {what}.")
