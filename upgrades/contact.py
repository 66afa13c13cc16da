"""The words in which the supervisor and a host speak, whoever carries them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from upgrades.recipes.commands import lines


@dataclass(frozen=True)
class HostAddress:
    name: str
    address: str
    port: int
    user: str
    host_key: str
    """The pinned key as OpenSSH writes it, "type base64"; empty while none is approved."""
    identity: str = ""
    """The name of the key to sign in with; empty for the default one."""
    via: "HostAddress | None" = None
    """Its jump host."""
    max_connections: int = 10
    """How many hosts may be reached over it at once."""
    authorities: tuple[str, ...] = ()
    """The keys of those who may vouch for its key."""

    @property
    def hops(self) -> "list[HostAddress]":
        """Its jump hosts, the nearest first."""
        return [self.via, *self.via.hops] if self.via else []


@dataclass(frozen=True)
class Vouched:
    """A key that a host on the way showed with a certificate that is valid now, and the key of who signed it."""

    host: str
    key: str
    authority: str


@dataclass(frozen=True)
class Ground:
    """Where upgrade `number` of one site takes place."""

    site_path: str
    number: int


@dataclass(frozen=True)
class Standing:
    begun: bool
    running: bool
    """The runner, or a step that outlived it, holds the upgrade's lock."""
    ended: bool
    """The result stands; read running first: a runner writes its result before it lets go."""
    clock: int
    """The host's clock, in epoch seconds."""


class FrameKind(StrEnum):
    LOG = "log"
    EVENTS = "events"
    ENDED = "ended"
    GONE = "gone"
    VANISHED = "vanished"
    BEAT = "beat"


@dataclass(frozen=True)
class Frame:
    kind: FrameKind
    offset: int
    """Where the data begin in the host's file; 0 for kinds without one."""
    data: bytes
    """Of `ended`, the text of the result; of `gone`, `vanished` and `beat`, nothing."""


class FrameReader:
    """Frames from the stream that a host sends: a line of kind, offset and size, then so many bytes.

    Nothing longer than our own scripts send is waited for.
    """

    HEAD = re.compile(rb"([LEBDGV]) ([0-9]{1,18}) ([0-9]{1,9})")
    KINDS = {
        b"L": FrameKind.LOG,
        b"E": FrameKind.EVENTS,
        b"B": FrameKind.BEAT,
        b"D": FrameKind.ENDED,
        b"G": FrameKind.GONE,
        b"V": FrameKind.VANISHED,
    }

    LONGEST = 1024 * 1024

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Whole frames. A line that heads none is skipped: an account's start-up files may print."""
        self._rest += data
        frames, at = [], 0
        while (line_end := self._rest.find(b"\n", at)) >= 0:
            head = self.HEAD.fullmatch(self._rest, at, line_end)
            if head and int(head[3]) > self.LONGEST:
                head = None
            end = line_end + 1 + (int(head[3]) if head else 0)
            if end > len(self._rest):
                break
            if head:
                body = bytes(self._rest[line_end + 1 : end])
                frames.append(Frame(self.KINDS[bytes(head[1])], int(head[2]), body))
            at = end
        del self._rest[:at]
        if line_end < 0 and len(self._rest) > self.LONGEST:
            self._rest.clear()
        return frames


class Follower(Protocol):
    def fileno(self) -> int: ...

    def read(self) -> list[Frame]:
        """What has arrived; never blocks. Call it every few seconds also without data: it notices silence.

        Raises ConnectionLost, never before everything that arrived has been handed out.
        """
        ...

    def close(self) -> None: ...


class Remote(Protocol):
    """One connection to one host. Every method raises ConnectionLost when the link breaks."""

    vouched: Sequence[Vouched]

    def read_version(self, values: Mapping[str, str], script: bytes, *, timeout: float) -> str:
        """What the site answers, stripped and otherwise raw. Raises VersionUnreadable or OtherSite."""
        ...

    def inspect(self, ground: Ground) -> Standing: ...

    def send_artifact(self, path: Path, sha256: str) -> str:
        """The artefact's path on the host; sends what is missing there, nothing when it lies there whole."""
        ...

    def start(self, ground: Ground, bundle: bytes, *, not_after: int) -> None:
        """Returns once the runner has begun. Raises AlreadyBegun, SiteLocked, TooLate, OtherSite, StartFailed."""
        ...

    def follow(self, ground: Ground, *, log_offset: int, events_offset: int) -> Follower: ...

    def stop(self, ground: Ground) -> None:
        """Asks a begun upgrade to stop before its point of no return (R9). May come twice. Raises StopFailed."""
        ...

    def go_back(self, ground: Ground, time: int, secrets: bytes | None = b"") -> None:
        """Has its way back run once more; each time begins once, and coming twice does nothing (U2).

        With an archive of its secrets; with None it does not begin, but may have begun before. Raises SiteLocked,
        StartFailed.
        """
        ...

    def cancel(self, ground: Ground) -> bool:
        """Has a begun upgrade end as soon as that is safe (U4). May come again and again. Raises StopFailed.

        False where a step that outlived its runner could not be ended.
        """
        ...

    def close(self) -> None: ...


Connect = Callable[[HostAddress], Remote]


def back_request(ground: Ground, time: int, secrets: bytes | None) -> bytes:
    """What the host reads that is to go back; without secrets it only tells whether it has begun."""
    size = "-" if secrets is None else len(secrets)
    return lines(ground.site_path, ground.number, time, size) + (secrets or b"")
