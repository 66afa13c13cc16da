"""A simulated year: the real plan and services on a clock of their own, with hosts that fail as hosts do.

By default its first weeks; see DAYS.
"""

import time
from collections.abc import Callable

import pytest
from django.db.models import Count

from instances.models import TargetChange
from releasemgr.lib.history.models import Change
from tests.effort import EFFORT
from tests.rules.year import Year, assert_every_rule_was_kept
from upgrades.choices import GOOD
from upgrades.models import Run, Upgrade

DAYS = 365 if EFFORT > 1 else 45
"""Long enough for builds to become stable; RELEASEMGR_TEST_EFFORT=2 lives the whole year."""


@pytest.mark.year
@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(1200 * EFFORT)
@pytest.mark.parametrize("seed", range(EFFORT))
def test_a_year_of_a_fleet_ends_with_every_rule_kept(seed: int, record_property: Callable[[str, object], None]) -> None:
    began, worked = time.monotonic(), time.process_time()
    year = Year(seed)

    year.live(DAYS)

    assert_every_rule_was_kept()
    assert Run.objects.count() == DAYS
    assert TargetChange.objects.count() == Change.objects.filter(kind="target.changed").count()
    stages = Upgrade.objects.values("run", "instance", "leg").annotate(times=Count("pk")).filter(times__gt=1)
    assert not stages.exists()
    upgrades = Upgrade.objects.exclude(outcome=None)
    assert upgrades.filter(outcome__in=GOOD).count() > 0.9 * upgrades.count(), "most of it went well"
    took = f"{time.monotonic() - began:.0f} s, {time.process_time() - worked:.0f} s of them in Python"
    record_property("figures", f"{year.report()}\n  in {took}")
