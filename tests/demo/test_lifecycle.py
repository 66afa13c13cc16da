import socket
from pathlib import Path

import pytest

from releasemgr.demo import installation, lifecycle, processes
from releasemgr.demo.fleet import ADDRESS, HOSTS, SITES, UNREACHABLE_HOST, Places
from tests.demo.conftest import quiet

pytestmark = pytest.mark.shell


def everyone(places: Places) -> dict[str, processes.Process | None]:
    sites = {site.slug: installation.running(site, places) for site in SITES}
    return {"hosts": processes.read(places.hosts_pid), **sites}


def test_a_second_start_keeps_what_runs_and_restarts_what_died(own_world: Path) -> None:
    places = lifecycle.start(own_world, quiet)
    before = everyone(places)
    assert all(before.values())
    died = before["ostrov-live"]
    assert died
    processes.stop([died])

    assert lifecycle.start(own_world, quiet) == places
    after = everyone(places)
    assert after.pop("ostrov-live") not in (None, before.pop("ostrov-live"))
    assert after == before

    lifecycle.stop(own_world)
    assert not any(everyone(places).values())
    assert not [process for host in HOSTS for process in processes.living_at(places.home(host))]
    lifecycle.stop(own_world)


def test_sites_of_a_host_that_is_down_do_not_run(own_world: Path) -> None:
    places = lifecycle.start(own_world, quiet, down=frozenset({UNREACHABLE_HOST}))
    dead = {site.slug for site in SITES if not installation.running(site, places)}
    assert dead == {site.slug for site in SITES if site.host == UNREACHABLE_HOST}


def test_starting_anew_removes_the_demo_and_nothing_else(own_world: Path, tmp_path: Path) -> None:
    lifecycle.claim(own_world)
    (tmp_path / "other").mkdir()
    lifecycle.reset(own_world)
    lifecycle.reset(tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_half_an_installation_is_made_anew(own_world: Path) -> None:
    places = lifecycle.start(own_world, quiet)
    lifecycle.stop(own_world)
    (places.site(SITES[0]) / "current").unlink()
    lifecycle.start(own_world, quiet)
    assert installation.running(SITES[0], places)


def test_a_port_that_somebody_else_took_stops_the_start(own_world: Path) -> None:
    places = lifecycle.claim(own_world)
    with (
        socket.create_server((ADDRESS, places.ports["kestrel-test"])),
        pytest.raises(lifecycle.PortTakenError, match="of kestrel-test is taken by another program"),
    ):
        lifecycle.start(own_world, quiet)
    assert not (own_world / "hosts").exists()


def test_ports_are_free_ones_and_kept(own_world: Path) -> None:
    with socket.create_server((ADDRESS, next(lifecycle.free_ports(own_world)))) as taken:
        places = lifecycle.claim(own_world)
        assert taken.getsockname()[1] not in places.ports.values()
    assert len(set(places.ports.values())) == len(HOSTS) + len(SITES)
    assert lifecycle.claim(own_world) == places
