"""Many upgrades on real hosts while something is broken every second or two, and what came of them."""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import connection

from builds.maturity import Maturity
from instances.models import Instance
from instances.services import note_version
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from tests.factories import make_build, make_host, make_instance
from tests.faults.world import Supervisor, cut_database
from tests.ssh.sshd import SshServer
from tests.upgrades.sites import Site, make_artifact
from upgrades.choices import Outcome
from upgrades.models import Policy, Upgrade
from upgrades.services.logs import read_log
from upgrades.services.runs import start_upgrades

SUPERVISORS, HOSTS_EACH = 3, 2
SITES_PER_HOST = 4
PATIENCE = 600.0  # seconds for a round
STEPS = {"backup": "backup", "migrate": "migrate", "restart": "restart", "migrate_undo": "undo"}
HOOK = (
    'exec 7>>"$SITE_PATH/in-use"; flock -n 7 || echo "$UPGRADE {name}" >>"$SITE_PATH/at-once"; '
    'echo "$UPGRADE {name}" >>"$SITE_PATH/ran"; n=0; while [ $((n += 1)) -le 12 ]; do '
    'printf \'{name} says %s: \\033[3{colour}mgrün\\033[0m \\377\\r<b>%s</b>\\n\' "$n" "$n"; sleep 0.1; done'
)
FORWARD = ["backup", "migrate", "restart"]
RAN = {
    Outcome.SUCCEEDED: FORWARD,
    Outcome.ROLLED_BACK: [*FORWARD, "undo", "restart"],
    Outcome.BLOCKED: [],
}
"""What the hooks of a site write down themselves, by what the dashboard says came of its upgrade."""


class Soak:
    """`seed` decides what is broken when; sites on which the health check fails go back each time."""

    def __init__(self, folder: Path, seed: int, hosts: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - to be told again by its seed
        self.kills: Counter[str] = Counter()
        self.servers = self._start_servers(folder, hosts)
        self.sites: dict[int, Site] = {}
        self.supervisors = [
            Supervisor(self.servers[0], RELEASEMGR_HOSTS_PER_SLOT=str(HOSTS_EACH)) for _number in range(SUPERVISORS)
        ]
        self._folder = folder
        Policy.objects.update(canary_share=0, wave_sizes="", max_parallel=100, halt_share=100, halt_same=10**4)
        make_build("1.0", maturity=Maturity.STABLE)
        for number, server in enumerate(self.servers):
            self._make_host(number, server)

    @staticmethod
    def _start_servers(folder: Path, hosts: int) -> list[SshServer]:
        servers = [SshServer(folder / f"sshd-{number}") for number in range(hosts)]
        for server in servers:
            server.key_file = servers[0].key_file
            server.start()
        return servers

    def _make_host(self, number: int, server: SshServer) -> None:
        host = make_host(f"web-{number}", address="127.0.0.1", port=server.port, user=server.user,
                         host_key=server.host_key, max_parallel=2)  # fmt: skip
        for place in range(SITES_PER_HOST):
            site = Site(self._folder / f"site-{number}-{place}")
            commands = {f"{hook}_command": HOOK.format(name=name, colour=place) for hook, name in STEPS.items()}
            fails = {"health_url": "http://127.0.0.1:9/"} if place == SITES_PER_HOST - 1 else {}
            instance = make_instance(
                f"site-{number}-{place}", runs=None, host=host, path=str(site.path), health_timeout_s=1,
                **commands, **fails,
            )  # fmt: skip
            note_version(instance, "1.0", now=clock.now())
            self.sites[instance.pk] = site

    def run(self, upgrades: int) -> None:
        """At least so many, in rounds of all sites to a new build each."""
        for supervisor in self.supervisors:
            supervisor.start()
        number = 0
        while Upgrade.objects.count() < upgrades:
            number += 1
            self._round(f"1.{number}")

    def _round(self, version: str) -> None:
        content = make_artifact(self._folder, version).read_bytes()
        make_build(version, maturity=Maturity.RELEASE, content=content)
        start_upgrades(list(Instance.objects.for_list()), actor=COMMAND, now=clock.now())
        until = time.monotonic() + PATIENCE
        while Upgrade.objects.filter(ended_at=None).exists():
            assert time.monotonic() < until, f"not ended: {self._under_way()}"
            self._break_something()
            time.sleep(self.random.uniform(0.8, 2.0))
            for server in self.servers:
                server.thaw()

    @staticmethod
    def _under_way() -> list[str]:
        rows = Upgrade.objects.filter(ended_at=None).select_related("instance", "instance__host")
        return [f"{one.pk} {one.instance} {one.state} {one.instance.host.failure}" for one in rows]

    def _break_something(self) -> None:
        faults: list[tuple[int, Callable[[], None]]] = [
            (45, self._cut_links), (20, self._hang_host), (20, cut_database), (10, self._kill_supervisor),
            (5, self._kill_all_supervisors),
        ]  # fmt: skip
        [fault] = self.random.choices([fault for _weight, fault in faults], [weight for weight, _fault in faults])
        self.kills[fault.__name__.strip("_").replace("_", " ")] += 1
        fault()

    def _cut_links(self) -> None:
        self.random.choice(self.servers).drop_connections()

    def _hang_host(self) -> None:
        self.random.choice(self.servers).freeze()

    def _kill_supervisor(self) -> None:
        one = self.random.choice(self.supervisors)
        one.kill()
        one.start()

    def _kill_all_supervisors(self) -> None:
        for one in self.supervisors:
            one.kill()
        for one in self.supervisors:
            one.start()

    def end(self) -> None:
        for supervisor in self.supervisors:
            supervisor.kill()
        for server in self.servers:
            server.stop()
        connection.close()

    # What came of them.

    def report(self) -> dict[str, Any]:
        """Figures to print; all that is wrong is under `faults`."""
        upgrades = list(Upgrade.objects.select_related("instance").order_by("pk"))
        begun = [one for one in upgrades if one.events.filter(to_state="starting").exists()]
        logs = [self._log_of(one) for one in upgrades]
        return {
            "upgrades begun": len(begun),
            "upgrades ended": sum(one.ended_at is not None for one in begun),
            "outcomes": dict(Counter(f"{one.outcome}, {one.end_code}" for one in upgrades)),
            "kills": dict(self.kills),
            "put back, and begun again": sum(max(0, self._starts(one) - 1) for one in begun),
            "steps run on hosts": sum(len(steps) for site in self.sites.values() for steps in self._ran(site).values()),
            "log bytes compared": sum(len(data) for data in logs),
            "faults": self._faults(upgrades),
        }

    @staticmethod
    def _starts(upgrade: Upgrade) -> int:
        return upgrade.events.filter(to_state="starting").count()

    def _faults(self, upgrades: list[Upgrade]) -> list[str]:
        found = [f"two at once on {site.path.name}" for site in self.sites.values() if (site.path / "at-once").exists()]
        for site in self.sites.values():
            numbers = [int(line.split()[0]) for line in self._lines(site)]
            if numbers != sorted(numbers):
                found.append(f"upgrades overlap on {site.path.name}")
        for upgrade in upgrades:
            site = self.sites[upgrade.instance_id]
            ran = self._ran(site)[upgrade.pk]
            if ran != RAN.get(Outcome(upgrade.outcome or "")):
                found.append(f"upgrade {upgrade.pk} is {upgrade.outcome} ({upgrade.end_code}), and ran {ran}")
            if self._log_of(upgrade) != read_log(upgrade, 0, 10**9):
                found.append(f"the log of upgrade {upgrade.pk} differs from its host's")
        return found

    def _log_of(self, upgrade: Upgrade) -> bytes:
        """As the host wrote it; empty where it never began there."""
        path = self.sites[upgrade.instance_id].upgrade(upgrade.pk) / "log"
        return path.read_bytes() if path.exists() else b""

    def _ran(self, site: Site) -> dict[int, list[str]]:
        """The steps in the order in which they began, by the number of the upgrade."""
        ran: dict[int, list[str]] = defaultdict(list)
        for line in self._lines(site):
            number, step = line.split()
            ran[int(number)].append(step)
        return ran

    @staticmethod
    def _lines(site: Site) -> list[str]:
        path = site.path / "ran"
        return path.read_text().splitlines() if path.exists() else []
