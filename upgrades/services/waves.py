"""Which waves have come (P4): read whenever something may begin, so that a change of the policy acts at once."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Count, F, Max, Q

from upgrades.choices import UpgradeState
from upgrades.models import Policy, Upgrade

NO_STAGE = 10_000


class Due(NamedTuple):
    """An upgrade that may begin, by its number and the ids of what it belongs to. `stage` is that of its wave."""

    number: int
    site: int
    host: int
    run: int
    stage: int | None


def claimable(now: datetime) -> list[Due]:
    """The upgrades that may begin now, in the order of their turn. At most three queries."""
    rows = Upgrade.objects.due(now).values_list("pk", "instance_id", "instance__host_id", "run_id", "wave__stage")
    due = [Due(*row) for row in rows]
    if not due:
        return []
    reached = stages_reached({one.run for one in due}, now)
    return [one for one in due if (one.stage or 0) <= reached.get(one.run, NO_STAGE)]


def stages_reached(runs: Iterable[int], now: datetime) -> dict[int, int]:
    """By run, the last stage that may begin: the first of which something is open has not let go of the next.

    Only sites whose turn has come are waited for, so that windows in far-apart zones do not starve each other.
    A stage that is over still holds the next one back for the pause between waves.
    """
    counted = (
        Upgrade.objects.filter(run__in=runs, opens_at__lte=now, wave__isnull=False)
        .values("run_id", stage=F("wave__stage"))
        .order_by("run_id", "stage")
        .annotate(open=Count("pk", filter=~Q(state=UpgradeState.ENDED)), last=Max("ended_at"))
    )
    pause = timedelta(minutes=Policy.objects.values_list("wave_pause_min", flat=True).get())
    holding: dict[int, list[int]] = defaultdict(list)
    for row in counted:
        if row["open"] or (row["last"] and row["last"] + pause > now):
            holding[row["run_id"]].append(row["stage"])
    return {run: stages[0] for run, stages in holding.items()}
