import logging
import os
import shutil
import signal
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from releasemgr.demo import lifecycle, ownership, people, report
from releasemgr.demo.fleet import UNREACHABLE_HOST, Places
from releasemgr.demo.hosts import SYSTEM_PATH
from releasemgr.demo.month import Month, last_night
from releasemgr.demo.ownership import Content
from releasemgr.lib import clock
from releasemgr.lib.choices import Colour
from releasemgr.lib.embedded.server import Server
from releasemgr.management.commands import serve
from upgrades.models import Run

NEEDED = ("setsid", "flock", "timeout", "tar", "sha256sum", "date")  # on the hosts; python3 they are given
AGAIN_AFTER = 8.0  # seconds; more than a supervisor takes to leave
OWN_DATABASE = (
    "The database holds data that no demo made, and they stay. "
    "Give the demo an empty database (DATABASE_URL) or a folder of its own (RELEASEMGR_VAR)."
)


class Command(BaseCommand):
    help = "A fleet of real sites on this machine, with a month behind it: upgraded over SSH, then served."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--no-serve", action="store_true", help="end after the table of results")
        parser.add_argument("--reset", action="store_true", help="start anew")
        parser.add_argument("--bind", default="127.0.0.1", help="the address to answer on (%(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="(%(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        self.root: Path = settings.VAR_DIR / "demo"
        quieten()
        _refuse_lacking_programs()
        if not options["no_serve"]:
            serve.refuse_taken(options)
        with interruptible(), stopped_at_the_end(self.root):
            with serve.only_one(settings.VAR_DIR / "serve.lock"):
                self._show(self._make(reset=options["reset"]))
            connection.close()
            if not options["no_serve"]:
                self._serve(options)

    # Making it, or going on with it.

    def _make(self, *, reset: bool) -> Run:
        self._say("Preparing the database")
        call_command("migrate", verbosity=0)
        found = ownership.content(self.root)
        if found is Content.FOREIGN:
            raise CommandError(OWN_DATABASE)
        if found is Content.FINISHED and not reset:
            return self._go_on()
        if found is Content.BEGUN and not reset:
            self._say("The last demo did not get to its end. Starting anew")
        return self._begin_anew()

    def _go_on(self) -> Run:
        places = self._start_world(down=frozenset({UNREACHABLE_HOST}))
        self._point_at_key(places)
        return Run.objects.nightly().exclude(upgrades=None).latest("date")

    def _begin_anew(self) -> Run:
        lifecycle.reset(self.root)
        places = self._start_world(down=frozenset())
        self._point_at_key(places)
        month = Month(places, last_night(clock.now()), self._say)
        month.begin()
        call_command("flush", interactive=False, verbosity=0)
        ownership.mark(self.root, finished=False)
        people.ensure_people(self.root)
        run = month.live_through()
        ownership.mark(self.root, finished=True)
        return run

    def _start_world(self, down: frozenset[str]) -> Places:
        try:
            return lifecycle.start(self.root, self._say, down)
        except (lifecycle.PortTakenError, TimeoutError) as error:
            raise CommandError(str(error)) from None

    def _point_at_key(self, places: Places) -> None:
        """Workers and commands of this checkout sign in on the demo's hosts, unless a key was chosen already."""
        os.environ["RELEASEMGR_SSH_KEY"] = str(places.client_key)
        usual: Path = settings.SSH_KEY_FILE
        if not usual.exists():
            usual.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            usual.unlink(missing_ok=True)
            usual.symlink_to(places.client_key)

    # Telling.

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _show(self, run: Run) -> None:
        self._say(f"\nThe night of {run.date:%-d %B %Y}, run {run}\n")
        for line in report.table(run, self._paint):
            self._say(line)
        self._say("")

    def _paint(self, colour: Colour, text: str) -> str:
        styles = {Colour.OK: self.style.SUCCESS, Colour.WARN: self.style.WARNING, Colour.BAD: self.style.ERROR}
        return styles.get(colour, str)(text)

    def _serve(self, options: dict[str, Any]) -> None:
        serving = Serving(stdout=self.stdout._out, root=self.root)
        call_command(serving, bind=options["bind"], port=options["port"], stop_database=True)


class Serving(serve.Command):
    """`serve`, with the sign-in among its last lines."""

    def __init__(self, *, root: Path, **streams: Any) -> None:
        super().__init__(**streams)
        self.root = root

    def announce(self, options: dict[str, Any]) -> None:
        names = ", ".join(people.ROLES)
        self.stdout.write("Ctrl-C ends the dashboard and the fleet. The next make demo goes on with them.\n\n")
        self.stdout.write(f"http://{serve.address(options)}/")
        self.stdout.write(f"Sign in as {names}. The password of each: {people.password_of(self.root)}")
        self.stdout.flush()


def quieten() -> None:
    """Here and in the workers, unless somebody asked for more. What matters is on the pages."""
    if "RELEASEMGR_LOG_LEVEL" not in os.environ:
        os.environ["RELEASEMGR_LOG_LEVEL"] = "WARNING"
        logging.getLogger().setLevel(logging.WARNING)


def _refuse_lacking_programs() -> None:
    lacking = [name for name in NEEDED if not shutil.which(name, path=SYSTEM_PATH)]
    if lacking:
        raise CommandError(f"The demo's hosts need what this machine does not have: {', '.join(lacking)}.")


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does.

    Python drops what is raised while it runs the callback of a weak reference: so it is raised again, until the
    demo begins to stop.
    """

    def interrupt(number: int, frame: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, AGAIN_AFTER)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        raise CommandError("Stopped. The next make demo goes on, or starts anew where nothing was complete.") from None


@contextmanager
def stopped_at_the_end(root: Path) -> Iterator[None]:
    """However it ends: no host, site or database stays behind."""
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        lifecycle.stop(root)
        connection.close()
        if "EMBEDDED_IN" in settings.DATABASES["default"]:
            Server(settings.DATABASES["default"]["EMBEDDED_IN"]).stop()
