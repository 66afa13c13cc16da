"""What happens to upgrades when the dashboard's machine fails: its processes, its database, its disk (U3).

docs/reliability.md lists them. `make faults` tries these.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from releasemgr.lib.embedded.server import Server, postmaster
from tests.queue.fleet import Fleet, kill_everything
from tests.queue.served import Served, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

AWAY = 30.0  # seconds
TAKEN_OVER_WITHIN = 150.0


@contextmanager
def hosts_of(folder: Path, served: Served) -> Iterator[Fleet]:
    fleet = Fleet(folder, served)
    fleet.start()
    try:
        yield fleet
    finally:
        fleet.end()


@pytest.fixture
def database(folder: Path) -> Iterator[Server]:
    """Not the one of the checkout, which a process that finds it gone would start again."""
    database = Server(folder / "elsewhere")
    database.start()
    yield database
    database.stop()


@pytest.fixture
def served_from_elsewhere(folder: Path, database: Server) -> Iterator[Served]:
    served = Served(folder / "var", database)
    assert served.manage("migrate", "--verbosity", "0").returncode == 0
    yield served
    served.end()


@pytest.mark.parametrize("moment", ["backup", "migrate", "restart"])
def test_a_machine_that_dies_and_starts_again_finishes_what_it_began(served: Served, fleet: Fleet, moment: str) -> None:
    """Its web server, clusters, supervisors and database at once."""
    fleet.moment = moment
    served.start()
    fleet.start_upgrades()
    fleet.await_middle()

    kill_everything(served)
    served.log.unlink()
    served.start()

    fleet.await_end(TAKEN_OVER_WITHIN)
    fleet.assert_nothing_lost_or_doubled()


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_a_database_that_is_away_for_half_a_minute_changes_no_outcome(
    folder: Path, served_from_elsewhere: Served, database: Server, way: signal.Signals
) -> None:
    """Nobody starts anything anew but the database itself."""
    with hosts_of(folder, served_from_elsewhere) as fleet:
        served_from_elsewhere.start()
        fleet.start_upgrades()
        fleet.await_middle()
        serving = served_from_elsewhere.process

        running = postmaster(database.place.data_dir)
        assert running
        os.kill(running.pid, way)
        wait_until(lambda: postmaster(database.place.data_dir) is None)
        time.sleep(AWAY)
        database.start()

        fleet.await_end(TAKEN_OVER_WITHIN)
        fleet.assert_nothing_lost_or_doubled()
        assert serving
        assert serving.poll() is None
        assert served_from_elsewhere.answers()


# A disk of its own.

DISK = "300m"
LINES_MEANWHILE = 500  # a tenth of a second each: the step is still at it when there is room again


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """The dashboard's var folder, with its database, on a disk of its own."""
    var = folder / "var"
    var.mkdir(mode=0o711)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=711", "tmpfs", str(var)], check=True)
    yield var
    subprocess.run(["umount", "--lazy", str(var)], check=True)


def fill(disk: Path) -> Path:
    """To its last byte."""
    filling = disk / "filling"
    with filling.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert shutil.disk_usage(disk).free == 0
    return filling


@pytest.mark.root
@pytest.mark.parametrize("crash", [False, True], ids=["no-room-for-rows", "database-crashes"])
def test_a_full_disk_changes_no_outcome_once_there_is_room_again(
    folder: Path, small_disk: Path, served: Served, *, crash: bool
) -> None:
    """Without room for its own journal PostgreSQL crashes, and cannot start. Nobody does anything but make room."""
    with hosts_of(folder, served) as fleet:
        fleet.lines = LINES_MEANWHILE
        serving = served.start()
        fleet.start_upgrades()
        fleet.await_middle()

        filling = fill(small_disk)
        if crash:
            with pytest.raises(psycopg.Error):
                fleet.query("SELECT pg_switch_wal(), pg_sleep(1), pg_switch_wal(), txid_current()")
        time.sleep(AWAY)
        assert "No space left on device" in served.database.log_file.read_text()
        filling.unlink()
        wait_until(lambda: answers(served.database), TAKEN_OVER_WITHIN)

        fleet.await_end(TAKEN_OVER_WITHIN)
        fleet.assert_nothing_lost_or_doubled()
        assert serving.poll() is None
        assert served.answers()


def answers(database: Server) -> bool:
    try:
        return database.answers()
    except OSError:
        return False
