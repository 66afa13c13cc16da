"""Cancels upgrades (U4), and gives up on what a host that vanished will not tell."""

from collections.abc import Collection
from datetime import datetime
from enum import Enum, auto

from django.db import transaction

from releasemgr.lib.actors import Actor, Origin, name_of
from releasemgr.lib.history.services import record
from upgrades.choices import BEGUN, EndCode, Outcome, UpgradeState
from upgrades.exceptions import CancelRefused, ReasonMissing
from upgrades.models import Upgrade
from upgrades.services.runs import settle


class Cancel(Enum):
    """What a cancel came to."""

    DONE = auto()
    """It had not begun and is cancelled."""
    ASKED = auto()
    """Its host is asked to end it as soon as that is safe."""
    ASKED_BEFORE = auto()
    OVER = auto()
    """It had ended before."""


def cancel_upgrade(upgrade: Upgrade, *, actor: Actor, now: datetime, reason: str) -> Cancel:
    """Ends it at once where it has not begun; else has its host end it, and the host's answer decides how it ended.

    May come twice, also after the end. Raises ReasonMissing, and CancelRefused while it goes back.
    """
    if not reason.strip():
        raise ReasonMissing("Cancelling an upgrade needs a reason.")
    with transaction.atomic():
        locked = Upgrade.objects.select_for_update().defer("journal").get(pk=upgrade.pk)
        if locked.state == UpgradeState.ENDED:
            return Cancel.OVER
        if locked.cancel_asked_at:
            return Cancel.ASKED_BEFORE
        if locked.state == UpgradeState.ROLLING_BACK:
            raise CancelRefused(f"Upgrade {upgrade.pk} goes back already. A way back is never cut short.")
        _ask(locked, actor, now, reason.strip())
        if locked.state != UpgradeState.WAITING:
            return Cancel.ASKED
        end_as_cancelled(locked, now=now)
    settle(now)
    return Cancel.DONE


def _ask(upgrade: Upgrade, actor: Actor, now: datetime, reason: str) -> None:
    upgrade.cancel_asked_at, upgrade.cancel_asked_by, upgrade.cancel_reason = now, actor.user, reason
    upgrade.save(update_fields=["cancel_asked_at", "cancel_asked_by", "cancel_reason"])
    said = {"upgrade": upgrade.pk, "state": upgrade.state}
    record("upgrade.cancelled", upgrade.instance, actor=actor, now=now, reason=reason, after=said)


def cancelled_among(numbers: Collection[int]) -> set[int]:
    """Those that a person cancelled. No query for none."""
    asked = Upgrade.objects.filter(pk__in=numbers, cancel_asked_at__isnull=False)
    return set(asked.values_list("pk", flat=True)) if numbers else set()


def end_as_cancelled(upgrade: Upgrade, *, now: datetime) -> None:
    """Nothing of it has begun on its host."""
    upgrade.end(Outcome.CANCELLED, EndCode.CANCELLED, now=now, **cancel_words(upgrade))


def cancel_words(upgrade: Upgrade) -> dict[str, str]:
    """Who cancelled it and why, read anew, for its end's sentence."""
    upgrade.refresh_from_db(fields=["cancel_asked_by", "cancel_reason"])
    return {"who": name_of(upgrade.cancel_asked_by, Origin.COMMAND), "why": upgrade.cancel_reason}


def give_up(upgrade: Upgrade, *, actor: Actor, now: datetime, reason: str) -> None:
    """Ends what a host that does not answer will not tell the end of: the site then needs a person (U4).

    Raises ReasonMissing, and CancelRefused where the host answers or nothing of it has begun.
    """
    if not reason.strip():
        raise ReasonMissing("Giving up an upgrade needs a reason: say what you know of its host.")
    with transaction.atomic():
        locked = Upgrade.objects.select_for_update(of=("self",)).select_related("instance__host", "build")
        found = locked.defer("journal").get(pk=upgrade.pk)
        if found.state not in BEGUN:
            raise CancelRefused(f"Upgrade {upgrade.pk} is not under way.")
        silent = found.instance.host.silent
        if silent is None:
            raise CancelRefused(f"{found.instance.host} answers. Cancel the upgrade instead.")
        said = {"who": name_of(actor.user, actor.origin), "why": reason.strip(), "host": silent.name}
        found.end(Outcome.NEEDS_A_PERSON, EndCode.GIVEN_UP, now=now, **said)
        record(
            "upgrade.given_up", found.instance, actor=actor, now=now, reason=reason, after={"upgrade": found.pk}
        )  # fmt: skip
    settle(now)
