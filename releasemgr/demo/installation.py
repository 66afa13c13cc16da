"""Puts the fleet on its hosts: keys, homes, and each site's first release, unpacked and started for real."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from releasemgr.demo import artifacts, hosts, processes
from releasemgr.demo.fleet import HOSTS, SITES, USER, Places, Site

Say = Callable[[str], None]
AT_ONCE = 4  # sites installed or started side by side

SETTINGS = """\
[site]
name = {slug}
port = {port}

[plugins]
enabled = {plugins}
"""


def prepare_hosts(places: Places) -> None:
    hosts.ensure_key(places.client_key)
    for host in HOSTS:
        hosts.ensure_key(places.host_key(host))
        _give_python(places.home(host) / "bin" / "python3")


def lay_out(places: Places, say: Say) -> None:
    """Installs what is missing. A site is there once its `current` is; half of one is made anew."""
    missing = [site for site in SITES if not (places.site(site) / "current").exists()]
    if missing:
        say(f"Installing {len(missing)} sites on {len(HOSTS)} hosts")
        _side_by_side(lambda site: install(site, places), missing)


def start_sites(places: Places, say: Say, down: frozenset[str] = frozenset()) -> None:
    """Starts the sites that do not run, but those of the hosts that are down."""
    dead = [site for site in SITES if site.host not in down and not running(site, places)]
    if dead:
        say(f"Starting {len(dead)} sites")
        _side_by_side(lambda site: hook(site, places, "restart"), dead)


def install(site: Site, places: Places) -> None:
    path, release = places.site(site), places.site(site) / "releases" / site.first_version
    shutil.rmtree(path, ignore_errors=True)
    (path / "shared").mkdir(parents=True)
    settings = SETTINGS.format(slug=site.slug, port=places.ports[site.slug], plugins=site.plugins)
    (path / "shared" / "settings.ini").write_text(settings)
    release.mkdir(parents=True)
    archive = artifacts.archive(places.artifacts, site.first_version)
    on_host(site, places, "tar", "--no-same-owner", "-xzf", str(archive), "-C", str(release))
    on_host(site, places, "sh", str(release / "hooks" / "migrate"))
    on_host(site, places, "python3", "-I", "-S", "-B", str(release / "sample_data.py"))
    (path / "current").symlink_to(Path("releases") / site.first_version)


def running(site: Site, places: Places) -> processes.Process | None:
    return processes.read(places.site(site) / "shared" / "run" / "web.pid")


def hook(site: Site, places: Places, name: str) -> None:
    on_host(site, places, "sh", str(places.site(site) / "current" / "hooks" / name))


def on_host(site: Site, places: Places, *command: str) -> None:
    """Runs a command as the host would; what it prints is kept until it fails."""
    home = places.home(site.host)
    where = {"SITE_PATH": str(places.site(site)), "FROM_VERSION": "", "TO_VERSION": site.first_version}
    done = subprocess.run(  # noqa: S603 - our own commands
        command,
        env=hosts.environment(home, USER) | where,
        executable=shutil.which(command[0], path=hosts.environment(home, USER)["PATH"]),
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{site.slug}: {' '.join(command)} ended with {done.returncode}.\n{done.stdout}")


def _give_python(link: Path) -> None:
    """The host's python3 is this one, whatever the machine's own is called or missing."""
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.realpath(sys.executable))


def _side_by_side(act: Callable[[Site], None], sites: list[Site]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(act, sites))
