"""`manage.py serve` for real: gunicorn, both clusters and a PostgreSQL of its own."""

import os
import re
import signal
from pathlib import Path

import pytest

from releasemgr.lib import sessions
from tests.queue.fleet import LINES, Fleet
from tests.queue.served import EXIT_WITHIN, Served, wait_until

pytestmark = pytest.mark.queue
CLUSTERS = ("the upgrade workers", "the control workers")
SOME_TASKS = """
from releasemgr.lib import clock, queue
from releasemgr.lib.heartbeats.services import BEAT_TASK, UPGRADES
from upgrades.services.runs import wake_reaper

wake_reaper(clock.now())
for _ in range(4):  # a cluster that hangs still fetches a few
    queue.enqueue(BEAT_TASK, UPGRADES, cluster=UPGRADES)
"""


def test_it_serves_until_it_is_asked_to_stop_and_leaves_nothing_but_the_database(served: Served) -> None:
    process = served.start()
    leaders = served.leaders()
    assert len(leaders) == 3
    wait_until(lambda: "The dashboard answers on" in served.said())
    assert silent_since(served, "-infinity") == [], "the first page says nothing of silent workers"
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


def test_clusters_that_lose_a_vital_process_are_replaced_as_a_whole(served: Served) -> None:
    """Their workers would go on unsupervised; a cluster whose sentinel dies even ends with status 0."""
    served.start()
    before = {name: leader for name, leader in served.leaders().items() if name in CLUSTERS}
    pids = [member.pid for leader in before.values() for member in sessions.members(leader)]
    main, other = (before[name].pid for name in CLUSTERS)
    sentinel = next(pid for pid in pids if parent_of(pid) == other)

    for pid in (main, sentinel):
        os.kill(pid, signal.SIGKILL)

    wait_until(lambda: all(served.leaders().get(name) not in (None, leader) for name, leader in before.items()))
    wait_until(lambda: served.said().count("] running.") >= 4)
    assert [pid for pid in pids if sessions.find(pid) is not None] == []
    for name in CLUSTERS:
        assert f"Ended by itself: {name}" in served.said()


def test_clusters_that_hang_are_replaced_and_take_what_waited(served: Served) -> None:
    """One stands still altogether; of the other the idle workers are killed, one of whom held the lock of its queue.

    Both have all their processes then, and look healthy.
    """
    served.start("-m", "tests.queue.impatient")
    wait_until(lambda: silent_since(served, "-infinity") == [])
    before = served.leaders()
    for member in sessions.members(before["the control workers"]):
        os.kill(member.pid, signal.SIGSTOP)
    for pid in workers_of(served, before["the upgrade workers"]):
        os.kill(pid, signal.SIGKILL)
    [(killed_at,)] = served.query("SELECT now()")

    assert served.manage("shell", "--no-imports", "-c", SOME_TASKS).returncode == 0

    wait_until(lambda: silent_since(served, killed_at) == [], 60)
    after = served.leaders()
    for name in CLUSTERS:
        assert f"Not well, so killed and started again: {name}." in served.said()
        assert after[name] != before[name]
        assert sessions.members(before[name]) == []
    assert after["the web server"] == before["the web server"]


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


def silent_since(served: Served, moment: object) -> list[str]:
    """Who has not shown since then that it lives."""
    rows = served.query(f"SELECT name FROM heartbeats_heartbeat WHERE at IS NULL OR at <= '{moment}'")  # noqa: S608
    return [name for (name,) in rows]


def workers_of(served: Served, leader: sessions.Member) -> list[int]:
    """Those that wait for a task. Its other processes say something else of themselves."""
    ready = {int(pid) for pid in re.findall(r"ready for work at (\d+)", served.said())}
    workers = [member.pid for member in sessions.members(leader) if member.pid in ready]
    assert workers
    return workers


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
