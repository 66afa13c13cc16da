"""Which waves have come (P4): read whenever something may begin, so that a change of the policy acts at once."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Count, F, Max, Q

from upgrades.choices import UpgradeState
from upgrades.models import Policy, Upgrade

NO_STAGE = 10_000


def claimable(now: datetime) -> list[tuple[int, int]]:
    """The numbers of the upgrades that may begin now, each with its host's id, in the order of their turn.

    At most three queries.
    """
    due = list(Upgrade.objects.due(now).values_list("pk", "instance__host_id", "run_id", "wave__stage"))
    if not due:
        return []
    reached = stages_reached({run for _pk, _host, run, _stage in due}, now)
    return [(pk, host) for pk, host, run, stage in due if (stage or 0) <= reached.get(run, NO_STAGE)]


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
