from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from releasemgr.lib.embedded.server import NotStarted, Server, postmaster


class Command(BaseCommand):
    help = "Starts, stops or shows the embedded PostgreSQL of this checkout."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("act", choices=["start", "stop", "status"])

    def handle(self, *args: Any, act: str, **options: Any) -> None:
        var_dir = settings.DATABASES["default"].get("EMBEDDED_IN")
        if var_dir is None:
            raise CommandError("DATABASE_URL names the server; it is started and stopped where it runs.")
        server = Server(var_dir)
        self.stdout.write({"start": _start, "stop": _stop, "status": _status}[act](server))


def _start(server: Server) -> str:
    try:
        started = server.start()
    except NotStarted as error:
        raise CommandError(str(error)) from None
    return f"{'Started.' if started else 'It was already running.'} {_status(server)}"


def _stop(server: Server) -> str:
    return "Stopped." if server.stop() else "It was not running."


def _status(server: Server) -> str:
    running = postmaster(server.place.data_dir)
    state = f"It runs as process {running.pid}." if running else "It does not run; the next connection starts it."
    return f"{state} Data: {server.place.data_dir}. Log: {server.log_file}."
