"""Starts and stops the demo's world under one folder. A second start goes on with what is there."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from releasemgr.demo import artifacts, installation, processes
from releasemgr.demo.builds import BUILDS
from releasemgr.demo.fleet import ADDRESS, HOSTS, SITES, USER, Places, write_import
from releasemgr.demo.hosts import Config
from releasemgr.demo.installation import Say

PORTS = "ports.json"
READY_WITHIN = 20.0


class PortTakenError(Exception):
    """Something else listens where the demo did before. The message says what to do."""


def start(root: Path, say: Say, down: frozenset[str] = frozenset()) -> Places:
    """The running world. `down` names hosts that do not answer, and whose sites do not either."""
    places = claim(root)
    if not places.artifacts.exists():
        say(f"Packing {len(BUILDS)} builds")
    artifacts.build_all(places.artifacts)
    installation.prepare_hosts(places)
    installation.lay_out(places, say)
    set_down(places, down, say)
    write_import(places)
    return places


def stop(root: Path) -> None:
    """Ends the hosts, the sites and whatever else was started on the hosts. Without a demo there, nothing."""
    places = _places(root)
    if places is None:
        return
    hosts_process = processes.read(places.hosts_pid)
    processes.stop([hosts_process] if hosts_process else [])
    for host in HOSTS:
        _stop_all_on(host, places)
    places.hosts_pid.unlink(missing_ok=True)


def reset(root: Path) -> None:
    """Ends everything and removes it. A folder that holds no demo is left alone."""
    stop(root)
    if (root / PORTS).exists():
        shutil.rmtree(root)


def set_down(places: Places, down: frozenset[str], say: Say) -> None:
    """Makes exactly these hosts unreachable, their sites included; all others run."""
    _write_config(places, down)
    _run_hosts(places, say)
    for host in down:
        _stop_all_on(host, places)
    installation.start_sites(places, say, down)


def _stop_all_on(host: str, places: Places) -> None:
    """Until nothing is left: what is being stopped may just have started something else."""
    while left := {*processes.living_at(places.home(host)), *_sites_on(host, places)}:
        processes.stop(left)


def _sites_on(host: str, places: Places) -> list[processes.Process]:
    found = (installation.running(site, places) for site in SITES if site.host == host)
    return [process for process in found if process]


def claim(root: Path) -> Places:
    """Makes the folder, with free ports chosen once and kept."""
    root = root.resolve()
    if (places := _places(root)) is None:
        root.mkdir(parents=True, exist_ok=True)
        names = [*HOSTS, *(site.slug for site in SITES)]
        places = Places(root, dict(zip(names, free_ports(root), strict=False)))
        half_written = root / f"{PORTS}.part"
        half_written.write_text(json.dumps(places.ports, indent=2))
        half_written.replace(root / PORTS)
    _refuse_strangers(places)
    return places


def _places(root: Path) -> Places | None:
    try:
        return Places(root.resolve(), json.loads((root / PORTS).read_text()))
    except FileNotFoundError:
        return None


def free_ports(root: Path) -> Iterator[int]:
    """Below the range from which the kernel gives ports to clients, so that none is taken in passing."""
    below = _first_client_port()
    first, last = (10_000, below) if below > 12_000 else (40_000, 60_000)
    begin = zlib.crc32(os.fsencode(root)) % (last - first)
    ports = (first + (begin + step) % (last - first) for step in range(last - first))
    return (port for port in ports if _free(port))


def _first_client_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return 32_768  # what Linux has where nobody changed it


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def _refuse_strangers(places: Places) -> None:
    """A port of ours that is taken while our own process is not running belongs to somebody else."""
    dead: list[str] = [site.slug for site in SITES if not installation.running(site, places)]
    if not processes.read(places.hosts_pid):
        dead += HOSTS
    for name in dead:
        if not _free(places.ports[name]):
            raise PortTakenError(
                f"Port {places.ports[name]} of {name} is taken by another program. "
                "End that program, or start the demo anew with RESET=1."
            )


def _write_config(places: Places, down: frozenset[str]) -> None:
    def host(name: str) -> dict[str, object]:
        return {
            "name": name,
            "address": ADDRESS,
            "port": places.ports[name],
            "home": str(places.home(name)),
            "host_key": str(places.host_key(name)),
            "down": name in down,
        }

    config = {
        "user": USER,
        "authorized_key": str(places.client_key.with_suffix(".pub")),
        "hosts": [host(name) for name in HOSTS],
    }
    half_written = places.hosts_config.with_suffix(".part")
    half_written.write_text(json.dumps(config, indent=2))
    half_written.replace(places.hosts_config)


def _run_hosts(places: Places, say: Say) -> None:
    if process := processes.read(places.hosts_pid):
        process.send(signal.SIGHUP)
    else:
        say(f"Starting {len(HOSTS)} SSH hosts")
        _start_hosts(places)
    _await_doors(places)


def _start_hosts(places: Places) -> None:
    """In a session of their own, so that they outlive the command that starts them."""
    places.hosts_log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "releasemgr.demo.hosts", "--config", str(places.hosts_config)]
    with places.hosts_log.open("a") as log:
        subprocess.run(  # noqa: S603
            ["setsid", "--fork", *command, "--pid-file", str(places.hosts_pid)],  # noqa: S607
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
        )


def _await_doors(places: Places) -> None:
    """Waits until each host listens, or does not, as its configuration says."""
    wanted = {host.name: not host.down for host in Config.read(places.hosts_config).hosts}
    deadline = time.monotonic() + READY_WITHIN
    while any(_answers(places.ports[name]) != wanted[name] for name in HOSTS) or not processes.read(places.hosts_pid):
        if time.monotonic() > deadline:
            raise TimeoutError(f"The SSH hosts do not start. See {places.hosts_log}.")
        time.sleep(0.02)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((ADDRESS, port)) == 0
