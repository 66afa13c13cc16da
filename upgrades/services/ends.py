"""What a person decides about an upgrade that needs one (U2)."""

from datetime import datetime

from django.db import transaction
from django.db.models import F

from instances.models import Instance
from releasemgr.lib.actors import Actor
from releasemgr.lib.history.services import record, refuse_unless_seen
from upgrades.choices import UpgradeState
from upgrades.exceptions import ReasonMissing, ReportedMeanwhile, UpgradeChanged
from upgrades.models import Upgrade, UpgradeEvent
from upgrades.services import slots


def unlock_site(
    upgrade: Upgrade, *, actor: Actor, now: datetime, note: str, seen: int | None = None, reported: str | None = None
) -> Instance:
    """Ends the lock that an upgrade left on its site, with a reason (U2).

    `reported` is the version that the person saw the site report. Raises ReasonMissing, UpgradeChanged where someone
    else has decided, ReportedMeanwhile, or ChangedMeanwhile for the site.
    """
    if not note.strip():
        raise ReasonMissing("Unlocking a site needs a reason: say what you found on it.")
    with transaction.atomic():
        site = Instance.objects.select_for_update(no_key=True).get(pk=upgrade.instance_id)
        decided = Upgrade.objects.awaiting_a_person().filter(pk=upgrade.pk).update(
            decided_at=now, decided_by=actor.user, decision_note=note.strip()
        )  # fmt: skip
        if not decided:
            raise UpgradeChanged(f"Upgrade {upgrade.pk} does not wait for a person any more.")
        refuse_unless_seen(site, seen)
        if reported is not None and reported != site.reported_version:
            raise ReportedMeanwhile(f"{site} has reported {site.reported_version or 'no version'} meanwhile.")
        record("site.unlocked", upgrade.instance, actor=actor, now=now, reason=note, after={"upgrade": upgrade.pk})
    return upgrade.instance


def run_way_back(upgrade: Upgrade, *, actor: Actor, now: datetime, reason: str, seen: int | None = None) -> None:
    """Has its host run its way back once more; the site stays locked until that has ended (U5).

    Raises ReasonMissing, UpgradeChanged where it does not wait for a person, or never began, or ChangedMeanwhile for
    its site.
    """
    if not reason.strip():
        raise ReasonMissing("Running the way back needs a reason: say what you found on the site.")
    with transaction.atomic():
        site = Instance.objects.select_for_update(no_key=True).get(pk=upgrade.instance_id)
        sent = Upgrade.objects.awaiting_a_person().filter(pk=upgrade.pk, started_at__isnull=False).update(
            state=UpgradeState.ROLLING_BACK, outcome=None, ended_at=None, end_code="", end_values={},
            backs=F("backs") + 1, secrets_digest="",
        )  # fmt: skip
        if not sent:
            raise UpgradeChanged(f"Upgrade {upgrade.pk} does not wait for a person any more.")
        refuse_unless_seen(site, seen)
        UpgradeEvent.objects.create(
            upgrade_id=upgrade.pk, at=now, from_state=UpgradeState.ENDED, to_state=UpgradeState.ROLLING_BACK
        )
        said = {"upgrade": upgrade.pk}
        record("upgrade.sent_back", upgrade.instance, actor=actor, now=now, reason=reason, after=said)
        slots.wake(now)
