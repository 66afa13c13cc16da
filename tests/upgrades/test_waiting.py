"""wait_for: what --wait does while no worker lives."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from releasemgr.lib import clock
from tests.factories import make_run, make_upgrade
from upgrades import tasks
from upgrades.choices import EndCode, Outcome, UpgradeState
from upgrades.models import Run, Slot, Upgrade
from upgrades.services.slots import LEASE

pytestmark = pytest.mark.django_db


class Idle:
    """A supervisor that finds nothing it may begin."""

    def __init__(self, _connect: object, *, keep_going: Callable[[], bool]) -> None: ...

    def run(self) -> None: ...


@pytest.fixture(autouse=True)
def nobody_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "Supervisor", Idle)
    monkeypatch.setattr(tasks, "PATIENCE", -1.0)
    monkeypatch.setattr("upgrades.tasks.time.sleep", lambda _seconds: None)


def test_p7_a_run_whose_time_is_over_ends_also_where_there_is_no_reaper() -> None:
    hour_ago = clock.now() - timedelta(hours=1)
    run = make_run(starts_at=hour_ago, ends_at=hour_ago + timedelta(minutes=30))
    upgrade = make_upgrade(run=run)
    told: list[Run] = []

    tasks.wait_for(run, told.append)

    assert run.ended_at
    upgrade.refresh_from_db()
    assert (upgrade.state, upgrade.outcome) == (UpgradeState.ENDED, Outcome.NOT_STARTED)
    assert told == [run]


def test_a_run_that_has_ended_is_not_waited_for() -> None:
    run = make_run(ended_at=clock.now())

    tasks.wait_for(run)

    assert not Upgrade.objects.exists()


def test_it_supervises_without_a_break_and_leaves_once_a_worker_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A break in the middle would begin a large artefact's sending anew."""
    run = make_run(ends_at=clock.now() + timedelta(hours=1))
    upgrade = make_upgrade(run=run)
    went_on: list[bool] = []

    class Curious(Idle):
        def __init__(self, _connect: object, *, keep_going: Callable[[], bool]) -> None:
            went_on.append(keep_going())
            Slot.objects.update(until=Now() + LEASE)
            went_on.append(keep_going())
            Slot.objects.update(until=Now())
            upgrade.end(Outcome.SKIPPED, EndCode.REPLANNED, now=clock.now())
            went_on.append(keep_going())

    monkeypatch.setattr(tasks, "Supervisor", Curious)
    told: list[Run] = []
    tasks.wait_for(run, told.append)
    assert went_on == [True, False, False]
    assert len(told) == 4
