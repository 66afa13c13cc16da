"""The SSH hosts of the demo behave as OpenSSH does where it matters to an upgrade. The client is Paramiko."""

import asyncio
import base64
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import asyncssh
import paramiko
import pytest

from releasemgr.demo import hosts, lifecycle, processes
from releasemgr.demo.fleet import ADDRESS, HOSTS, USER, Places
from tests.demo.conftest import quiet
from tests.demo.waiting import until

pytestmark = pytest.mark.shell
HOST = "app-yyz-01"
Connect = Callable[..., paramiko.SSHClient]


@pytest.fixture
def connect(world: Places) -> Iterator[Connect]:
    clients: list[paramiko.SSHClient] = []

    def open_one(host: str = HOST, key: Path = world.client_key, user: str = USER) -> paramiko.SSHClient:
        client = paramiko.SSHClient()
        clients.append(client)
        kind, public = world.host_key(host).with_suffix(".pub").read_text().split()[:2]
        pinned = paramiko.Ed25519Key(data=base64.b64decode(public))
        client.get_host_keys().add(f"[{ADDRESS}]:{world.ports[host]}", kind, pinned)
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        client.connect(
            ADDRESS,
            world.ports[host],
            user,
            pkey=paramiko.Ed25519Key.from_private_key_file(str(key)),
            allow_agent=False,
            look_for_keys=False,
            timeout=5,
        )
        return client

    yield open_one
    for client in clients:
        client.close()


def test_a_command_runs_in_a_shell_and_gives_output_errors_and_status(connect: Connect) -> None:
    _, out, err = connect().exec_command("echo $((6 * 7)); echo oops >&2; exit 3")
    assert (out.read(), err.read(), out.channel.recv_exit_status()) == (b"42\n", b"oops\n", 3)


def test_a_command_ended_by_a_signal_has_no_status(connect: Connect) -> None:
    _, out, _ = connect().exec_command("kill -TERM $$")
    assert out.channel.recv_exit_status() == -1


def test_a_signal_sent_through_the_channel_ends_the_command(world: Places) -> None:
    """Paramiko cannot send one, so this client is asyncssh's."""

    async def end_a_sleep() -> str:
        options = {"username": USER, "client_keys": [str(world.client_key)], "known_hosts": None}
        async with asyncssh.connect(ADDRESS, world.ports[HOST], **options) as connection:
            process = await connection.create_process("sleep 60")
            process.terminate()
            return str((await process.wait(timeout=5)).exit_signal)

    assert "TERM" in asyncio.run(end_a_sleep())


def test_twenty_megabytes_of_any_bytes_go_in_and_come_out(connect: Connect) -> None:
    channel = connect().get_transport().open_session()  # type: ignore[union-attr]
    sent = os.urandom(20_000_000)
    channel.exec_command("sha256sum")
    for begin in range(0, len(sent), 2**18):
        channel.sendall(sent[begin : begin + 2**18])
    channel.shutdown_write()
    assert channel.makefile().read().split()[0].decode() == hashlib.sha256(sent).hexdigest()
    assert channel.recv_exit_status() == 0
    _, out, _ = connect().exec_command("head -c 20000000 /dev/zero")
    assert len(out.read()) == 20_000_000


def test_a_command_sees_its_host_and_nothing_of_the_server(connect: Connect, world: Places) -> None:
    _, out, _ = connect().exec_command("pwd; env")
    directory, *variables = out.read().decode().splitlines()
    assert directory == str(world.home(HOST))
    names = {line.partition("=")[0] for line in variables} - {"PWD", "OLDPWD", "SHLVL", "_"}
    assert names == set(hosts.environment(world.home(HOST), USER))
    assert f"HOME={world.home(HOST)}" in variables


def test_a_lost_link_hangs_up_the_command_but_not_what_it_detached(connect: Connect, world: Places) -> None:
    folder = world.home(HOST) / uuid4().hex
    folder.mkdir()
    client = connect()
    client.exec_command(
        f"cd {folder.name}; setsid sleep 60 </dev/null >/dev/null 2>&1 & echo $! >detached; "
        "trap 'echo HUP >heard; exit' HUP; echo $$ >direct; while :; do sleep 0.05; done"
    )
    direct = processes.find(int(until(lambda: _text(folder / "direct"))))
    detached = processes.find(int(until(lambda: _text(folder / "detached"))))
    assert direct
    assert detached
    client.get_transport().sock.close()  # type: ignore[union-attr] # no goodbye
    assert until(lambda: _text(folder / "heard")) == "HUP\n"
    until(lambda: not direct.alive)
    assert detached.alive
    processes.stop([detached])


def test_a_channel_stays_open_while_anything_holds_its_output(connect: Connect) -> None:
    _, out, _ = connect().exec_command("(sleep 0.3; echo late) & echo early")
    assert out.read() == b"early\nlate\n"


def test_files_go_both_ways_and_relative_names_begin_at_home(connect: Connect, world: Places) -> None:
    content, name = os.urandom(300_000), uuid4().hex
    with connect().open_sftp() as files:
        with files.open(name, "wb") as file:
            file.write(content)
        assert (world.home(HOST) / name).read_bytes() == content
        with files.open(str(world.home(HOST) / name), "rb") as file:
            assert file.read() == content
        assert files.normalize(".") == str(world.home(HOST))


def test_ten_sessions_share_a_connection_and_an_eleventh_is_refused(connect: Connect) -> None:
    client = connect()
    opened = [client.exec_command("sleep 60")[1] for _ in range(hosts.SESSIONS_PER_CONNECTION)]
    with pytest.raises(paramiko.ChannelException):
        client.exec_command("true")
    opened[0].channel.close()
    until(lambda: _runs(client, "true"))


def test_another_key_another_user_and_a_password_are_refused(connect: Connect, world: Places, tmp_path: Path) -> None:
    hosts.ensure_key(tmp_path / "stranger")
    with pytest.raises(paramiko.AuthenticationException):
        connect(key=tmp_path / "stranger")
    with pytest.raises(paramiko.AuthenticationException):
        connect(user="root")
    transport = paramiko.Transport((ADDRESS, world.ports[HOST]))
    try:
        transport.start_client(timeout=5)
        with pytest.raises(paramiko.BadAuthenticationType):
            transport.auth_password(USER, "", fallback=False)
    finally:
        transport.close()


def test_hosts_have_keys_of_their_own(world: Places) -> None:
    keys = {world.host_key(host).read_text() for host in HOSTS}
    assert len(keys) == len(HOSTS)


def test_a_host_that_is_down_drops_everyone_and_comes_back_with_its_key(connect: Connect, world: Places) -> None:
    inside = connect()
    lifecycle.set_down(world, frozenset({HOST}), quiet)
    with pytest.raises(paramiko.ssh_exception.NoValidConnectionsError):
        connect()
    until(lambda: not inside.get_transport().is_active())  # type: ignore[union-attr]
    assert _runs(connect("app-ams-01"), "true")
    lifecycle.set_down(world, frozenset(), quiet)
    assert _runs(connect(), "true")


def _runs(client: paramiko.SSHClient, command: str) -> bool:
    try:
        return client.exec_command(command)[1].channel.recv_exit_status() == 0
    except paramiko.ChannelException:
        return False


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
