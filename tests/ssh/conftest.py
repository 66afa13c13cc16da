from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ssh.sshd import SshServer
from tests.upgrades.sites import Site
from upgrades.contact import Connect, HostAddress, Remote
from upgrades.links import Limits
from upgrades.remote import fabric_connect
from upgrades.ssh_keys import one_key


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    server = SshServer(tmp_path / "sshd")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def address(server: SshServer) -> HostAddress:
    return HostAddress("web-1", "127.0.0.1", server.port, server.user, server.host_key)


@pytest.fixture
def connect(server: SshServer) -> Connect:
    return fabric_connect(one_key(server.key_file), Limits(connect=2, sign_in=3, answer=10, silence=7))


@pytest.fixture
def remote(connect: Connect, address: HostAddress) -> Iterator[Remote]:
    remote = connect(address)
    yield remote
    remote.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "site")
    yield site
    site.let_go()
