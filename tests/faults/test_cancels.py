"""U4: a cancel at each moment, once or twice, also while the supervisor dies of it: nothing is left running."""

import pytest

from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from tests.faults.test_faults import RAN
from tests.faults.world import PATIENCE, World
from tests.upgrades.sites import wait_until
from upgrades.choices import EndCode, Outcome
from upgrades.exceptions import CancelRefused
from upgrades.services.cancels import Cancel, cancel_upgrade

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]
AWAITED = ("migrate", "restart")
"""They change the site, so their end is waited for; then it goes back."""
GONE_BACK = {"backup": ["backup"], "migrate": ["backup", "migrate", "undo"],
             "restart": ["backup", "migrate", "restart", "undo", "restart"]}  # fmt: skip


def cancel(world: World) -> Cancel:
    return cancel_upgrade(world.upgrade, actor=COMMAND, now=clock.now(), reason="Wrong build")


@pytest.mark.parametrize("killed", [pytest.param(False, id="lives"), pytest.param(True, id="killed")])
@pytest.mark.parametrize("moment", [pytest.param("backup", marks=pytest.mark.quick), "migrate", "restart"])
def test_a_cancel_leaves_the_old_version_and_nothing_running(world: World, moment: str, *, killed: bool) -> None:
    world.begin(moment)
    step = world.step()
    assert cancel(world) is Cancel.ASKED
    assert cancel(world) is Cancel.ASKED_BEFORE
    if killed:
        world.supervisor.kill()
        world.supervisor.start()
    if moment in AWAITED:
        wait_until(lambda: (world.site.upgrade(world.upgrade.pk) / "cancel").exists(), PATIENCE)
        world.go(moment)
    world.await_end()
    expected = Outcome.ROLLED_BACK if moment in AWAITED else Outcome.CANCELLED
    assert (world.upgrade.outcome, world.upgrade.end_code) == (expected, EndCode.CANCELLED)
    assert world.ran() == GONE_BACK[moment]
    assert world.log_kept() == world.log_on_host()
    assert world.site.current() == "releases/1.0"
    assert not world.lives(step)


def test_a_way_back_is_not_cancelled(world: World) -> None:
    world.begin("undo")
    with pytest.raises(CancelRefused):
        cancel(world)
    world.go("undo")
    world.await_end()
    assert (world.upgrade.outcome, world.ran()) == (Outcome.ROLLED_BACK, RAN["undo"])


def test_a_cancel_on_a_host_that_is_away_is_kept_until_it_answers(world: World) -> None:
    world.begin("backup")
    world.server.stop()
    assert cancel(world) is Cancel.ASKED
    world.server.start()
    world.await_end()
    assert (world.upgrade.outcome, world.ran()) == (Outcome.CANCELLED, ["backup"])
