"""A var folder of its own, and `manage.py serve` on it: gunicorn, both clusters and a PostgreSQL."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from releasemgr.lib import sessions
from releasemgr.lib.embedded.server import DATABASE, ROLE, Server

BASE = Path(__file__).parents[2]
EXIT_WITHIN = 60.0


def wait_until(condition: Callable[[], object], within: float = 80.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


class Served:
    """A checkout's var folder, and what serves it now. `database` is one that is not in that folder."""

    def __init__(self, var: Path, database: Server | None = None) -> None:
        self.var = var
        self.database = database or Server(var)
        self.log = var.parent / "log"
        url = f"postgres://{ROLE}@/{DATABASE}?host={quote(str(database.place.socket_dir), safe='')}" if database else ""
        self.environment = {**os.environ, "RELEASEMGR_VAR": str(var), "DATABASE_URL": url}
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(command, cwd=BASE, env=self.environment, capture_output=True, text=True)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Asked of the database itself, so that nothing of ours stands between."""
        socket = self.database.place.socket_dir
        with psycopg.connect(host=str(socket), user=ROLE, dbname=DATABASE) as connection:
            return connection.execute(sql).fetchall()

    def start(self, *serve: str) -> subprocess.Popen[bytes]:
        """`serve` are the words after “python” that start it, where it is not manage.py."""
        words = serve or ("manage.py", "serve")
        command = [sys.executable, *words, "--port", str(self.port), "--web-workers", "1"]
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
