"""Hosts behind other hosts, on real OpenSSH servers: each hop has its own key, its own sign-in and its own limits."""

import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import create_autospec

import paramiko
import pytest

from releasemgr.lib.identities import KeyFile
from tests.ssh.sshd import SshServer
from tests.ssh.test_remote import Reader, start
from tests.upgrades.sites import Site
from upgrades.contact import Connect, FrameKind, Ground, HostAddress
from upgrades.exceptions import ConnectionLost, HostKeyChanged, HostKeyUnknown, JumpFailed, SignInRefused, Unreachable
from upgrades.links import ChannelSocket, Limits, offered_host_key
from upgrades.remote import fabric_connect
from upgrades.ssh_keys import keys_of

pytestmark = pytest.mark.ssh
LIMITS = Limits(connect=2, sign_in=4, answer=10, silence=7)


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., SshServer]]:
    servers: list[SshServer] = []

    def make(name: str, *options: str) -> SshServer:
        server = SshServer(tmp_path / name, options)
        server.start()
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.stop()


class Behind:
    """A host behind a gate, each of which lets another key in."""

    def __init__(self, gate: SshServer, inner: SshServer) -> None:
        self.gate, self.inner = gate, inner
        self.via = HostAddress("gate", "127.0.0.1", gate.port, gate.user, gate.host_key, "outer")
        self.address = HostAddress(
            "web-1", "127.0.0.1", inner.port, inner.user, inner.host_key, "inner", replace(self.via)
        )
        self.lend = keys_of({"outer": KeyFile(gate.key_file), "inner": KeyFile(inner.key_file)})
        self.connect: Connect = fabric_connect(self.lend, LIMITS)


@pytest.fixture
def way(make_server: Callable[..., SshServer]) -> Behind:
    return Behind(make_server("gate"), make_server("inner"))


def test_a_whole_upgrade_goes_over_a_jump_host(way: Behind, site: Site, tmp_path: Path) -> None:
    remote = way.connect(way.address)
    assert way.gate.sessions(), "the gate carries it"
    big = tmp_path / "big.tar"
    big.write_bytes(os.urandom(20 * 1024 * 1024))
    there = Path(remote.send_artifact(big, hashlib.sha256(big.read_bytes()).hexdigest()))
    assert there.read_bytes() == big.read_bytes()
    ground = start(remote, site)
    reader = Reader()
    reader.follow(remote, ground, until=FrameKind.ENDED)
    assert reader.log == (site.upgrade(1) / "log").read_bytes()
    assert site.current() == "releases/1.1"
    remote.close()


def test_a_chain_of_jump_hosts_is_gone_through_hop_by_hop(
    way: Behind, make_server: Callable[..., SshServer], site: Site
) -> None:
    second = make_server("second")
    hop = HostAddress("second", "127.0.0.1", second.port, second.user, second.host_key, "second", way.via)
    places = {"outer": way.gate, "second": second, "inner": way.inner}
    lend = keys_of({name: KeyFile(server.key_file) for name, server in places.items()})
    remote = fabric_connect(lend, LIMITS)(replace(way.address, via=hop))
    assert all(server.sessions() for server in places.values())
    assert not remote.inspect(Ground(str(site.path), 1)).begun
    remote.close()
    assert [one.name for one in replace(way.address, via=hop).hops] == ["second", "gate"]


def test_each_hop_is_known_by_its_own_key(way: Behind) -> None:
    """U6."""
    mistaken = replace(way.via, host_key=way.inner.host_key)
    with pytest.raises(JumpFailed, match="The jump host gate cannot be used") as failed:
        way.connect(replace(way.address, via=mistaken))
    assert failed.value.hop.name == "gate"
    assert isinstance(failed.value.error, HostKeyChanged)
    assert failed.value.error.offered_key == way.gate.host_key
    with pytest.raises(JumpFailed) as failed:
        way.connect(replace(way.address, via=replace(way.via, host_key="")))
    assert isinstance(failed.value.error, HostKeyUnknown)
    with pytest.raises(HostKeyChanged) as changed:
        way.connect(replace(way.address, host_key=way.gate.host_key))
    assert changed.value.offered_key == way.inner.host_key


def test_each_hop_is_signed_in_on_with_its_own_key(way: Behind) -> None:
    with pytest.raises(JumpFailed) as failed:
        way.connect(replace(way.address, via=replace(way.via, identity="inner")))
    assert isinstance(failed.value.error, SignInRefused)
    with pytest.raises(SignInRefused, match="web-1"):
        way.connect(replace(way.address, identity="outer"))


def test_a_jump_host_that_is_down_is_told_from_a_host_behind_it_that_is(way: Behind) -> None:
    way.inner.stop()
    with pytest.raises(Unreachable, match=r"gate cannot reach 127\.0\.0\.1 on port") as refused:
        way.connect(way.address)
    assert not isinstance(refused.value, JumpFailed)
    way.gate.stop()
    with pytest.raises(JumpFailed, match=r"The jump host gate cannot be used: .* refuses connections") as failed:
        way.connect(way.address)
    assert isinstance(failed.value.error, Unreachable)


def test_a_gate_that_forwards_nothing_is_at_fault_itself(make_server: Callable[..., SshServer]) -> None:
    way = Behind(make_server("gate", "AllowTcpForwarding no"), make_server("inner"))
    with pytest.raises(JumpFailed, match="does not forward connections"):
        way.connect(way.address)


def test_the_key_of_a_host_behind_a_jump_host_is_asked_for_over_it(way: Behind) -> None:
    unknown = replace(way.address, host_key="")
    assert offered_host_key(unknown, way.lend, LIMITS).key == way.inner.host_key
    with pytest.raises(HostKeyUnknown) as caught:
        way.connect(unknown)
    assert caught.value.offered_key == way.inner.host_key


def test_a_gate_that_stalls_does_not_hold_us(way: Behind, site: Site) -> None:
    """U7."""
    remote = fabric_connect(way.lend, Limits(answer=1.5))(way.address)
    ground = Ground(str(site.path), 1)
    assert not remote.inspect(ground).begun
    way.gate.freeze()
    began = time.monotonic()
    with pytest.raises(ConnectionLost, match="did not answer within"):
        remote.inspect(ground)
    remote.close()
    assert time.monotonic() - began < 5


def test_a_host_behind_a_jump_host_that_says_nothing_does_not_hold_us(way: Behind) -> None:
    """U7."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mute = replace(way.address, port=listener.getsockname()[1])
        began = time.monotonic()
        with pytest.raises(Unreachable, match="did not answer within 4 seconds"):
            way.connect(mute)
        assert time.monotonic() - began < 9


def test_a_host_that_its_jump_host_gets_no_answer_from_is_at_fault_itself(way: Behind) -> None:
    """What is switched off answers nothing: all that is behind the same jump host must not be blamed for it."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _each in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        dead = replace(way.address, port=full.getsockname()[1])
        with pytest.raises(Unreachable, match=r"gate got no answer from .* within 2 seconds") as refused:
            way.connect(dead)
        for one in waiting:
            one.close()
    assert not isinstance(refused.value, JumpFailed)
    way.connect(way.address).close()


@pytest.mark.parametrize("error", [EOFError(), paramiko.SSHException("gone"), OSError(32, "Broken pipe")])
def test_what_went_over_a_lost_gate_is_closed_without_an_error(error: Exception) -> None:
    channel = create_autospec(paramiko.Channel, instance=True)
    channel.close.side_effect = error
    ChannelSocket(channel).close()
    channel.close.assert_called_once_with()


def test_a_lost_gate_loses_the_connection_and_not_the_upgrade(way: Behind, site: Site) -> None:
    """U3."""
    site.values["BACKUP_COMMAND"] = "n=0; while [ ! -e go ] && [ $((n += 1)) -lt 1200 ]; do sleep 0.05; done"
    first = way.connect(way.address)
    ground = start(first, site)
    way.gate.drop_connections()
    with pytest.raises(ConnectionLost):
        first.inspect(ground)
    first.close()
    second = way.connect(way.address)
    (site.path / "go").touch()
    reader = Reader()
    reader.follow(second, ground, until=FrameKind.ENDED)
    second.close()
    assert reader.log == (site.upgrade(1) / "log").read_bytes()
