"""Withdraws builds for ever (R9)."""

from datetime import datetime
from enum import Enum
from typing import Final

from builds.exceptions import ReasonMissing, ReplacementMissing, SteppingStoneRefused
from builds.models import Build
from builds.services.facts import one_decision_at_a_time
from builds.services.stepping_stones import mark_stepping_stone, refuse_uninstallable
from releasemgr.lib.actors import Actor
from releasemgr.lib.history.services import difference, record, refuse_unless_seen, values_of

FIELDS = ("withdrawn_at", "withdrawn_by", "withdrawn_reason", "stepping_stone")


class Unanswered(Enum):
    """Nobody was asked what replaces a stepping stone; None would say that nothing does."""

    REPLACEMENT = "replacement"


UNANSWERED: Final = Unanswered.REPLACEMENT


def withdraw_build(
    build: Build, *, actor: Actor, now: datetime, reason: str, replacement: Build | Unanswered | None = UNANSWERED,
    seen: int | None = None,
) -> tuple[Build, bool]:  # fmt: skip
    """Withdraws a build for ever, and whether this call did it (R9).

    A stepping stone stops being one; `replacement` becomes one in its place, None says that none does (T8). Raises
    ReasonMissing, ReplacementMissing, SteppingStoneRefused, ChangedMeanwhile.
    """
    if not reason.strip():
        raise ReasonMissing(f"Withdrawing {build.version} needs a reason.")
    with one_decision_at_a_time():
        build = Build.objects.select_for_update(no_key=True).get(pk=build.pk)
        if build.is_withdrawn:
            return build, False
        refuse_unless_seen(build, seen)
        chosen = _replacement_for(build, replacement)
        _withdraw(build, chosen, actor, now, reason.strip())
        if chosen:
            mark_stepping_stone(chosen, actor=actor, now=now, reason=reason)
    return build, True


def _replacement_for(build: Build, replacement: Build | Unanswered | None) -> Build | None:
    if build.stepping_stone and isinstance(replacement, Unanswered):
        raise ReplacementMissing(
            f"Every site must pass through {build}. Say which build takes its place, or that none does."
        )
    if isinstance(replacement, Unanswered) or replacement is None:
        return None
    if not build.stepping_stone or replacement.pk == build.pk:
        raise SteppingStoneRefused(f"{replacement} cannot take the place of {build} as a stepping stone.")
    refuse_uninstallable(Build.objects.get(pk=replacement.pk))
    return replacement


def _withdraw(build: Build, replacement: Build | None, actor: Actor, now: datetime, reason: str) -> None:
    before = values_of(build, FIELDS)
    build.withdrawn_at, build.withdrawn_by, build.withdrawn_reason = now, actor.user, reason
    build.stepping_stone = False
    build.save(update_fields=FIELDS)
    old, new = difference(before, values_of(build, FIELDS))
    named = {"replacement": replacement.version} if replacement else {}
    record("build.withdrawn", build, actor=actor, now=now, before=old, after=new | named, reason=reason)
