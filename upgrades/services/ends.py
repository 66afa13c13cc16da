"""What a person decides about an upgrade that needs one."""

from datetime import datetime

from django.db import transaction

from instances.models import Instance
from releasemgr.lib.actors import Actor
from releasemgr.lib.history.services import record
from upgrades.exceptions import ReasonMissing, UpgradeChanged
from upgrades.models import Upgrade


def unlock_site(upgrade: Upgrade, *, actor: Actor, now: datetime, note: str) -> Instance:
    """Ends the lock that an upgrade left on its site, with a reason (U2).

    Raises ReasonMissing, or UpgradeChanged where someone else has decided.
    """
    if not note.strip():
        raise ReasonMissing("Unlocking a site needs a reason: say what you found on it.")
    with transaction.atomic():
        decided = Upgrade.objects.awaiting_a_person().filter(pk=upgrade.pk).update(
            decided_at=now, decided_by=actor.user, decision_note=note.strip()
        )  # fmt: skip
        if not decided:
            raise UpgradeChanged(f"Upgrade {upgrade.pk} does not wait for a person any more.")
        record("site.unlocked", upgrade.instance, actor=actor, now=now, reason=note, after={"upgrade": upgrade.pk})
    return upgrade.instance
