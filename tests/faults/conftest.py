from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.network import Network
from tests.faults.world import World
from tests.ssh.sshd import SshServer
from tests.upgrades.sites import Site


@pytest.fixture
def world(tmp_path: Path, transactional_db: None) -> Iterator[World]:
    server = SshServer(tmp_path / "sshd")
    server.start()
    world = World(server, Site(tmp_path / "site"))
    yield world
    world.end()
    server.stop()


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.remove()


@pytest.fixture
def far_world(tmp_path: Path, network: Network, transactional_db: None) -> Iterator[World]:
    """Its host is in a network of its own, so that packets can be dropped."""
    server = SshServer(tmp_path / "sshd", (f"ListenAddress {network.there}",), within=network.command)
    server.start()
    world = World(server, Site(tmp_path / "site"), network.there)
    yield world
    network.mend()
    world.end()
    server.stop()
