"""The embedded PostgreSQL: real servers, each in a folder of its own."""

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest
import pytest_django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.db.utils import ConnectionHandler

from releasemgr.lib.database import database_settings
from releasemgr.lib.embedded import place as place_module
from releasemgr.lib.embedded import programs
from releasemgr.lib.embedded.base import DatabaseWrapper
from releasemgr.lib.embedded.server import NotStarted, Server, postmaster, stop
from releasemgr.lib.env import Env

pytestmark = pytest.mark.shell

BASE = Path(__file__).parent.parent.parent
NewServer = Callable[..., Server]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Unlike tmp_path, which nobody but its owner may enter: root's server runs as another user."""
    folder = Path(tempfile.mkdtemp(prefix="releasemgr-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def new_server(open_folder: Path, django_db_blocker: pytest_django.DjangoDbBlocker) -> Iterator[NewServer]:
    """These databases are not the test database, so pytest-django need not guard them."""
    made: list[Server] = []

    def make(name: str = "var", within: Path = open_folder) -> Server:
        made.append(Server(within / name))
        return made[-1]

    with django_db_blocker.unblock():
        yield make
    for server in made:
        stop(server.place.data_dir)
        for folder in (server.place.home, server.place.socket_dir.parent, server.place.socket_dir):
            if folder.name.startswith("releasemgr-"):
                shutil.rmtree(folder, ignore_errors=True)


def connection_to(server: Server) -> Any:
    handler = ConnectionHandler({"default": database_settings(Env({}), server.var_dir)})
    connection = handler["default"]
    assert isinstance(connection, DatabaseWrapper)
    return connection


def ask(server: Server, sql: str) -> Any:
    connection = connection_to(server)
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0] if cursor.description else None
    finally:
        connection.close()


def pid_of(server: Server) -> int:
    running = postmaster(server.place.data_dir)
    assert running is not None
    return running.pid


def kill_nine(server: Server) -> int:
    pid = pid_of(server)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while postmaster(server.place.data_dir) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return pid


def test_the_first_connection_starts_it_and_the_next_process_finds_it_again(new_server: NewServer) -> None:
    server = new_server()
    assert postmaster(server.place.data_dir) is None
    assert ask(server, "SHOW fsync") == "on"
    pid = pid_of(server)

    again = Server(server.var_dir)

    assert again.start() is False
    assert ask(again, "SELECT current_database()") == "releasemgr"
    assert pid_of(again) == pid


def test_it_is_tuned_for_a_small_machine_and_listens_on_its_socket_only(new_server: NewServer) -> None:
    server = new_server()
    expected = {
        "listen_addresses": "",
        "shared_buffers": "64MB",
        "max_connections": "200",
        "TimeZone": "UTC",
        "data_checksums": "on",
        "server_encoding": "UTF8",
    }
    assert {name: ask(server, f"SHOW {name}") for name in expected} == expected


def test_nobody_but_its_own_user_may_enter_its_folders(new_server: NewServer) -> None:
    server = new_server()
    server.start()
    for folder in (server.place.data_dir, server.place.socket_dir):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.root
def test_another_user_who_reaches_the_socket_is_not_believed(new_server: NewServer) -> None:
    server = new_server()
    server.start()
    server.place.socket_dir.chmod(0o755)
    (server.place.socket_dir / ".s.PGSQL.5432").chmod(0o777)
    os.seteuid(1)
    try:
        with pytest.raises(psycopg.OperationalError, match="Peer authentication failed"):
            psycopg.connect(host=str(server.place.socket_dir), user="releasemgr")
    finally:
        os.seteuid(0)
        server.place.socket_dir.chmod(0o700)


def test_two_checkouts_have_two_servers(new_server: NewServer) -> None:
    one, two = new_server("one"), new_server("two")
    ask(one, "CREATE TABLE only_in_one ()")
    assert ask(two, "SELECT count(*) FROM pg_tables WHERE tablename = 'only_in_one'") == 0
    assert pid_of(one) != pid_of(two)

    two.stop()

    assert ask(one, "SELECT count(*) FROM only_in_one") == 0


def test_many_processes_starting_at_once_start_one_server(new_server: NewServer) -> None:
    server = new_server()
    launched: list[bool] = []

    def start() -> None:
        launched.append(Server(server.var_dir).start())

    threads = [threading.Thread(target=start) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(launched) == [False, False, False, False, True]


def test_after_a_kill_9_the_next_connection_starts_it_with_all_commits(
    new_server: NewServer,
) -> None:
    server = new_server()
    ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    killed = kill_nine(server)
    assert (server.place.data_dir / "postmaster.pid").exists()

    assert ask(server, "SELECT answer FROM kept") == 42

    assert pid_of(server) != killed


def test_one_that_cannot_be_started_for_a_while_is_a_database_that_is_away(
    new_server: NewServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that whoever works with it asks again, as with any server: a disk that is full has room again later."""
    server = new_server()
    monkeypatch.setattr(Server, "_write_access_rules", Mock(side_effect=OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(OperationalError, match=r"cannot be started: .*No space left"):
        ask(server, "SELECT 1")
    monkeypatch.undo()
    assert ask(server, "SELECT 1") == 1


def test_one_that_ends_as_soon_as_it_is_launched_is_launched_three_times_and_not_for_a_minute(
    new_server: NewServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = new_server()
    launch = Mock()
    monkeypatch.setattr(Server, "_launch", launch)
    with pytest.raises(NotStarted, match="did not start"):
        server.start()
    assert launch.call_count == 3


def test_the_command_says_why_it_did_not_start(new_server: NewServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server = new_server()
    monkeypatch.setattr(Server, "_launch", Mock())
    monkeypatch.setitem(settings.DATABASES["default"], "EMBEDDED_IN", server.var_dir)
    with pytest.raises(CommandError, match="did not start"):
        call_command("database", "start")


def test_a_pid_file_left_from_before_a_reboot_may_name_any_process(new_server: NewServer) -> None:
    server = new_server()
    server.start()
    kill_nine(server)
    file = server.place.data_dir / "postmaster.pid"
    lock = server.place.socket_dir / ".s.PGSQL.5432.lock"
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        for each in (file, lock):
            each.write_text("\n".join([str(bystander.pid), *each.read_text().splitlines()[1:]]) + "\n")

        assert ask(server, "SELECT 1") == 1
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_crash_while_the_data_was_made_leaves_nothing_half(new_server: NewServer) -> None:
    server = new_server()
    half = server.place.home / "postgres.half"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    assert ask(server, "SELECT 1") == 1

    assert not half.exists()


def test_stopping_is_complete_when_it_returns_and_happens_once(new_server: NewServer) -> None:
    server = new_server()
    server.start()
    assert server.stop() is True
    assert not (server.place.data_dir / "postmaster.pid").exists()
    assert server.stop() is False


def test_an_open_connection_does_not_hold_up_the_stop_and_connects_anew(
    new_server: NewServer,
) -> None:
    server = new_server()
    connection = connection_to(server)
    connection.ensure_connection()

    server.stop()
    connection.close_if_unusable_or_obsolete()
    connection.close()

    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    connection.close()


def test_a_socket_that_was_cleared_away_is_made_again(new_server: NewServer) -> None:
    server = new_server()
    server.start()
    (server.place.socket_dir / ".s.PGSQL.5432").unlink()
    assert ask(server, "SELECT 1") == 1


def test_a_folder_too_deep_for_a_socket_gets_a_short_one(new_server: NewServer) -> None:
    server = new_server("deep-" * 20 + "var")
    assert ask(server, "SELECT 1") == 1
    assert len(str(server.place.socket_dir)) < 60
    assert server.place.data_dir.parent == server.var_dir


def test_a_socket_folder_that_others_may_enter_is_refused(new_server: NewServer) -> None:
    server = new_server()
    server.place.socket_dir.mkdir()
    os.chown(server.place.socket_dir, server.place.account.pw_uid, -1)
    server.place.socket_dir.chmod(0o777)
    with pytest.raises(ImproperlyConfigured, match="others may enter it"):
        server.start()
    assert postmaster(server.place.data_dir) is None


def test_data_of_another_major_version_is_refused_by_name(new_server: NewServer) -> None:
    server = new_server()
    server.start()
    server.stop()
    (server.place.data_dir / "PG_VERSION").write_text("12\n")
    with pytest.raises(ImproperlyConfigured, match="PostgreSQL 12"):
        server.start()


@pytest.mark.root
def test_below_a_closed_folder_the_data_of_root_lies_elsewhere_and_nothing_is_opened(
    new_server: NewServer,
    open_folder: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    server = new_server(within=closed)
    monkeypatch.setattr(
        "releasemgr.lib.embedded.programs.may_enter",
        lambda account, folder: str(folder).startswith("/var/lib/"),
    )

    assert ask(server, "SELECT 1") == 1

    assert server.place.data_dir.is_relative_to("/var/lib")
    assert str(server.place.data_dir) in caplog.text
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    closed.chmod(0o755)
    assert place_module.place_of(server.var_dir).data_dir == server.place.data_dir
    copied = next(server.place.home.glob("postgres-programs-*"))
    assert os.readlink(f"/proc/{pid_of(server)}/exe").startswith(str(copied))


@pytest.mark.root
def test_a_moved_checkout_whose_data_lies_elsewhere_is_not_shown_an_empty_database(
    new_server: NewServer, open_folder: Path
) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    server = new_server(within=closed)
    server.start()
    server.stop()
    server.var_dir.rename(closed / "moved")
    moved = new_server("moved", within=closed)

    with pytest.raises(ImproperlyConfigured, match=f"lies in {server.place.data_dir}"):
        moved.start()

    moved.place.home.mkdir(exist_ok=True)
    server.place.data_dir.rename(moved.place.data_dir)
    assert moved.start() is True


@pytest.mark.root
def test_data_below_a_folder_that_was_closed_later_is_refused_with_the_reason(
    new_server: NewServer, open_folder: Path
) -> None:
    server = new_server()
    server.start()
    server.stop()
    open_folder.chmod(0o700)
    with pytest.raises(ImproperlyConfigured, match=f"may not enter {server.var_dir}"):
        Server(server.var_dir).start()


def test_a_copied_checkout_has_a_server_of_its_own(new_server: NewServer, open_folder: Path) -> None:
    """The copy holds the pid file and the socket of the first one."""
    server = new_server("first")
    ask(server, "CREATE TABLE from_the_first ()")
    ask(server, "CHECKPOINT")
    subprocess.run(["cp", "-a", server.var_dir, open_folder / "copy"], check=True)
    copy = new_server("copy")

    assert ask(copy, "SELECT count(*) FROM from_the_first") == 0

    assert pid_of(copy) != pid_of(server)
    assert ask(server, "SELECT count(*) FROM from_the_first") == 0


@pytest.mark.parametrize("lookup", ["getpwnam", "getpwuid"])
def test_a_machine_without_a_user_to_run_it_as_names_the_way_out(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, lookup: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0 if lookup == "getpwnam" else 4_000_000)
    monkeypatch.setattr(f"pwd.{lookup}", Mock(side_effect=KeyError))
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL"):
        Server(open_folder / "var").start()


def test_a_machine_for_which_there_is_no_wheel_names_the_way_out(
    new_server: NewServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "PACKAGE", "no_such_package")
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL"):
        new_server().start()


def test_the_command_starts_shows_and_stops_it(
    new_server: NewServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = new_server()
    monkeypatch.setitem(settings.DATABASES["default"], "EMBEDDED_IN", server.var_dir)
    said = []
    for act in ("status", "start", "start", "status", "stop", "stop"):
        call_command("database", act)
        said.append(capsys.readouterr().out.partition(".")[0])
    runs = [word for word in said[3].split() if word.isdigit()]
    assert said == [
        "It does not run; the next connection starts it",
        "Started",
        "It was already running",
        f"It runs as process {runs[0]}",
        "Stopped",
        "It was not running",
    ]


def test_the_command_leaves_a_named_server_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(settings.DATABASES["default"], "EMBEDDED_IN", raising=False)
    with pytest.raises(CommandError, match="DATABASE_URL"):
        call_command("database", "stop")


def test_importing_the_settings_and_the_models_starts_nothing(open_folder: Path) -> None:
    script = "import django; django.setup(); from django.db import connection; connection.vendor"
    environment = {**os.environ, "RELEASEMGR_VAR": str(open_folder / "var"), "DATABASE_URL": ""}
    environment["DJANGO_SETTINGS_MODULE"] = "releasemgr.settings"
    subprocess.run([sys.executable, "-c", script], cwd=BASE, env=environment, check=True)
    assert not list((open_folder / "var").glob("postgres*"))


def test_a_named_server_is_used_as_it_is_and_the_embedded_one_left_alone(open_folder: Path) -> None:
    url = "postgresql://ops%40eu:p%2Fw%23@db.example:6432/re%20lease?sslmode=require&connect_timeout=3"
    read = database_settings(Env({"DATABASE_URL": url}), open_folder / "var")
    assert read["ENGINE"] == "django.db.backends.postgresql"
    assert (read["USER"], read["PASSWORD"]) == ("ops@eu", "p/w#")
    assert (read["HOST"], read["PORT"], read["NAME"]) == ("db.example", "6432", "re lease")
    assert read["OPTIONS"]["sslmode"] == "require"
    assert read["OPTIONS"]["connect_timeout"] == "3"
    assert read["OPTIONS"]["keepalives_idle"] == "30"
    assert (read["CONN_MAX_AGE"], read["CONN_HEALTH_CHECKS"]) == (60, True)
    assert not (open_folder / "var").exists()


def test_a_socket_folder_can_be_named_as_host() -> None:
    read = database_settings(Env({"DATABASE_URL": "postgres://me@%2Frun%2FPg/db"}), Path("/x"))
    assert read["HOST"] == "/run/Pg"


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:secret@h/db",
        "just words",
        "postgres://u:secret@h:port/db",
        "postgres://u:secret@h:70000/db",
        "postgres://u:secret@h",
        "postgres://u:secret@h/a/b",
        "postgres://u:secret@[h/db",
        "postgres://u:secret@h/db?sslmode",
        "postgres://u:secret@h/db#x",
    ],
)
def test_a_malformed_url_names_the_setting_and_never_shows_the_password(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL") as refusal:
        database_settings(Env({"DATABASE_URL": url}), Path("/nowhere"))
    assert "secret" not in str(refusal.value)
