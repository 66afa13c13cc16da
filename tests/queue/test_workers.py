"""What happens to upgrades when their workers die: real clusters, real SSH, real kills (U3)."""

import os
import signal

import pytest

from tests.queue.fleet import Fleet, kill_everything
from tests.queue.served import Served

pytestmark = [pytest.mark.queue, pytest.mark.timeout(240)]

TAKEN_OVER_WITHIN = 120.0  # a lease on a host lasts 25 seconds, and the reaper comes every 15


def test_a_supervisor_killed_in_the_middle_of_a_step_repeats_and_loses_nothing(served: Served, fleet: Fleet) -> None:
    """U3: another worker attaches again and goes on."""
    served.start()
    fleet.start_upgrades()
    fleet.await_middle()

    supervisors = fleet.supervisors()
    assert supervisors
    for pid in supervisors:
        os.kill(pid, signal.SIGKILL)

    fleet.await_end(TAKEN_OVER_WITHIN)
    fleet.assert_nothing_lost_or_doubled()


def test_after_a_kill_of_everything_the_next_start_finishes_what_was_begun(served: Served, fleet: Fleet) -> None:
    """U3: web server, clusters, supervisors and the database die at once; the hosts go on."""
    served.start()
    fleet.start_upgrades()
    fleet.await_middle()

    kill_everything(served)
    served.log.unlink()
    served.start()

    fleet.await_end(TAKEN_OVER_WITHIN)
    fleet.assert_nothing_lost_or_doubled()
