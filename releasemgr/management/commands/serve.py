import fcntl
import logging
import os
import signal
import socket
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from releasemgr.lib import clock, queue
from releasemgr.lib.embedded.server import Server
from releasemgr.lib.heartbeats import services as heartbeats
from releasemgr.lib.process_supervision import Child, Program, Supervision, end_leftovers
from releasemgr.lib.static_files import collect_when_stale
from upgrades.services import runs, slots

logger = logging.getLogger(__name__)

SLOTS_LEAVE_WITHIN = 15.0  # seconds; they look for the mark every few
CLUSTER_PATIENCE = 60.0
WEB_PATIENCE = 30.0
WORKERS_ANSWER_WITHIN = 20.0


class Command(BaseCommand):
    help = "Runs the dashboard and its workers until SIGTERM or Ctrl-C. One per checkout."

    stops_asked = 0

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bind", default="127.0.0.1", help="the address to answer on (%(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="(%(default)s)")
        parser.add_argument("--web-workers", type=int, default=2, help="processes (%(default)s)")
        parser.add_argument("--no-web", action="store_true", help="only the workers, as on a second machine")
        parser.add_argument("--stop-database", action="store_true", help="at the end stop the embedded one, too")

    def handle(self, *args: Any, **options: Any) -> None:
        with only_one(settings.VAR_DIR / "serve.lock"):
            self._prepare(web=not options["no_web"])
            children = [Child(program) for program in programs(options)]
            supervision = Supervision(children, settings.VAR_DIR / "serve.json")
            end_leftovers(supervision.record)
            if not options["no_web"]:
                refuse_taken(options)
            self._listen_for_signals()
            supervision.begin()
            self._look_after(supervision, options)
            supervision.stop_in_order(self._ask_slots_to_leave, lambda: self.stops_asked > 1)
            if options["stop_database"] and "EMBEDDED_IN" in settings.DATABASES["default"]:
                Server(settings.DATABASES["default"]["EMBEDDED_IN"]).stop()

    def announce(self, options: dict[str, Any]) -> None:
        """Called once, when the dashboard answers and, as far as it was waited for, its workers do."""
        self.stdout.write(f"The dashboard answers on http://{address(options)}/")
        self.stdout.flush()

    def _look_after(self, supervision: Supervision, options: dict[str, Any]) -> None:
        announced, patient_until = options["no_web"], time.monotonic() + WORKERS_ANSWER_WITHIN
        while not self.stops_asked:
            time.sleep(0.2)
            supervision.look_after()
            if not announced and answers(options) and (time.monotonic() > patient_until or workers_answer()):
                self.announce(options)
                announced = True

    def _prepare(self, *, web: bool) -> None:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            raise CommandError("The database lacks migrations. Run: manage.py migrate")
        slots.ensure_slots()
        slots.clear_stopping()
        runs.wake_reaper(clock.now())
        connection.close()
        if web:
            collect_when_stale()

    def _listen_for_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note_stop)

    def _note_stop(self, number: int, frame: object) -> None:
        self.stops_asked += 1

    def _ask_slots_to_leave(self) -> None:
        """What runs on hosts runs on; whoever serves next watches it again."""
        logger.info("Stopping: asking the supervising tasks to leave.")
        deadline = time.monotonic() + SLOTS_LEAVE_WITHIN
        try:
            slots.mark_stopping()
            while slots.held() and time.monotonic() < deadline and self.stops_asked < 2:
                time.sleep(0.2)
        except DatabaseError as error:
            logger.warning("The database does not answer, so no task can be asked: %s", error)
        finally:
            connection.close()


def programs(options: dict[str, Any]) -> Iterator[Program]:
    """In the order in which they are stopped: who reads a page may read it until the workers are gone."""
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    plain = {name: value for name, value in os.environ.items() if name != "Q_CLUSTER_NAME"}
    upgrades = plain | {"Q_CLUSTER_NAME": queue.UPGRADES}  # qcluster's own --name starts the wrong cluster
    qcluster = [*manage, "qcluster"]
    upgrades_hang = partial(heartbeats.hangs, queue.UPGRADES)
    yield Program("the upgrade workers", qcluster, upgrades, CLUSTER_PATIENCE, partial(takes_tasks, upgrades_hang))
    yield Program("the control workers", qcluster, plain, CLUSTER_PATIENCE, partial(takes_tasks, queue.is_stuck))
    if not options["no_web"]:
        yield Program("the web server", gunicorn(options), plain, WEB_PATIENCE)


def workers_answer() -> bool:
    """Before, the first page would say that none does. True also where nobody can tell."""
    try:
        return not heartbeats.silences()
    except DatabaseError:
        return True
    finally:
        connection.close()


def takes_tasks(hangs: Callable[[datetime, timedelta], bool], running_for: float) -> bool:
    """True also where nobody can tell, since the database does not answer."""
    try:
        return not hangs(clock.now(), timedelta(seconds=running_for))
    except DatabaseError:
        return True
    finally:
        connection.close()


def gunicorn(options: dict[str, Any]) -> list[str]:
    return [
        *(sys.executable, "-m", "gunicorn", "releasemgr.wsgi:application"),
        *("--chdir", str(settings.BASE_DIR), "--bind", address(options)),
        *("--workers", str(options["web_workers"]), "--threads", "4", "--no-control-socket"),
        *("--limit-request-line", "8190"),  # a selection of 50 sites with long names is an address
        *("--max-requests", "20000", "--max-requests-jitter", "2000", "--log-level", "warning"),
    ]


def address(options: dict[str, Any]) -> str:
    host = f"[{options['bind']}]" if ":" in options["bind"] else options["bind"]
    return f"{host}:{options['port']}"


def answers(options: dict[str, Any]) -> bool:
    """Whether something listens there: on every address means on this machine's own, too."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options["bind"], options["bind"])  # noqa: S104 - compared
    try:
        with socket.create_connection((reachable, options["port"]), timeout=1):
            return True
    except OSError:
        return False


def refuse_taken(options: dict[str, Any]) -> None:
    """Else the web server would be started again and again, and somebody else would answer in its place."""
    family = socket.AF_INET6 if ":" in options["bind"] else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((options["bind"], options["port"]))
        except OSError as error:
            where = f"{address(options)} cannot be listened on"
            raise CommandError(f"{where}: {error.strerror}. Choose another port with --port (make: PORT=).") from None


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """The kernel frees the lock of a process that was killed."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise CommandError(f"This checkout is already served, by process {file.read().strip()}.") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
