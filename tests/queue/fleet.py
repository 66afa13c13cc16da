"""Two real hosts on the loopback with three sites, one of whose steps takes its time. Each counts how often it ran."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from releasemgr.demo import hosts
from releasemgr.lib import sessions
from tests.queue.served import BASE, Served, free_port, wait_until
from tests.upgrades.sites import make_artifact

SITES = {"one": "h1", "two": "h1", "three": "h2"}
LINES = 300  # of the long step's output, a tenth of a second each: longer than a lease on a host lasts
STEPS = ["backup", "migrate", "restart"]

HOOK = """\
echo "$1" >>"$SITE_PATH/ran"
i=0
while [ "$1" = {moment} ] && [ "$i" -lt {lines} ]; do
    i=$((i + 1))
    echo "line $i of the $1 of $SITE"
    sleep 0.1
done
"""
SET_UP = """
import json, sys
from pathlib import Path
from builds.choices import Smoke
from builds.maturity import Maturity
from builds.services import promote_build, register_build
from instances.models import Customer, Host, Instance
from instances.services import note_version
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from upgrades.services.runs import start_upgrades

fleet, now = json.loads(Path({file!r}).read_text()), clock.now()
build, _new = register_build("1.1", Path(fleet["artifact"]), now=now, smoke=Smoke.PASSED)
promote_build(build, Maturity.ALPHA, actor=COMMAND, now=now)
customer = Customer.objects.create(slug="c", name="C")
hosts = {{host["name"]: Host.objects.create(**host) for host in fleet["hosts"]}}
sites = [
    Instance.objects.create(**site | {{"host": hosts[site["host"]], "customer": customer}}) for site in fleet["sites"]
]
for site in sites:
    note_version(site, "1.0", now=now)
print(start_upgrades(sites, actor=COMMAND, now=now).pk)
"""


class Fleet:
    """The hosts live on whatever happens to the dashboard. `moment` is the step that takes its time."""

    moment = "migrate"
    lines = LINES

    def __init__(self, folder: Path, served: Served) -> None:
        self.folder, self.served = folder, served
        self.key = folder / "keys" / "releasemgr"
        self.ports = {name: free_port() for name in sorted(set(SITES.values()))}
        self.process: subprocess.Popen[bytes] | None = None
        served.environment["RELEASEMGR_SSH_KEY"] = str(self.key)

    def start(self) -> None:
        hosts.ensure_key(self.key)
        config = self.folder / "hosts.json"
        config.write_text(json.dumps(self._config()))
        command = [sys.executable, "-m", "releasemgr.demo.hosts", "--config", str(config)]
        pid_file = self.folder / "hosts.pid"
        with (self.folder / "hosts.log").open("ab") as log:
            self.process = subprocess.Popen([*command, "--pid-file", str(pid_file)], cwd=BASE, stdout=log, stderr=log)
        wait_until(pid_file.exists)

    def end(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(20)

    def start_upgrades(self) -> None:
        """Every site goes from 1.0 to 1.1, as a manual run."""
        for slug in SITES:
            self._install(slug)
        file = self.folder / "fleet.json"
        file.write_text(json.dumps(self._rows()))
        done = self.served.manage("shell", "--no-imports", "-c", SET_UP.format(file=str(file)))
        assert done.returncode == 0, done.stderr

    # What the hosts know.

    def ran(self, slug: str) -> list[str]:
        """The hooks that ran, in order."""
        return (self.site(slug) / "ran").read_text().split()

    def site(self, slug: str) -> Path:
        return self.folder / SITES[slug] / slug

    def log_on_host(self, slug: str) -> bytes:
        (file,) = (self.site(slug) / ".releasemgr" / "upgrades").glob("*/log")
        return file.read_bytes()

    # What the dashboard knows.

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.served.query(sql)

    def log_kept(self, slug: str) -> bytes:
        """Its chunks one after the other. Each has to begin where the one before ended."""
        rows = self.query(
            "SELECT c.offset, c.data FROM upgrades_logchunk c JOIN upgrades_upgrade u ON u.id = c.upgrade_id "  # noqa: S608
            f"JOIN instances_instance i ON i.id = u.instance_id WHERE i.slug = '{slug}' ORDER BY c.offset"
        )
        kept = b""
        for offset, data in rows:
            assert offset == len(kept)
            kept += bytes(data)
        return kept

    def lines_kept(self) -> int:
        """Of the long step that is furthest behind."""
        return min(self.log_kept(slug).count(f" of the {self.moment} of ".encode()) for slug in SITES)

    def await_middle(self) -> None:
        """Until every site is in the middle of its long step, and the dashboard has read of it."""
        wait_until(lambda: self.lines_kept() >= 15)
        assert self.lines_kept() < self.lines

    def await_end(self, within: float) -> None:
        wait_until(lambda: self.query("SELECT 1 FROM upgrades_run WHERE ended_at IS NOT NULL"), within)

    def assert_nothing_lost_or_doubled(self) -> None:
        """U3: each hook ran once, each step is there once, and the log is the host's file."""
        upgrades = self.query("SELECT outcome, state FROM upgrades_upgrade")
        assert upgrades == [("succeeded", "ended")] * len(SITES)
        for slug in SITES:
            assert self.ran(slug) == STEPS
            assert self.log_kept(slug) == self.log_on_host(slug)
            numbers = re.findall(rb"^line (\d+) of", self.log_kept(slug), re.MULTILINE)
            assert [int(number) for number in numbers] == list(range(1, self.lines + 1))
        assert {row[0] for row in self.query("SELECT state FROM upgrades_step")} == {"succeeded"}
        journals = self.query("SELECT journal FROM upgrades_upgrade")
        for (journal,) in journals:
            started = re.findall(rb" start \w+ \d+ ([\w-]+) ", bytes(journal))
            assert len(started) == len(set(started)) == 10

    def supervisors(self) -> set[int]:
        """The processes of the dashboard that hold a connection to one of the hosts."""
        holders = self.query("SELECT 1 FROM upgrades_slot WHERE until > now()")
        assert holders
        found = set()
        for leader in self.served.leaders().values():
            found |= {each.pid for each in sessions.members(leader) if connections(each.pid, set(self.ports.values()))}
        return found

    # Making it.

    def _install(self, slug: str) -> None:
        site = self.site(slug)
        (site / "releases" / "1.0").mkdir(parents=True)
        (site / "releases" / "1.0" / "VERSION").write_text("1.0\n")
        (site / "current").symlink_to("releases/1.0")
        (site / "hook").write_text(HOOK.format(moment=self.moment, lines=self.lines))

    def _config(self) -> dict[str, Any]:
        def host(name: str) -> dict[str, Any]:
            hosts.ensure_key(self.folder / "keys" / name)
            return {
                "name": name,
                "address": "127.0.0.1",
                "port": self.ports[name],
                "home": str(self.folder / name),
                "host_key": str(self.folder / "keys" / name),
            }

        key = str(self.key.with_suffix(".pub"))
        return {"user": "deploy", "authorized_key": key, "hosts": [host(name) for name in self.ports]}

    def _rows(self) -> dict[str, Any]:
        def key(name: str) -> str:
            return " ".join((self.folder / "keys" / f"{name}.pub").read_text().split()[:2])

        host_rows = [
            {"name": name, "address": "127.0.0.1", "port": port, "user": "deploy", "host_key": key(name)}
            for name, port in self.ports.items()
        ]
        commands = {f"{name}_command": f'sh "$SITE_PATH/hook" {name}' for name in STEPS}
        sites = [
            {"slug": slug, "host": host, "kind": "test", "path": str(self.site(slug)), "target_channel_id": "alpha"}
            | commands
            for slug, host in SITES.items()
        ]
        return {"artifact": str(make_artifact(self.folder, "1.1")), "hosts": host_rows, "sites": sites}


def connections(pid: int, ports: set[int]) -> list[int]:
    """To which of these ports on this machine a process is connected."""
    sockets = _connected(ports)
    found = []
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                port = sockets.get(str(descriptor.readlink()))
                found += [port] if port else []
    return found


def _connected(ports: set[int]) -> dict[str, int]:
    """The ends of clients: “socket:[INODE]” and the port that they are connected to."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    remote = ((f"socket:[{row[9]}]", int(row[2].partition(":")[2], 16)) for row in rows)
    return {inode: port for inode, port in remote if port in ports}


def kill_everything(served: Served) -> None:
    """SIGKILL for `serve`, both clusters, the web server and the database."""
    leaders = list(served.leaders().values())
    assert served.process
    served.process.kill()
    served.process.wait()
    for leader in leaders:
        sessions.kill(leader)
    for pid in postgres_of(served):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def postgres_of(served: Served) -> Iterator[int]:
    data = served.database.place.data_dir.resolve()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").readlink() == data:
                yield int(entry.name)
