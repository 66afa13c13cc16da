"""`manage.py serve` for real: gunicorn, both clusters and a PostgreSQL of its own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from releasemgr.lib import sessions

pytestmark = pytest.mark.queue

BASE = Path(__file__).parent.parent
EXIT_WITHIN = 60.0


def wait_until(condition: Callable[[], object], within: float = 40.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


class Served:
    """A checkout's var folder, and what serves it now."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.log = var.parent / "log"
        self.environment = {**os.environ, "RELEASEMGR_VAR": str(var), "DATABASE_URL": ""}
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(command, cwd=BASE, env=self.environment, capture_output=True, text=True)

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "manage.py", "serve", "--port", str(self.port), "--web-workers", "1"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=BASE, env=self.environment, stdout=log, stderr=log)
        wait_until(lambda: self.answers() and self.said().count("] running.") >= 2)
        return self.process

    def said(self) -> str:
        return self.log.read_text()

    def answers(self) -> bool:
        """Anything at all over HTTP; which page there is, is not asked here."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def leaders(self) -> dict[str, sessions.Member]:
        known = json.loads((self.var / "serve.json").read_text())["children"]
        return {name: sessions.Member(pid, pid, started) for name, (pid, started) in known.items()}

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(EXIT_WITHIN)
        if (self.var / "serve.json").exists():
            for leader in self.leaders().values():
                sessions.kill(leader)
        self.manage("database", "stop")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def served() -> Iterator[Served]:
    """Not in tmp_path, where another user's PostgreSQL may not go when root runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="releasemgr-test-"))
    folder.chmod(0o711)
    served = Served(folder / "var")
    assert served.manage("migrate", "--verbosity", "0").returncode == 0
    yield served
    served.end()
    shutil.rmtree(folder)


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


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
