"""`manage.py serve` for real: gunicorn, both clusters and a PostgreSQL of its own."""

import os
import signal
from pathlib import Path

import pytest

from releasemgr.lib import sessions
from tests.queue.fleet import LINES, Fleet
from tests.queue.served import EXIT_WITHIN, Served, wait_until

pytestmark = pytest.mark.queue


def test_it_serves_until_it_is_asked_to_stop_and_leaves_nothing_but_the_database(served: Served) -> None:
    process = served.start()
    leaders = served.leaders()
    assert len(leaders) == 3
    second = served.manage("serve")
    assert f"already served, by process {process.pid}" in second.stderr

    process.send_signal(signal.SIGTERM)

    assert process.wait(EXIT_WITHIN) == 0
    assert [sessions.members(leader) for leader in leaders.values()] == [[], [], []]
    assert "Killed" not in served.said()
    ended = [line.rpartition("Ended: ")[2] for line in served.said().splitlines() if "Ended: " in line]
    assert ended == ["the upgrade workers.", "the control workers.", "the web server."]
    assert "It runs as process" in served.manage("database", "status").stdout


def test_after_a_kill_9_of_the_supervisor_the_next_one_starts_clean(served: Served) -> None:
    process = served.start()
    before = served.leaders()
    process.kill()
    process.wait()

    served.log.unlink()
    served.start()

    assert [sessions.members(leader) for leader in before.values()] == [[], [], []]
    assert all(sessions.members(leader) for leader in served.leaders().values())


@pytest.mark.parametrize("victim", ["main process", "sentinel"])
def test_a_cluster_that_loses_a_vital_process_is_replaced_as_a_whole(served: Served, victim: str) -> None:
    """Its workers would go on unsupervised; when its sentinel dies it even ends with status 0."""
    served.start()
    before = served.leaders()["the upgrade workers"]
    pids = [each.pid for each in sessions.members(before)]
    sentinel = next(pid for pid in pids if parent_of(pid) == before.pid)

    os.kill(before.pid if victim == "main process" else sentinel, signal.SIGKILL)

    wait_until(lambda: served.leaders()["the upgrade workers"] != before)
    wait_until(lambda: served.said().count("] running.") >= 3)
    assert [pid for pid in pids if sessions.find(pid) is not None] == []
    assert "Ended by itself: the upgrade workers" in served.said()


def test_it_refuses_to_serve_a_database_that_lacks_migrations(served: Served) -> None:
    assert served.manage("migrate", "upgrades", "zero", "--verbosity", "0").returncode == 0
    refused = served.manage("serve")
    assert refused.returncode == 1
    assert "manage.py migrate" in refused.stderr


@pytest.mark.timeout(240)
def test_a_stop_in_the_middle_of_a_night_loses_nothing(served: Served, fleet: Fleet) -> None:
    """U3: the tasks leave their slots when asked, the steps run on, and the next start reads what they did."""
    process = served.start()
    fleet.start_upgrades()
    fleet.await_middle()

    process.send_signal(signal.SIGTERM)
    assert process.wait(EXIT_WITHIN) == 0
    assert fleet.query("SELECT 1 FROM upgrades_slot WHERE until > now()") == []
    assert fleet.query("SELECT 1 FROM upgrades_hostlease WHERE until > now()") == []
    assert fleet.query("SELECT 1 FROM upgrades_upgrade WHERE state = 'ended'") == []
    assert "Killed" not in served.said()
    assert fleet.lines_kept() < LINES

    served.log.unlink()
    served.start()
    fleet.await_end(90)
    fleet.assert_nothing_lost_or_doubled()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
