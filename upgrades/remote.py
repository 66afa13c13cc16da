"""Contact with hosts over SSH, by Fabric. Everything that can go wrong leaves here as a ContactError."""

import os
import re
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import paramiko

from upgrades.answers import refuse
from upgrades.contact import (
    Connect,
    Follower,
    Frame,
    FrameKind,
    FrameReader,
    Ground,
    HostAddress,
    Standing,
    Vouched,
    back_request,
)
from upgrades.exceptions import (
    ConnectionLost,
    StartFailed,
    StopFailed,
    VersionUnreadable,
)
from upgrades.links import Limits, Link
from upgrades.recipes.commands import host_command, lines, value_lines
from upgrades.sockets import Deadline, cut
from upgrades.ssh_keys import Lend

READ_SIZE = 65536
PIECE = 256 * 1024
"""What is sent at once: Paramiko slices a larger body again and again."""
MOST_PER_READ = 512 * 1024
MOST_OF_AN_ANSWER = 64 * 1024
GRACE = 0.5
"""Seconds in which a command that has ended may still print, held open by a child of its own."""
ASKED = re.compile(rb"^send ([0-9]{1,18})\n\Z", re.MULTILINE)
OTHER_SITE_STATUS = 78


def fabric_connect(lend: Lend, limits: Limits | None = None) -> Connect:
    """`lend` gives the key of an identity, for as long as the sign-in lasts: that one alone is offered."""

    def connect(address: HostAddress) -> FabricRemote:
        return FabricRemote(address, lend, limits or Limits())

    return connect


class FabricRemote:
    """One connection, to one host, for one thread; its followers may be read in that thread."""

    def __init__(self, address: HostAddress, lend: Lend, limits: Limits) -> None:
        self._limits = limits
        self._host = address.name
        self._link = Link(address, lend, limits)
        self.vouched: Sequence[Vouched] = self._link.vouched

    def read_version(self, values: Mapping[str, str], script: bytes, *, timeout: float) -> str:
        request = lines(max(1, round(timeout))) + value_lines(values) + b"\n" + script
        answer = self._ask("version", request, timeout + self._limits.answer)
        if answer.status == OTHER_SITE_STATUS:
            refuse(answer.last_line, self._host)
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
        refuse(answer.last_line, self._host)
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

    def go_back(self, ground: Ground, time: int, secrets: bytes | None = b"") -> None:
        answer = self._ask("back", back_request(ground, time, secrets), self._limits.answer)
        if answer.last_line in ("begun", "already-begun") and not answer.status:
            return
        refuse(answer.last_line, self._host)
        raise StartFailed(answer.printed)

    def cancel(self, ground: Ground) -> bool:
        answer = self._ask("cancel", lines(ground.site_path, ground.number), self._limits.answer)
        if answer.status or answer.last_line not in ("asked", "lingers"):
            raise StopFailed(answer.printed)
        return answer.last_line == "asked"

    def close(self) -> None:
        self._link.close()

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
        channel: paramiko.Channel = self._link.connection.create_session()
        channel.exec_command(host_command(script))
        return channel

    @contextmanager
    def _within(self, seconds: float) -> Iterator[Deadline]:
        with Deadline(seconds, partial(cut, self._link.sock)) as deadline:
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
        self._link.connection.transport.join(GRACE)
        return bool(self._link.connection.is_connected)


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


class _Refused(Exception):
    """The command on the host has ended and takes no more; its answer says why."""


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
