"""What failed is tried again when a person says so (P11)."""

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef

from instances.models import Instance
from releasemgr.lib.actors import Actor
from releasemgr.lib.history.services import record, refuse_unless_seen
from upgrades.choices import CONNECTION_TROUBLE, GOOD, PARKING, PARKS_NOTHING, Outcome, RunKind
from upgrades.exceptions import NothingToUpgrade, ReasonMissing, UpgradeChanged
from upgrades.models import Run, Upgrade
from upgrades.plan import fingerprint, plan
from upgrades.services.facts import ALWAYS_WAIVED, facts_now
from upgrades.services.runs import start_upgrades


def retryable(run: Run) -> list[Upgrade]:
    """The failed upgrades of a run whose sites have seen no upgrade since and wait for nobody, in the run's order."""
    later = Upgrade.objects.filter(instance=OuterRef("instance"), pk__gt=OuterRef("pk")).exclude(run=run)
    failed = run.upgrades.failed().exclude(outcome=Outcome.NEEDS_A_PERSON, decided_at=None)
    return list(failed.exclude(Exists(later)).for_list())


class RetryPreview:
    """What trying again would do now to the sites of these upgrades, by the one plan (P1). Changes nothing."""

    def __init__(self, upgrades: Sequence[Upgrade], now: datetime) -> None:
        self.upgrades = {upgrade.instance_id: upgrade for upgrade in upgrades}
        sites = [upgrade.instance for upgrade in upgrades]
        self.decisions = plan(facts_now(sites, now, waived=ALWAYS_WAIVED), now) if sites else []
        self.going = [decision for decision in self.decisions if decision.upgrades]
        self.staying = [decision for decision in self.decisions if not decision.upgrades]

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.decisions)


def preview_retry(run: Run, site: Instance | None = None, *, now: datetime) -> RetryPreview:
    """For all that failed in a run, or for one site of it."""
    return RetryPreview([one for one in retryable(run) if site is None or one.instance_id == site.pk], now)


def retry_failed(
    run: Run, sites: Collection[int] | None = None, *, actor: Actor, now: datetime, reason: str = "",
    seen: str | None = None,
) -> Run:  # fmt: skip
    """Upgrades the sites that failed in a run once more, all or those with these ids, as their targets say now.

    Raises NothingToUpgrade where nothing is left to be tried again, and PlanChanged.
    """
    again = [one.instance_id for one in retryable(run) if sites is None or one.instance_id in sites]
    if not again:
        raise NothingToUpgrade(f"Nothing of run {run.pk} is left to be tried again.")
    chosen = list(Instance.objects.filter(pk__in=again).for_list())
    return start_upgrades(
        chosen, actor=actor, now=now, seen=seen, kind=RunKind.RETRY,
        reason=reason or f"What failed in run {run.pk} is tried again.",
    )  # fmt: skip


def let_retry(upgrade: Upgrade, *, actor: Actor, now: datetime, note: str, seen: int | None = None) -> Instance:
    """Lets the nights try this build on this site again, however often it failed there, with a reason (P11).

    Raises ReasonMissing, UpgradeChanged where it is not parked, or ChangedMeanwhile for its site.
    """
    if not note.strip():
        raise ReasonMissing("Letting the nights try again needs a reason: say what has changed.")
    with transaction.atomic():
        site = Instance.objects.select_for_update(no_key=True).get(pk=upgrade.instance_id)
        parked = Upgrade.objects.parking()
        if not parked.filter(pk=upgrade.pk).exists():
            raise UpgradeChanged(f"Upgrade {upgrade.pk} is not parked.")
        refuse_unless_seen(site, seen)
        same = parked.filter(instance=upgrade.instance_id, build=upgrade.build_id)
        same.update(retried_at=now, retried_by=actor.user, retry_note=note.strip())
        record("site.unparked", upgrade.instance, actor=actor, now=now, reason=note, after={"upgrade": upgrade.pk})
    return upgrade.instance


def is_parking(upgrade: Upgrade) -> bool:
    """Whether this end keeps the build from being tried again on the site by itself (P11)."""
    if upgrade.retried_at or upgrade.outcome not in PARKING or upgrade.end_code in PARKS_NOTHING:
        return False
    return upgrade.outcome != Outcome.BLOCKED or upgrade.end_code not in CONNECTION_TROUBLE


def is_parked(upgrade: Upgrade) -> bool:
    """Whether the site waits for a person because of this end: nothing later of this build on it made it good (P11)."""
    if not is_parking(upgrade) or (upgrade.outcome == Outcome.NEEDS_A_PERSON and not upgrade.decided_at):
        return False
    later = Upgrade.objects.filter(instance=upgrade.instance_id, build=upgrade.build_id, pk__gt=upgrade.pk)
    return not later.filter(outcome__in=GOOD).exists()
