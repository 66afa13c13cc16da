"""Several SSH hosts on the loopback in one process: `python -m releasemgr.demo.hosts --config FILE`.

Each has a port, a key and a home directory of its own. A command runs in a real /bin/sh.
SIGHUP reads the file again, so that a host can go down or come back. SIGTERM ends.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import asyncssh

from releasemgr.demo import processes

SESSIONS_PER_CONNECTION = 10  # MaxSessions of OpenSSH
PIECE = 2**16
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class HostConfig:
    name: str
    address: str
    port: int
    home: Path
    host_key: Path
    down: bool = False


@dataclass(frozen=True)
class Config:
    user: str
    authorized_key: Path
    hosts: tuple[HostConfig, ...]

    @classmethod
    def read(cls, path: Path) -> "Config":
        data = json.loads(path.read_text())
        hosts = (
            HostConfig(**host | {"home": Path(host["home"]), "host_key": Path(host["host_key"])})
            for host in data["hosts"]
        )
        return cls(data["user"], Path(data["authorized_key"]), tuple(hosts))


def environment(home: Path, user: str) -> dict[str, str]:
    """What a command finds on a host: nothing of the process that serves it."""
    return {
        "HOME": str(home),
        "USER": user,
        "LOGNAME": user,
        "SHELL": "/bin/sh",
        "PATH": f"{home}/bin:{SYSTEM_PATH}",
        "LANG": "C.UTF-8",
    }


def ensure_key(path: Path) -> str:
    """The public half, as one line, of the key at `path`, which is made when it is not there."""
    if not path.exists():
        key = asyncssh.generate_private_key("ssh-ed25519", comment=path.stem)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        key.write_public_key(path.with_suffix(".pub"))
        key.write_private_key(path)
        path.chmod(0o600)
    return path.with_suffix(".pub").read_text().strip()


class Command:
    """One command on a host: a child that leads a session of its own, as sshd makes it."""

    def __init__(self, host: HostConfig, user: str, channel: asyncssh.SSHServerProcess[bytes]) -> None:
        self.host, self.user, self.channel = host, user, channel
        self.child: asyncio.subprocess.Process | None = None
        self.ends: list[asyncio.ReadTransport] = []
        self.hung_up = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as pumps:
            child, streams = await self._start()
            feeding = pumps.create_task(self._feed(child))
            for stream, writer in zip(streams, (self.channel.stdout, self.channel.stderr), strict=True):
                pumps.create_task(self._drain(stream, writer))
            status = await child.wait()
            feeding.cancel()
        # Like sshd, a channel stays open for as long as anything holds the command's output.
        self._report(status)

    def hang_up(self) -> None:
        """The channel is gone: its child hears of it, what that child detached does not."""
        self.hung_up = True
        for end in self.ends:
            end.close()
        if self.child and self.child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.child.send_signal(signal.SIGHUP)

    async def _start(self) -> tuple[asyncio.subprocess.Process, list[asyncio.StreamReader]]:
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        argv = ["/bin/sh", "-c", self.channel.command] if self.channel.command is not None else ["/bin/sh"]
        try:
            self.child = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=out_end,
                stderr=err_end,
                cwd=self.host.home,
                env=environment(self.host.home, self.user),
                start_new_session=True,
            )
        finally:
            os.close(out_end)
            os.close(err_end)
        streams = [await self._reader(out), await self._reader(err)]
        if self.hung_up:  # while it started
            self.hang_up()
        return self.child, streams

    async def _reader(self, descriptor: int) -> asyncio.StreamReader:
        stream = asyncio.StreamReader(limit=4 * PIECE)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb", 0)
        )
        self.ends.append(transport)
        return stream

    async def _feed(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdin  # noqa: S101 - it was started with a pipe
        with contextlib.suppress(OSError, asyncssh.Error):
            while data := await self._next_input(child):
                child.stdin.write(data)
                await child.stdin.drain()
        with contextlib.suppress(OSError):
            child.stdin.close()

    async def _next_input(self, child: asyncio.subprocess.Process) -> bytes:
        """Empty at the end of the input."""
        while True:
            try:
                return await self.channel.stdin.read(PIECE)
            except asyncssh.SignalReceived as received:
                with contextlib.suppress(ProcessLookupError, KeyError):
                    os.killpg(child.pid, signal.Signals[f"SIG{received.signal}"])
            except (asyncssh.BreakReceived, asyncssh.TerminalSizeChanged):
                continue

    async def _drain(self, stream: asyncio.StreamReader, writer: asyncssh.SSHWriter[bytes]) -> None:
        with contextlib.suppress(OSError, asyncssh.Error):
            while not self.hung_up and (data := await stream.read(PIECE)):
                writer.write(data)
                await writer.drain()

    def _report(self, status: int) -> None:
        if self.hung_up:
            return
        if status >= 0:
            self.channel.exit(status)
        else:
            self.channel.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))


class Session(asyncssh.SSHServerProcess[bytes]):
    """One channel: a command, or SFTP."""

    running: ClassVar[set[asyncio.Task[None]]] = set()  # the loop itself holds tasks weakly

    def __init__(self, host: HostConfig, user: str, ended: Callable[[], None]) -> None:
        super().__init__(
            self._run,
            lambda channel: Files(cast("asyncssh.SSHServerChannel[bytes]", channel), host.home),
            3,
            False,
        )
        self._command = Command(host, user, self)
        self._ended = ended

    def _run(self, _: asyncssh.SSHServerProcess[bytes]) -> Awaitable[None]:
        # Not a task of the connection: the command is waited for when the connection is gone, too.
        task = asyncio.get_running_loop().create_task(self._command.run())
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return asyncio.shield(task)

    def subsystem_requested(self, subsystem: str) -> bool:
        return subsystem == "sftp"

    def connection_lost(self, exc: Exception | None) -> None:
        self._command.hang_up()
        self._ended()
        super().connection_lost(exc)


class Files(asyncssh.SFTPServer):
    """Files of the machine, with relative names beginning at the host's home directory."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], home: Path) -> None:
        super().__init__(channel)
        self._home = os.fsencode(home)

    def map_path(self, path: bytes) -> bytes:
        return os.path.join(self._home, path)


class Server(asyncssh.SSHServer):
    """One connection to one host."""

    def __init__(self, host: HostConfig, config: Config, connections: set[asyncssh.SSHServerConnection]) -> None:
        self._host, self._user, self._connections = host, config.user, connections
        self._authorized = asyncssh.read_public_key(config.authorized_key)
        self._sessions = 0

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == self._user and key == self._authorized

    def session_requested(self) -> Any:
        if self._sessions >= SESSIONS_PER_CONNECTION:
            return False
        self._sessions += 1
        channel = self._connection.create_server_channel(encoding=None)
        return channel, Session(self._host, self._user, self._session_ended)

    def _session_ended(self) -> None:
        self._sessions -= 1


class Listener:
    """One host's door: open, or shut with nobody left inside."""

    def __init__(self) -> None:
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._acceptor: asyncssh.SSHAcceptor | None = None

    async def follow(self, host: HostConfig, config: Config) -> None:
        if host.down:
            await self.shut()
        elif self._acceptor is None:
            self._acceptor = await asyncssh.create_server(
                lambda: Server(host, config, self._connections),
                host.address,
                host.port,
                server_host_keys=[str(host.host_key)],
                reuse_address=True,
                allow_pty=False,
                agent_forwarding=False,
                compression_algs=None,
                login_timeout=30,
            )

    async def shut(self) -> None:
        if self._acceptor:
            self._acceptor.close()
            await self._acceptor.wait_closed()
            self._acceptor = None
        for connection in list(self._connections):
            connection.abort()


async def serve(path: Path, pid_file: Path | None = None) -> None:
    listeners: dict[str, Listener] = {}
    ending, changed = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        ending.set()
        changed.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, changed.set)
    while not ending.is_set():
        changed.clear()
        config = Config.read(path)
        for host in config.hosts:
            await listeners.setdefault(host.name, Listener()).follow(host, config)
        _tell(config)
        if pid_file and (me := processes.find(os.getpid())):
            processes.write(pid_file, me)
        await changed.wait()
    for listener in listeners.values():
        await listener.shut()


def _tell(config: Config) -> None:
    hosts = {host.name: {"port": host.port, "down": host.down} for host in config.hosts}
    with contextlib.suppress(OSError):  # whoever started us may be gone
        sys.stdout.write(json.dumps({"ready": True, "pid": os.getpid(), "hosts": hosts}) + "\n")
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m releasemgr.demo.hosts", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--pid-file", type=Path, help="where to write “PID START” when the hosts listen")
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of each answer to a client that has left
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.config, arguments.pid_file))


if __name__ == "__main__":
    main()
