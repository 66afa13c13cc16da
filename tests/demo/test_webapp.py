"""The web application of the demo: real hooks, real processes, and a failure for a real reason."""

import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import pytest

from releasemgr.demo import artifacts, hosts, installation, processes
from releasemgr.demo.fleet import ADDRESS, PLUGIN_SITE, SITES, USER, Places, Site

pytestmark = pytest.mark.shell
Named = Callable[[str], Site]


def get(places: Places, site: Site, path: str) -> tuple[int, list[str]]:
    connection = HTTPConnection(ADDRESS, places.ports[site.slug], timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace").splitlines()
    finally:
        connection.close()


def run_hook(places: Places, site: Site, version: str, hook: str, *words: str, before: str = "") -> str:
    """What the hook prints. It has to end with 0."""
    home, path = places.home(site.host), places.site(site)
    done = subprocess.run(
        ["sh", str(path / "releases" / version / "hooks" / hook), *words],
        env=hosts.environment(home, USER)
        | {"SITE_PATH": str(path), "TO_VERSION": version, "FROM_VERSION": before or site.first_version},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def unpack(places: Places, site: Site, version: str) -> Path:
    release = places.site(site) / "releases" / version
    shutil.rmtree(release, ignore_errors=True)
    release.mkdir()
    archive = artifacts.archive(places.artifacts, version)
    subprocess.run(["tar", "--no-same-owner", "-xzf", str(archive), "-C", str(release)], check=True)
    return release


def switch(places: Places, site: Site, version: str) -> str:
    current = places.site(site) / "current"
    (current.parent / "next").symlink_to(Path("releases") / version)
    os.replace(current.parent / "next", current)
    return run_hook(places, site, version, "restart")


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.slug)
def test_each_site_answers_with_the_version_that_is_installed(world: Places, site: Site) -> None:
    current = os.readlink(world.site(site) / "current")
    status, lines = get(world, site, "/health/")
    assert (status, lines[0]) == (200, current.removeprefix("releases/"))
    assert get(world, site, "/version/") == (200, lines[:1])
    assert site.slug in get(world, site, "/")[1][0]


def test_a_restart_replaces_the_old_process_by_one_of_the_new_release(world: Places, site_named: Named) -> None:
    site = site_named("halvorsen-test")
    before = installation.running(site, world)
    unpack(world, site, "4.20.4")
    printed = run_hook(world, site, "4.20.4", "migrate")
    switch(world, site, "4.20.4")
    after = installation.running(site, world)
    assert before
    assert after
    assert not before.alive
    assert get(world, site, "/health/")[1][0] == "4.20.4"
    assert "Applying billing.0147_invoice_line_tax..." in printed
    assert "billing.backfill 2,400 rows" in printed
    assert os.getsid(after.pid) == after.pid


def test_the_site_with_the_old_plugin_fails_and_works_again_after_the_way_back(
    world: Places, site_named: Named
) -> None:
    site = site_named(PLUGIN_SITE)
    for version in ("4.20.2", "4.20.4"):
        unpack(world, site, version)
        run_hook(world, site, version, "migrate")
    assert "ERROR plugin ‘legacy_reports’ cannot be imported\n" in switch(world, site, "4.20.4")
    status, lines = get(world, site, "/health/")
    assert (status, lines[0]) == (500, "plugin ‘legacy_reports’ cannot be imported")
    assert get(world, site, "/version/") == (200, ["4.20.4"])

    switch(world, site, "4.20.2")
    assert get(world, site, "/health/")[1][0] == "4.20.2", "the old code runs on the newer data"
    printed = run_hook(world, site, "4.20.4", "migrate", "undo", before="4.20.2")
    assert [line.strip() for line in printed.splitlines()[1:]] == [
        "Reversing billing.0148_tax_code_index... OK",
        "Reversing billing.0147_invoice_line_tax... OK",
        "Reversing calendar.0146_event_owner... OK",
    ]
    switch(world, site, "4.20.2")
    assert get(world, site, "/health/") == (200, ["4.20.2", "up for 0 s, 2400 invoice lines"])


def test_a_release_whose_migrations_were_forgotten_is_not_healthy(world: Places, site_named: Named) -> None:
    site = site_named("kestrel-de-live")
    unpack(world, site, "4.20.0")
    switch(world, site, "4.20.0")
    status, lines = get(world, site, "/health/")
    assert (status, lines[0]) == (500, "migration billing.0144_customer_reference has not been applied")
    switch(world, site, site.first_version)
    assert get(world, site, "/health/")[0] == 200


def test_a_migration_that_was_cut_off_goes_on_where_it_was(world: Places, site_named: Named) -> None:
    site = site_named("mapleridge-live")
    release = unpack(world, site, "4.20.0")
    process = subprocess.Popen(
        ["python3", "-I", "-S", "-u", str(release / "migrate.py")],
        env=hosts.environment(world.home(site.host), USER) | {"SITE_PATH": str(world.site(site))},
        executable=world.home(site.host) / "bin" / "python3",
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    with process, process.stdout as printed:
        assert any(b"backfill 600 rows" in line for line in printed)
        process.kill()
    assert "billing.backfill 1,800 rows" in run_hook(world, site, "4.20.0", "migrate")
    assert "0 to apply" in run_hook(world, site, "4.20.0", "migrate")


def test_a_backup_is_a_whole_copy_and_three_are_kept(world: Places, site_named: Named) -> None:
    site = site_named("pampa-live")
    folder = world.site(site) / "shared" / "backups"
    for number in range(4):
        printed = run_hook(world, site, site.first_version, "backup", before=f"4.0.{number}")
        assert "integrity ok" in printed
    names = sorted(path.name.partition("-")[2] for path in folder.iterdir())
    assert names == ["4.0.1.sqlite3", "4.0.2.sqlite3", "4.0.3.sqlite3"]
    with sqlite3.connect(next(folder.iterdir())) as copy:
        assert copy.execute("SELECT count(*) FROM invoice_line").fetchone() == (2400,)


def test_stopping_a_site_spares_a_stranger_that_has_its_pid(world: Places, site_named: Named) -> None:
    site = site_named("ostrov-test")
    ours = installation.running(site, world)
    assert ours
    pid_file = world.site(site) / "shared" / "run" / "web.pid"
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        pid_file.write_text(f"{stranger.pid} 1\n")
        run_hook(world, site, site.first_version, "stop")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
    assert not pid_file.exists()
    processes.write(pid_file, ours)


def test_a_site_that_cannot_start_says_why(world: Places, site_named: Named) -> None:
    site = site_named("kestrel-test")
    run_hook(world, site, site.first_version, "stop")
    with socket.create_server((ADDRESS, world.ports[site.slug])):
        with pytest.raises(AssertionError, match="Address already in use"):
            run_hook(world, site, site.first_version, "restart")
        assert installation.running(site, world) is None
    run_hook(world, site, site.first_version, "restart")
    assert get(world, site, "/health/")[0] == 200


def test_only_static_files_are_served(world: Places, site_named: Named) -> None:
    site = site_named("novara-it-live")
    assert get(world, site, "/static/northlight.css")[0] == 200
    for path in ("/static/../VERSION", "/static/", "/app.py", "/static/../../../shared/settings.ini"):
        assert get(world, site, path)[0] == 404
