"""Northlight: rotas and invoices. One process serves one site, with the standard library alone.

`python3 -I -S -B app.py READY_FILE` with SITE_PATH in the environment. Its own folder is the release.
"""

import configparser
import html
import importlib
import os
import socketserver
import sqlite3
import sys
import time

RELEASE = os.path.dirname(os.path.realpath(__file__))
SHARED = os.path.join(os.environ.get("SITE_PATH", "."), "shared")
TYPES = {"css": "text/css", "csv": "text/csv", "png": "image/png", "svg": "image/svg+xml"}
sys.path.insert(0, RELEASE)

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>
<link rel="stylesheet" href="/static/northlight.css">
<main><h1>{name}</h1><p>Northlight {version}</p>
<dl><dt>Invoice lines</dt><dd>{lines}</dd><dt>Shifts this week</dt><dd>{shifts}</dd></dl></main></html>"""


def version() -> str:
    with open(os.path.join(RELEASE, "VERSION"), encoding="utf-8") as file:
        return file.read().strip()


def data() -> sqlite3.Connection:
    return sqlite3.connect(os.path.join(SHARED, "data.sqlite3"), timeout=10)


def count(table: str) -> int:
    with data() as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - our own names


class Site:
    """What was true when this process started: its release, its settings and whether both fit together."""

    def __init__(self) -> None:
        self.settings = configparser.ConfigParser()
        self.settings.read(os.path.join(SHARED, "settings.ini"), encoding="utf-8")
        self.version = version()
        self.started = time.time()
        self.trouble = self.missing_plugin() or self.missing_migration()

    def missing_plugin(self) -> str:
        """A sentence, or nothing."""
        for name in self.settings.get("plugins", "enabled", fallback="").replace(",", " ").split():
            try:
                importlib.import_module(f"plugins.{name}")
            except ImportError as error:
                return f"plugin ‘{name}’ cannot be imported\n{type(error).__name__}: {error}"
        return ""

    def missing_migration(self) -> str:
        """A sentence, or nothing. Migrations of a later release do no harm: none takes anything away."""
        known = {name.removesuffix(".sql") for name in os.listdir(os.path.join(RELEASE, "migrations"))}
        with data() as connection:
            applied = {row[0] for row in connection.execute("SELECT name FROM migrations WHERE finished > 0")}
        missing = sorted(known - applied)
        return f"migration {missing[0]} has not been applied" if missing else ""

    def health(self) -> tuple[int, str]:
        if self.trouble:
            return 500, f"{self.trouble}\nversion {self.version}\n"
        try:
            lines = count("invoice_line")
        except sqlite3.Error as error:
            return 500, f"the data cannot be read: {error}\nversion {self.version}\n"
        return 200, f"{self.version}\nup for {time.time() - self.started:.0f} s, {lines} invoice lines\n"

    def page(self) -> str:
        name = html.escape(self.settings.get("site", "name"))
        return PAGE.format(name=name, version=self.version, lines=count("invoice_line"), shifts=count("shift"))


class Answer(socketserver.StreamRequestHandler):
    timeout = 5
    site: Site

    def handle(self) -> None:
        words = self.rfile.readline(4096).decode("latin-1").split()
        while self.rfile.readline(4096).strip():
            pass
        if len(words) == 3 and words[0] in ("GET", "HEAD"):
            self.route(words[1].partition("?")[0], words[0] == "GET")
        elif words:
            self.send(405, b"This site answers GET.\n")

    def route(self, path: str, body: bool) -> None:
        if path == "/health/":
            status, text = self.site.health()
            self.send(status, text.encode(), body=body)
        elif path == "/version/":
            self.send(200, f"{self.site.version}\n".encode(), body=body)
        elif path == "/":
            self.send(200, self.site.page().encode(), "text/html", body=body)
        else:
            self.file(path, body)

    def file(self, path: str, body: bool) -> None:
        root = os.path.join(RELEASE, "static")
        name = os.path.realpath(os.path.join(RELEASE, path.lstrip("/")))
        if not name.startswith(root + os.sep) or not os.path.isfile(name):
            self.send(404, b"There is no such page.\n", body=body)
            return
        with open(name, "rb") as file:
            self.send(200, file.read(), TYPES.get(name.rpartition(".")[2], "text/plain"), body=body)

    def send(self, status: int, content: bytes, kind: str = "text/plain", *, body: bool = True) -> None:
        head = (
            f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}\r\n"
            f"Content-Type: {kind}; charset=utf-8\r\n"
            f"Content-Length: {len(content)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        self.wfile.write(head.encode() + (content if body else b""))


class Server(socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):  # a visitor who left early is no news
            print(f"ERROR {type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201


def main() -> None:
    site = Answer.site = Site()
    with Server(("127.0.0.1", site.settings.getint("site", "port")), Answer) as server:
        print(f"Northlight {site.version} answers on port {server.server_address[1]}", flush=True)  # noqa: T201
        if site.trouble:
            print("ERROR " + site.trouble, file=sys.stderr, flush=True)  # noqa: T201
        with open(sys.argv[1], "w", encoding="ascii") as ready:
            ready.write(str(os.getpid()))
        server.serve_forever(poll_interval=60)


if __name__ == "__main__":
    main()
