"""One site on a real OpenSSH server, and a dashboard whose processes can be killed."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
from django.conf import settings
from django.db import connection

from builds.maturity import Maturity
from instances.models import Instance
from instances.services import note_version
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from tests.factories import make_build, make_host, make_instance
from tests.ssh.sshd import SshServer
from tests.upgrades.sites import Site, make_artifact, wait_until
from upgrades.models import Upgrade
from upgrades.services.logs import read_log
from upgrades.services.runs import start_upgrades

BASE = Path(__file__).parents[2]
PATIENCE = 120.0  # seconds: a lease that a killed supervisor left has to run out
HOOKS = {"backup": "backup", "migrate": "migrate", "restart": "restart", "migrate_undo": "undo"}
HOOK = (
    'echo {name} >>"$SITE_PATH/ran"; n=0; while [ ! -e "$SITE_PATH/go-{name}" ] && [ $((n += 1)) -lt 2400 ]; '
    'do echo "{name} says $n"; sleep 0.05; done'
)


class Supervisor:
    """The process, begun again after each kill."""

    def __init__(self, server: SshServer, **variables: str) -> None:
        self._key, self._variables = server.key_file, variables
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.supervise", str(self._key)],
            cwd=BASE,
            env=environment() | self._variables,
        )

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)


def environment() -> dict[str, str]:
    """Of a process that works on the database of the tests."""
    connection.ensure_connection()
    database = connection.connection.info
    url = f"postgres://{database.user}@/{quote(database.dbname)}?host={quote(database.host, safe='')}"
    return {**os.environ, "DATABASE_URL": url, "RELEASEMGR_ARTIFACTS": str(settings.ARTIFACT_DIR)}


def cut_database() -> None:
    """Every session but the tests' own ends at once, as when the server is restarted."""
    ours = connection.connection.info
    with psycopg.connect(host=ours.host, user=ours.user, dbname=ours.dbname) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND NOT pid = ANY(%s)",
            [[other.info.backend_pid, ours.backend_pid]],
        )


@dataclass
class World:
    server: SshServer
    site: Site
    address: str = "127.0.0.1"
    supervisor: Supervisor = field(init=False)
    upgrade: Upgrade = field(init=False)
    instance: Instance = field(init=False)

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(self.server)

    def begin(self, moment: str) -> None:
        """Until the hook `moment` is under way, and the dashboard has read of it. The others do not wait."""
        self.plan(moment)
        self.supervisor.start()
        self.await_moment(moment)

    def plan(self, moment: str, payload: bytes = b"") -> None:
        """The upgrade is due, and nobody is there to begin it. `payload` is in its artefact."""
        make_build("1.0", maturity=Maturity.STABLE)
        content = make_artifact(self.server.folder, "1.1", payload).read_bytes()
        make_build("1.1", maturity=Maturity.RELEASE, content=content)
        host = make_host(
            "web-1", address=self.address, port=self.server.port, user=self.server.user, host_key=self.server.host_key
        )
        commands = {f"{hook}_command": HOOK.format(name=name) for hook, name in HOOKS.items()}
        fails = {"health_url": "http://127.0.0.1:9/"} if moment == "undo" else {}
        self.instance = make_instance(
            "acme-live", runs=None, host=host, path=str(self.site.path), health_timeout_s=2, **commands, **fails
        )
        note_version(self.instance, "1.0", now=clock.now())
        for name in HOOKS.values():
            if name != moment:
                self.go(name)
        self.upgrade = start_upgrades([self.instance], actor=COMMAND, now=clock.now()).upgrades.get()

    def await_moment(self, moment: str) -> None:
        wait_until(lambda: f"{moment} says 5".encode() in self.log_kept(), PATIENCE)

    def go(self, name: str) -> None:
        """Lets a hook come to its end."""
        (self.site.path / f"go-{name}").touch()

    def await_end(self) -> None:
        wait_until(lambda: bool(Upgrade.objects.get().ended_at), PATIENCE)
        self.upgrade.refresh_from_db()

    def end(self) -> None:
        self.supervisor.kill()
        for name in HOOKS.values():
            self.go(name)

    # What the host knows, and what the dashboard does.

    def ran(self) -> list[str]:
        """The hooks, in the order in which they began."""
        return (self.site.path / "ran").read_text().split()

    def log_on_host(self) -> bytes:
        return (self.site.upgrade(self.upgrade.pk) / "log").read_bytes()

    def log_kept(self) -> bytes:
        return read_log(self.upgrade, 0, 10**8)

    def arrived(self) -> int:
        """Bytes of an artefact that is on its way to the host."""
        cache = self.server.home / ".releasemgr" / "artifacts"
        return sum(file.stat().st_size for file in cache.glob("arriving.*"))

    def runner(self) -> int:
        return int((self.site.upgrade(self.upgrade.pk) / "runner").read_text().split()[0])

    def step(self) -> int:
        """The number of the process group that runs now."""
        return int((self.site.upgrade(self.upgrade.pk) / "step").read_text().split()[0])

    @staticmethod
    def lives(group: int) -> bool:
        """Whether any process of this group is there; one that is dead and not yet collected does not count."""
        stats = (stat.read_text().rpartition(") ")[2].split() for stat in Path("/proc").glob("[0-9]*/stat"))
        return any(int(fields[2]) == group and fields[0] not in "ZX" for fields in stats)

    def kill_on_host(self, *, step_too: bool) -> None:
        step = self.step()
        os.kill(self.runner(), signal.SIGKILL)
        if step_too:
            os.killpg(step, signal.SIGKILL)
