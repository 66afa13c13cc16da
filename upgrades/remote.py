"""Contact with hosts over SSH, by Fabric. Everything that can go wrong leaves here as a ContactError."""

import logging
import os
import re
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import fabric
import paramiko
from paramiko.pkey import UnknownKeyType

from instances.host_keys import key_bytes, type_of
from upgrades.contact import (
    Connect,
    Follower,
    Frame,
    FrameKind,
    FrameReader,
    Ground,
    HostAddress,
    Standing,
)
from upgrades.exceptions import (
    AlreadyBegun,
    ConnectionLost,
    HostKeyChanged,
    HostKeyUnknown,
    OtherSite,
    SignInRefused,
    SiteLocked,
    StartFailed,
    StopFailed,
    TooLate,
    Unreachable,
    VersionUnreadable,
)
from upgrades.recipes.commands import host_command, lines, value_lines
from upgrades.sockets import Deadline, cut, dial
from upgrades.ssh_keys import Lend

READ_SIZE = 65536
PIECE = 256 * 1024
"""What is sent at once: Paramiko slices a larger body again and again."""
MOST_PER_READ = 1024 * 1024
MOST_OF_AN_ANSWER = 64 * 1024
KEEPALIVE = 15
GRACE = 0.5
"""Seconds in which a command that has ended may still print, held open by a child of its own."""
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
ASKED = re.compile(rb"^send ([0-9]{1,18})\n\Z", re.MULTILINE)
REFUSALS = {"already-begun": AlreadyBegun, "locked": SiteLocked, "too-late": TooLate}
OTHER_SITE_STATUS = 78

# What it would log reaches the caller as an exception.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Limits:
    """Seconds (U7). They hold whatever the SSH library does: a watchdog cuts the socket."""

    connect: float = 10.0
    sign_in: float = 30.0
    answer: float = 60.0
    """For a command's answer, and for each piece of an artefact to be taken."""
    silence: float = 20.0
    """Of a follower, whose host beats every 5 seconds."""


def fabric_connect(lend: Lend, limits: Limits | None = None) -> Connect:
    """`lend` gives the key of an identity, for as long as the sign-in lasts: that one alone is offered."""

    def connect(address: HostAddress) -> FabricRemote:
        with lend(address.identity) as key:
            return FabricRemote(address, key, limits or Limits())

    return connect


def offered_host_key(address: HostAddress, timeout: float) -> str:
    """The key that the host offers, "type base64", without signing in: of the pinned one's type, if it has such.

    Raises Unreachable.
    """
    sock = dial(address.address, address.port, timeout)
    with Deadline(timeout, partial(cut, sock)) as deadline:
        try:
            transport = paramiko.Transport(sock)
            _ask_first_for(transport, type_of(address.host_key))
            transport.start_client(timeout=timeout)
            return _key_text(transport.get_remote_server_key())
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Unreachable(_no_ssh(address.address, address.port, deadline, error)) from error
        finally:
            cut(sock)
            sock.close()


def _ask_first_for(transport: paramiko.Transport, key_type: str) -> None:
    """A host with keys of several types is not to offer another one than was approved."""
    options = transport.get_security_options()
    wanted = [name for name in options.key_types if key_type == name or (key_type, name[:8]) == ("ssh-rsa", "rsa-sha2")]
    options.key_types = (*wanted, *(name for name in options.key_types if name not in wanted))


class FabricRemote:
    """One connection, to one host, for one thread; its followers may be read in that thread."""

    def __init__(self, address: HostAddress, key: paramiko.PKey, limits: Limits) -> None:
        self._limits = limits
        self._host = address.name
        pinned = _pinned_key(address, limits)
        self._sock = dial(address.address, address.port, limits.connect)
        self._connection = _connection(address, key, self._sock, limits)
        self._trust_only(address, pinned)
        self._sign_in(address)

    def read_version(self, values: Mapping[str, str], script: bytes, *, timeout: float) -> str:
        request = lines(max(1, round(timeout))) + value_lines(values) + b"\n" + script
        answer = self._ask("version", request, timeout + self._limits.answer)
        if answer.status == OTHER_SITE_STATUS:
            _refuse_other_site(answer.last_line)
        said = answer.out.strip()
        if answer.status or not said:
            raise VersionUnreadable(answer.printed or f"Nothing was printed, exit status {answer.status}.")
        return said

    def inspect(self, ground: Ground) -> Standing:
        answer = self._ask("inspect", lines(ground.site_path, ground.number), self._limits.answer)
        words = answer.last_line.split()
        if answer.status or len(words) != 4 or not all(word.isdecimal() for word in words):
            raise StartFailed(answer.printed)
        begun, running, ended, clock = map(int, words)
        return Standing(begun=bool(begun), running=bool(running), ended=bool(ended), clock=clock)

    def send_artifact(self, path: Path, sha256: str) -> str:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            with self._channel("receive", self._limits.answer) as (channel, deadline):
                _send(channel, lines(sha256, size), deadline)
                said = _read_until_asked(channel)
                asked = ASKED.search(said)
                if asked:
                    file.seek(int(asked[1]))
                    with suppress(_Refused):
                        for piece in iter(partial(file.read, PIECE), b""):
                            _send(channel, piece, deadline)
                answer = self._finish(channel, said)
        word, _, remote_path = answer.last_line.partition(" ")
        if answer.status or word != "have":
            raise StartFailed(answer.printed)
        return remote_path

    def start(self, ground: Ground, bundle: bytes, *, not_after: int) -> None:
        request = lines(ground.site_path, ground.number, not_after, len(bundle)) + bundle
        answer = self._ask("launch", request, self._limits.answer)
        _refuse_other_site(answer.last_line)
        if answer.last_line in REFUSALS:
            raise REFUSALS[answer.last_line](f"{self._host} answers: {answer.last_line}.")
        if answer.status or answer.last_line != "begun":
            raise StartFailed(answer.printed)

    def follow(self, ground: Ground, *, log_offset: int, events_offset: int) -> Follower:
        with self._within(self._limits.answer) as deadline:
            channel = self._open_channel("follow")
            _send(channel, lines(ground.site_path, ground.number, log_offset, events_offset), deadline)
            channel.shutdown_write()
        return FabricFollower(channel, self._host, self._limits.silence)

    def stop(self, ground: Ground) -> None:
        answer = self._ask("stop", lines(ground.site_path, ground.number), self._limits.answer)
        if answer.status or answer.last_line != "asked":
            raise StopFailed(answer.printed)

    def close(self) -> None:
        cut(self._sock)
        self._connection.close()
        self._sock.close()

    def _trust_only(self, address: HostAddress, pinned: paramiko.PKey) -> None:
        """U6. Fabric's own policy accepts every key."""
        name = address.address if address.port == 22 else f"[{address.address}]:{address.port}"
        client = self._connection.client
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        client.get_host_keys().add(name, pinned.get_name(), pinned)

    def _sign_in(self, address: HostAddress) -> None:
        with Deadline(self._limits.sign_in, partial(cut, self._sock)) as deadline:
            try:
                self._connection.open()
                self._connection.transport.set_keepalive(KEEPALIVE)
            except Exception as error:
                self.close()
                if isinstance(error, paramiko.BadHostKeyException):
                    raise HostKeyChanged(address.host_key, _key_text(error.key)) from error
                if isinstance(error, paramiko.AuthenticationException) and not _was_cut(deadline, error):
                    raise SignInRefused(f"{address.name} does not let {address.user} in: {error}") from error
                if isinstance(error, paramiko.SSHException | OSError | EOFError):
                    sentence = _no_ssh(address.address, address.port, deadline, error)
                    raise Unreachable(sentence) from error
                raise

    def _ask(self, script: str, request: bytes, seconds: float) -> "_Answer":
        with self._channel(script, seconds) as (channel, deadline):
            with suppress(_Refused):
                _send(channel, request, deadline)
            return self._finish(channel)

    @contextmanager
    def _channel(self, script: str, seconds: float) -> Iterator[tuple[paramiko.Channel, Deadline]]:
        with self._within(seconds) as deadline:
            channel = self._open_channel(script)
            try:
                yield channel, deadline
            finally:
                channel.close()

    def _open_channel(self, script: str) -> paramiko.Channel:
        channel: paramiko.Channel = self._connection.create_session()
        channel.exec_command(host_command(script))
        return channel

    @contextmanager
    def _within(self, seconds: float) -> Iterator[Deadline]:
        with Deadline(seconds, partial(cut, self._sock)) as deadline:
            try:
                yield deadline
            except (paramiko.SSHException, OSError, EOFError) as error:
                raise ConnectionLost(self._loss(deadline, str(error))) from error

    def _loss(self, deadline: Deadline, what: str) -> str:
        if deadline.passed:
            return f"{self._host} did not answer within {deadline.seconds:g} seconds."
        return f"The connection to {self._host} was lost: {what or 'it closed'}."

    def _finish(self, channel: paramiko.Channel, said: bytes = b"") -> "_Answer":
        with suppress(OSError):
            channel.shutdown_write()
        out, err = _collect(channel)
        status = channel.recv_exit_status()
        if status == -1 and not self._lives():
            raise EOFError
        return _Answer(status, _text(said + out), _text(err))

    def _lives(self) -> bool:
        """A dying connection closes its channels a moment before it says so itself."""
        self._connection.transport.join(GRACE)
        return bool(self._connection.is_connected)


class FabricFollower:
    def __init__(self, channel: paramiko.Channel, host: str, silence: float) -> None:
        self._channel = channel
        self._host = host
        self._silence = silence
        self._heard = time.monotonic()
        self._frames = FrameReader()
        self._over = False

    def fileno(self) -> int:
        return self._channel.fileno()

    def read(self) -> list[Frame]:
        if self._over:
            return []
        closed = bool(self._channel.eof_received) or self._channel.closed
        arrived = self._take()
        frames = self._frames.feed(arrived)
        self._over = any(frame.kind in (FrameKind.ENDED, FrameKind.GONE, FrameKind.VANISHED) for frame in frames)
        if not arrived:
            self._complain(closed)
        return frames

    def close(self) -> None:
        self._channel.close()

    def _take(self) -> bytes:
        """What arrived, at most one reading's share; the rest waits in the channel."""
        arrived = bytearray()
        while len(arrived) < MOST_PER_READ and self._channel.recv_ready():
            arrived += self._channel.recv(READ_SIZE)
        if arrived:
            self._heard = time.monotonic()
        while self._channel.recv_stderr_ready():
            self._channel.recv_stderr(READ_SIZE)
        return bytes(arrived)

    def _complain(self, closed: bool) -> None:
        if closed:
            raise ConnectionLost(f"The connection to {self._host} was lost while following an upgrade.")
        if time.monotonic() - self._heard > self._silence:
            raise ConnectionLost(f"{self._host} has been silent for {self._silence:g} seconds.")


@dataclass(frozen=True)
class _Answer:
    status: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """The answer itself: what an account's start-up files print comes before it."""
        return self.out.strip().rpartition("\n")[2]

    @property
    def printed(self) -> str:
        return "\n".join(text for text in (self.err.strip(), self.out.strip()) if text)


def _text(printed: bytes) -> str:
    """What is no text is shown as such; the database takes no NUL."""
    return printed.decode("utf-8", "replace").replace("\0", "\ufffd")


def _refuse_other_site(line: str) -> None:
    word, _, mark = line.partition(" ")
    if word == "other-site":
        raise OtherSite(mark)


class _Refused(Exception):
    """The command on the host has ended and takes no more; its answer says why."""


def _connection(address: HostAddress, key: paramiko.PKey, sock: socket.socket, limits: Limits) -> Any:
    """A configuration of its own: one that threads share fails now and then."""
    settings = {"load_ssh_configs": False, "authentication": {"strategy_class": partial(_OneKey, key)}}
    longer_than_ours = limits.sign_in + limits.answer
    return fabric.Connection(
        host=address.address,
        port=address.port,
        user=address.user,
        config=fabric.Config(lazy=True, overrides=settings),
        connect_kwargs={
            "sock": sock,
            "transport_factory": _transport,
            "banner_timeout": longer_than_ours,
            "auth_timeout": longer_than_ours,
            "channel_timeout": longer_than_ours,
        },
    )


class _OneKey:
    """Offers one key: no agent, no keys from the home directory, no password, no question at a terminal."""

    def __init__(self, key: paramiko.PKey, *, username: str, **_: object) -> None:
        self._key = key
        self._user = username

    def authenticate(self, transport: paramiko.Transport) -> None:
        more = transport.auth_publickey(self._user, self._key)
        if more:
            raise paramiko.AuthenticationException(f"it asks for more than a key ({', '.join(more)})")


def _transport(sock: socket.socket, **options: Any) -> paramiko.Transport:
    transport = paramiko.Transport(sock, **options)
    transport.get_security_options().ciphers = CIPHERS
    return transport


def _pinned_key(address: HostAddress, limits: Limits) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_type_string(address.host_key.split(" ")[0], key_bytes(address.host_key))
    except (ValueError, paramiko.SSHException, UnknownKeyType) as error:
        offered = offered_host_key(address, limits.connect)
        raise HostKeyUnknown(offered) from error


def _key_text(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.get_base64()}"


def _no_ssh(address: str, port: int, deadline: Deadline, error: Exception) -> str:
    if deadline.passed:
        return f"{address} is connected on port {port}, but did not answer within {deadline.seconds:g} seconds."
    return f"{address} broke off on port {port} before the sign-in was over: {error or 'it closed'}."


def _was_cut(deadline: Deadline, error: Exception) -> bool:
    """Paramiko calls a connection that breaks while signing in a refusal."""
    return deadline.passed or "transport shut down" in str(error)


def _send(channel: paramiko.Channel, data: bytes, deadline: Deadline) -> None:
    """Raises _Refused when the command has ended, OSError when the connection has."""
    for start in range(0, len(data), PIECE):
        deadline.extend()
        try:
            channel.sendall(data[start : start + PIECE])
        except OSError as error:
            transport = channel.get_transport()
            if transport is not None and transport.is_active():
                raise _Refused from error
            raise


def _read_until_asked(channel: paramiko.Channel) -> bytes:
    """Up to and with the line that says send or have; all there is when it ends before."""
    said = bytearray()
    while piece := channel.recv(1):
        said += piece
        if piece == b"\n" and bytes(said).splitlines()[-1].split(b" ")[0] in (b"send", b"have"):
            break
    return bytes(said)


def _collect(channel: paramiko.Channel) -> tuple[bytes, bytes]:
    """What a command prints, up to its end, from both streams; the beginning of each is kept."""
    out, err = bytearray(), bytearray()
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    while True:
        ended = channel.eof_received or channel.closed
        status_known = channel.exit_status_ready()
        arrived = _drain(channel.recv_ready, channel.recv, out)
        arrived += _drain(channel.recv_stderr_ready, channel.recv_stderr, err)
        if ended or (status_known and not arrived):
            return bytes(out), bytes(err)
        poll.poll(GRACE * 1000)


def _drain(ready: Callable[[], bool], receive: Callable[[int], bytes], into: bytearray) -> int:
    count = 0
    while ready():
        piece = receive(READ_SIZE)
        count += len(piece)
        into += piece[: max(0, MOST_OF_AN_ANSWER - len(into))]
    return count
