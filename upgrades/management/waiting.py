"""Waits for a run on the command line, and says how far it is on standard error."""

from django.core.management.base import OutputWrapper

from upgrades import tasks
from upgrades.models import Run
from upgrades.querysets import UpgradeQuerySet


def wait_and_tell(run: Run, to: OutputWrapper) -> None:
    """Returns when the run has ended; supervises in this process while no worker does."""
    told: list[str] = []

    def tell(_run: Run) -> None:
        line = _progress(run.upgrades.all())
        if told[-1:] != [line]:
            told.append(line)
            to.write(line)

    tasks.wait_for(run, tell)
    run.refresh_from_db()


def _progress(upgrades: UpgradeQuerySet) -> str:
    total, active = upgrades.count(), upgrades.active().count()
    return f"{total - active} of {total} upgrades ended, {upgrades.begun().count()} under way"
