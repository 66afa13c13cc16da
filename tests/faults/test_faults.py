"""Each fault at each moment: no step runs twice, the log is whole, and the outcome is true (U3).

docs/reliability.md lists them. `make faults` tries all, `make test` those that are quick.
"""

import os
import time
from collections.abc import Callable

import pytest

from tests.faults.network import Network
from tests.faults.world import PATIENCE, Supervisor, World, cut_database
from tests.upgrades.sites import wait_until
from upgrades.choices import EndCode, Outcome

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

MOMENTS = ("backup", "migrate", "restart", "undo")
"""While what only prepares runs, while the site is changed, after the switch, and on the way back."""
RAN = {moment: ["backup", "migrate", "restart"] for moment in MOMENTS} | {
    "undo": ["backup", "migrate", "restart", "undo", "restart"]
}
LONGER_THAN_SILENCE = 9.0  # seconds
PAYLOAD = 150 * 1024 * 1024  # bytes, some seconds on the way


def cut_the_link(world: World) -> None:
    world.server.drop_connections()


def cut_the_link_again_and_again(world: World) -> None:
    for _time in range(3):
        world.server.drop_connections()
        time.sleep(1.5)


def hang_the_ssh_server(world: World) -> None:
    world.server.freeze()
    time.sleep(LONGER_THAN_SILENCE)
    world.server.thaw()


def stop_the_ssh_server_for_a_while(world: World) -> None:
    world.server.stop()
    time.sleep(4)
    world.server.start()


def kill_the_supervisor(world: World) -> None:
    world.supervisor.kill()
    world.supervisor.start()


def kill_the_supervisor_and_cut_the_link(world: World) -> None:
    world.supervisor.kill()
    world.server.drop_connections()
    world.supervisor.start()


def cut_the_database(_world: World) -> None:
    cut_database()


FAULTS: tuple[Callable[[World], None], ...] = (
    cut_the_link, cut_the_link_again_and_again, hang_the_ssh_server, stop_the_ssh_server_for_a_while,
    kill_the_supervisor, kill_the_supervisor_and_cut_the_link, cut_the_database,
)  # fmt: skip
QUICK = {(cut_the_link, "undo"), (hang_the_ssh_server, "migrate"), (cut_the_database, "restart")}


def combinations() -> list[object]:
    return [
        pytest.param(
            fault,
            moment,
            id=f"{fault.__name__}-{moment}",
            marks=[pytest.mark.quick] if (fault, moment) in QUICK else [],
        )
        for fault in FAULTS
        for moment in MOMENTS
    ]


def assert_whole(world: World, moment: str) -> None:
    assert world.ran() == RAN[moment]
    assert world.log_kept() == world.log_on_host()
    began = [step.name for step in world.upgrade.steps.exclude(started_at=None)]
    assert len(began) == len(set(began))
    expected = Outcome.ROLLED_BACK if moment == "undo" else Outcome.SUCCEEDED
    assert world.upgrade.outcome == expected
    assert world.site.current() == ("releases/1.0" if moment == "undo" else "releases/1.1")


@pytest.mark.parametrize(("fault", "moment"), combinations())
def test_what_happens_between_the_dashboard_and_a_host_changes_no_outcome(
    world: World, fault: Callable[[World], None], moment: str
) -> None:
    world.begin(moment)
    fault(world)
    world.go(moment)
    world.await_end()
    assert_whole(world, moment)


@pytest.mark.root
@pytest.mark.parametrize("moment", [pytest.param("migrate", marks=pytest.mark.quick), "backup", "restart", "undo"])
def test_packets_that_are_dropped_silently_change_no_outcome(far_world: World, network: Network, moment: str) -> None:
    far_world.begin(moment)
    network.drop()
    time.sleep(LONGER_THAN_SILENCE)
    far_world.go(moment)
    network.mend()
    far_world.await_end()
    assert_whole(far_world, moment)


@pytest.mark.parametrize(
    "fault", [cut_the_link, hang_the_ssh_server, kill_the_supervisor, kill_the_supervisor_and_cut_the_link]
)
def test_what_happens_while_an_artefact_is_sent_changes_no_outcome(
    world: World, fault: Callable[[World], None]
) -> None:
    world.plan("migrate", os.urandom(PAYLOAD))
    world.supervisor.start()
    while world.arrived() < PAYLOAD // 20:
        pass
    fault(world)
    world.await_moment("migrate")
    world.go("migrate")
    world.await_end()
    assert_whole(world, "migrate")


def test_a_supervisor_that_is_killed_before_its_launch_was_answered_has_begun_once_or_not_at_all(world: World) -> None:
    """U1: what it sent may have begun, or may not."""
    world.plan("migrate")
    world.supervisor.start()
    while not list(world.site.work.glob("incoming.*")) and not world.site.upgrade(world.upgrade.pk).exists():
        pass
    world.supervisor.kill()
    world.supervisor.start()
    world.await_moment("migrate")
    world.go("migrate")
    world.await_end()
    assert_whole(world, "migrate")


@pytest.mark.parametrize("moment", ["restart", "undo"])
def test_a_result_that_the_supervisor_did_not_live_to_read_is_read_by_the_next(world: World, moment: str) -> None:
    world.begin(moment)
    world.supervisor.freeze()
    world.go(moment)
    wait_until(lambda: world.site.result(world.upgrade.pk) is not None)
    world.supervisor.kill()
    world.supervisor.start()
    world.await_end()
    assert_whole(world, moment)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_supervisor_that_wakes_up_after_its_lease_was_taken_writes_nothing_more(world: World, moment: str) -> None:
    """As one whose machine was paused. The other follows the same runner meanwhile."""
    world.begin(moment)
    other = Supervisor(world.server)
    world.supervisor.freeze()
    other.start()
    try:
        kept = len(world.log_kept())
        wait_until(lambda: len(world.log_kept()) > kept, PATIENCE)
        world.supervisor.thaw()
        world.go(moment)
        world.await_end()
    finally:
        other.kill()
    assert_whole(world, moment)


@pytest.mark.parametrize("step_too", [pytest.param(True, id="reboot"), pytest.param(False, id="runner")])
@pytest.mark.parametrize("moment", MOMENTS)
def test_what_a_host_loses_is_neither_run_again_nor_taken_back(world: World, moment: str, *, step_too: bool) -> None:
    """Nobody knows how far the step came. What only prepared has changed nothing; anything later needs a person."""
    world.begin(moment)
    world.kill_on_host(step_too=step_too)
    world.go(moment)
    world.await_end()
    assert world.ran() == RAN[moment][: RAN[moment].index(moment) + 1]
    assert world.log_kept() == world.log_on_host()
    expected = Outcome.FAILED_CLEAN if moment == "backup" else Outcome.NEEDS_A_PERSON
    assert (world.upgrade.outcome, world.upgrade.end_code) == (expected, EndCode.RUNNER_GONE)
