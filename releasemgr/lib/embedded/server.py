"""The life of the embedded PostgreSQL: made once, found again by every process, started when it is down.

It outlives whoever started it. A kill -9 of everything needs no repair: the next connection starts it.
"""

import fcntl
import logging
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from django.core.exceptions import ImproperlyConfigured
from psycopg.pq import PGconn, Ping

from releasemgr.lib.embedded.place import Place, may_enter, place_of
from releasemgr.lib.embedded.programs import binaries

logger = logging.getLogger(__name__)

ROLE = DATABASE = "releasemgr"
START_LIMIT = 60.0  # seconds; after a crash it first replays its log
STOP_LIMIT = 60.0
LAUNCHES = 3  # that end by themselves, until a start is given up
RELAUNCH_PAUSE = 0.5  # seconds
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "fsync": "on",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "max_wal_size": "256MB",
    "max_parallel_workers_per_gather": "0",  # needs no /dev/shm, which is small in containers
    "io_method": "sync",  # no I/O processes of its own
    "jit": "off",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}


class NotStarted(OSError):
    """What keeps it from starting may pass."""


@dataclass(frozen=True)
class Postmaster:
    """What postmaster.pid says, once it is known that this process serves this data."""

    pid: int
    ready: bool


class Server:
    """The server of the checkout whose var folder this is."""

    def __init__(self, var_dir: Path) -> None:
        self.var_dir = var_dir

    @cached_property
    def place(self) -> Place:
        self.var_dir.mkdir(parents=True, exist_ok=True)
        try:
            return place_of(self.var_dir)
        except LookupError:
            raise ImproperlyConfigured(
                "This machine has no user as whom the embedded PostgreSQL could run: it needs one with a name,"
                " other than root. Set DATABASE_URL to a server."
            ) from None

    @property
    def log_file(self) -> Path:
        return self.var_dir / "postgres.log"

    def answers(self) -> bool:
        target = f"host='{_quoted(self.place.socket_dir)}' user={ROLE} dbname={DATABASE} connect_timeout=5"
        return self.socket_is_private() and PGconn.ping(target.encode()) == Ping.OK

    def start(self) -> bool:
        """Returns when it answers. Says whether this call started it."""
        if self.answers():
            return False
        with self._lock():
            return self._started()

    def stop(self) -> bool:
        """Ends open connections, writes everything down and returns when it is gone. False: it was not up."""
        with self._lock():
            return stop(self.place.data_dir)

    def _started(self) -> bool:
        launches = 0
        deadline = time.monotonic() + START_LIMIT
        while not self.answers():
            running = postmaster(self.place.data_dir)
            if time.monotonic() > deadline or (running is None and launches == LAUNCHES):
                raise self._did_not_start()
            if running is None:
                time.sleep(RELAUNCH_PAUSE if launches else 0.0)
                self._launch()
                launches += 1
            elif running.ready and not self._socket_file.exists():
                stop(self.place.data_dir)  # someone cleared the folder of its socket: nobody can reach it
            self._wait(deadline)
        return launches > 0

    def _wait(self, deadline: float) -> None:
        """Until it answers, is gone, or the time is over."""
        _wait_until(lambda: self.answers() or postmaster(self.place.data_dir) is None, deadline)

    def _launch(self) -> None:
        self._check_way_in()
        self._prepare_folders()
        programs = binaries(self.place)
        if not self.place.data_dir.exists():
            self._check_moved()
            self._make_data(programs)
        self._check_version(programs)
        self._write_access_rules()
        self._clear_leftovers()
        options = SETTINGS | {
            "unix_socket_directories": f'"{self.place.socket_dir}"',
            "hba_file": str(self.place.access_dir / "hba.conf"),
            "ident_file": str(self.place.access_dir / "ident.conf"),
        }
        command = [str(programs / "postgres"), "-D", str(self.place.data_dir)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with self.log_file.open("ab") as log:
            # setsid forks, so that the server is nobody's child and never a zombie of ours.
            self._run(["setsid", "--fork", *command], stdout=log)
        appeared = time.monotonic() + 15
        if not _wait_until(lambda: postmaster(self.place.data_dir) is not None, appeared):
            raise self._did_not_start()

    def _check_way_in(self) -> None:
        """Data that was made below an open folder stays there when that folder is closed later."""
        if self.place.as_another_user and not may_enter(self.place.account, self.place.home):
            raise ImproperlyConfigured(
                f"The embedded PostgreSQL runs as the user {self.place.account.pw_name}, who may not enter"
                f" {self.place.home}, where its data lies. Let that user enter the folders above, or move"
                f" {self.place.data_dir} to a server and set DATABASE_URL."
            )

    def _check_moved(self) -> None:
        """Data outside the checkout does not move along with it; nobody is shown an empty database instead."""
        if not self._note.exists():
            return
        earlier = Path(self._note.read_text().strip())
        if earlier != self.place.data_dir and earlier.exists():
            raise ImproperlyConfigured(
                f"The database of this checkout lies in {earlier}, from when the checkout was in another"
                f" folder. Move it to {self.place.data_dir}, or remove {self._note} to begin with an empty one."
            )

    @property
    def _note(self) -> Path:
        return self.var_dir / "postgres-lies-elsewhere"

    def _prepare_folders(self) -> None:
        for folder in (self.place.home, self.place.access_dir):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if self.place.home != self.var_dir:
            self.place.home.chmod(0o755)
        self.place.access_dir.chmod(0o755)
        self.place.socket_dir.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._own_folder(self.place.socket_dir)
        if not self.socket_is_private():
            raise ImproperlyConfigured(
                f"{self.place.socket_dir} belongs to someone else, or others may enter it."
                " The embedded PostgreSQL will not put its socket there. Remove it, or set DATABASE_URL."
            )

    def _own_folder(self, folder: Path) -> None:
        """Makes it for the server's user alone; an existing one is left as it is."""
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            return
        os.chown(folder, self.place.account.pw_uid, self.place.account.pw_gid)

    def socket_is_private(self) -> bool:
        try:
            seen = self.place.socket_dir.lstat()
        except FileNotFoundError:
            return False
        is_folder = not self.place.socket_dir.is_symlink() and self.place.socket_dir.is_dir()
        return is_folder and seen.st_uid == self.place.account.pw_uid and seen.st_mode & 0o077 == 0

    def _make_data(self, programs: Path) -> None:
        """Into a folder beside, renamed when complete: a crash leaves nothing half."""
        half = self.place.home / "postgres.half"
        shutil.rmtree(half, ignore_errors=True)
        self._own_folder(half)
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        initdb = [str(programs / "initdb"), "-D", str(half), "-U", ROLE, "-E", "UTF8", "-A", "peer"]
        self._run([*initdb, *locale])
        single = [str(programs / "postgres"), "--single", "-D", str(half), "template1"]
        self._run(single, stdin=f"CREATE DATABASE {DATABASE}\n")
        os.rename(half, self.place.data_dir)
        logger.info("Made an embedded PostgreSQL in %s.", self.place.data_dir)
        if self.place.home != self.var_dir:
            _write_whole(self._note, f"{self.place.data_dir}\n")
            logger.warning(
                "The database lies in %s: the user %s, as whom it runs, may not enter %s.",
                *(self.place.data_dir, self.place.account.pw_name, self.var_dir),
            )

    def _check_version(self, programs: Path) -> None:
        made_by = (self.place.data_dir / "PG_VERSION").read_text().strip()
        if programs.parent.name != f"pginstall{made_by}":
            raise ImproperlyConfigured(
                f"The data in {self.place.data_dir} was made by PostgreSQL {made_by}, which is no longer"
                " installed here. Take it over with pg_dump into a server, and set DATABASE_URL."
            )

    def _write_access_rules(self) -> None:
        """The operating system vouches for who connects; only the one who started it may, as our role."""
        users = {self.place.account.pw_name, pwd.getpwuid(os.geteuid()).pw_name}
        _write_whole(self.place.access_dir / "hba.conf", "local all all peer map=checkout\n")
        rules = "".join(f'checkout "{user}" {ROLE}\n' for user in sorted(users))
        _write_whole(self.place.access_dir / "ident.conf", rules)

    def _clear_leftovers(self) -> None:
        """Of a killed server. PostgreSQL itself stumbles when another process has got its old number."""
        gone = time.monotonic() + 10
        if not _wait_until(lambda: not _processes_in(self.place.data_dir), gone):
            raise self._did_not_start()
        for file in (self.place.data_dir / "postmaster.pid", self._socket_file, self._socket_lock):
            file.unlink(missing_ok=True)

    @property
    def _socket_file(self) -> Path:
        return self.place.socket_dir / ".s.PGSQL.5432"

    @property
    def _socket_lock(self) -> Path:
        return self.place.socket_dir / ".s.PGSQL.5432.lock"

    def _run(self, command: list[str], *, stdin: str = "", stdout: int | IO[Any] = subprocess.PIPE) -> None:
        """As the server's user, with an environment in which no PG… variable of ours stands."""
        as_user: dict[str, Any] = {}
        if self.place.as_another_user:
            account = self.place.account
            as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        done = subprocess.run(  # noqa: S603
            command,
            **as_user,
            input=stdin,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            timeout=START_LIMIT,
            check=False,
        )
        if done.returncode != 0:
            program = Path(command[0]).name
            raise ImproperlyConfigured(
                f"The embedded PostgreSQL could not be made ({program}): {(done.stdout or '').strip()}"
            )

    def _did_not_start(self) -> NotStarted:
        lines = self.log_file.read_text(errors="replace").splitlines() if self.log_file.exists() else []
        last = lines[-1] if lines else "nothing"
        return NotStarted(f"The embedded PostgreSQL did not start. Its log, {self.log_file}, ends with: {last}")

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One process of the checkout at a time starts or stops; the kernel frees the lock of a dead one."""
        self.var_dir.mkdir(parents=True, exist_ok=True)
        with (self.var_dir / "postgres.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def postmaster(data_dir: Path) -> Postmaster | None:
    """The process that serves this data now. None: none does, whatever a file left behind says."""
    try:
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
        pid = int(lines[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    if pid not in _processes_in(data_dir, among=[pid]):
        return None
    return Postmaster(pid, ready=len(lines) > 7 and lines[7].strip() == "ready")


def stop(data_dir: Path) -> bool:
    """Fast shutdown of the server on this data. Returns when it is gone; False: none was running."""
    running = postmaster(data_dir)
    if running is None:
        return False
    os.kill(running.pid, signal.SIGINT)
    if not _wait_until(lambda: not _processes_in(data_dir), time.monotonic() + STOP_LIMIT):
        raise TimeoutError(f"PostgreSQL (process {running.pid}) did not stop within {STOP_LIMIT:.0f} s.")
    return True


def _processes_in(data_dir: Path, among: list[int] | None = None) -> list[int]:
    """The processes of PostgreSQL on this data: each works in its folder. Zombies do not count."""
    pids = among or [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _works_in(pid, data_dir)]


def _works_in(pid: int, data_dir: Path) -> bool:
    try:
        process = Path("/proc") / str(pid)
        is_postgres = Path(os.readlink(process / "exe").removesuffix(" (deleted)")).name == "postgres"
        return is_postgres and Path(os.readlink(process / "cwd")) == data_dir.resolve()
    except OSError:
        return False


def _wait_until(condition: Callable[[], bool], deadline: float) -> bool:
    """Asks often at first, for most waits are short. False: the deadline came first."""
    pause = 0.01
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)
    return True


def _write_whole(path: Path, text: str) -> None:
    half = path.with_suffix(".half")
    half.write_text(text)
    half.chmod(0o644)
    os.replace(half, path)


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace("'", "\\'")
