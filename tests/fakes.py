"""A host without a network: it speaks as a real one does, at our own seam (upgrades.contact)."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from upgrades.contact import Follower, Frame, FrameKind, Ground, HostAddress, Standing, Vouched
from upgrades.exceptions import (
    AlreadyBegun,
    ConnectionLost,
    ContactError,
    OtherSite,
    StartFailed,
    VersionUnreadable,
)

STAMP = 1_795_435_200  # epoch seconds


@dataclass
class FakeRun:
    """One upgrade on the host: what its runner has written so far."""

    log: bytes = b""
    events: bytes = b""
    result: str | None = None
    gone: bool = False

    def step(self, phase: str, position: int, name: str, said: str, status: int = 0) -> None:
        self.start(phase, position, name)
        self.log += said.encode()
        self.finish(phase, position, name, status)

    def start(self, phase: str, position: int, name: str) -> None:
        self.tell(f"start {phase} {position} {name} {len(self.log)}")

    def finish(self, phase: str, position: int, name: str, status: int = 0) -> None:
        self.tell(f"end {phase} {position} {name} {status} {len(self.log)}")

    def tell(self, event: str) -> None:
        self.events += f"{STAMP}.5 {event}\n".encode()


@dataclass
class FakeHost:
    """`versions` by site path, and `marks` where its directory has one.

    `script` says what a runner does once it began; by default it succeeds at once. `refusal` comes instead of a
    connection, `start_refusal` instead of a begin, `lost_answer` after it, `stop_refusal` instead of the answer to a
    stop. `sending` happens while an artefact is sent.
    """

    versions: dict[str, str] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    script: "Callable[[FakeHost, str, FakeRun, Mapping[str, str]], None] | None" = None
    refusal: Exception | None = None
    start_refusal: ContactError | None = None
    lost_answer: ContactError | None = None
    stop_refusal: ContactError | None = None
    sending: "Callable[[], None] | None" = None
    runs: dict[int, FakeRun] = field(default_factory=dict)
    begun: list[int] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    lingers: bool = False
    sent_back: list[tuple[int, int]] = field(default_factory=list)
    secrets_sent: list[bytes] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    connections: int = 0
    links: "list[FakeRemote]" = field(default_factory=list)

    def connect(self, address: HostAddress) -> "FakeRemote":
        self.connections += 1
        if self.refusal:
            raise self.refusal
        link = FakeRemote(self)
        self.links.append(link)
        return link

    def check_mark(self, values: Mapping[str, str]) -> None:
        found = self.marks.setdefault(values["SITE_PATH"], values["SITE_MARK"])
        if found not in (values["SITE_MARK"], values["SITE_MARK_OVER"]):
            raise OtherSite(found)
        self.marks[values["SITE_PATH"]] = values["SITE_MARK"]

    def cut(self) -> None:
        """Every link breaks; what runs on the host runs on."""
        for link in self.links:
            link.broken = True


class FakeRemote:
    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.vouched: Sequence[Vouched] = ()
        self.broken = False

    def _answer(self) -> None:
        if self.broken:
            raise ConnectionLost("The link is gone.")

    def read_version(self, values: Mapping[str, str], script: bytes, *, timeout: float) -> str:
        self._answer()
        self.host.check_mark(values)
        try:
            return self.host.versions[values["SITE_PATH"]]
        except KeyError:
            raise VersionUnreadable("cat: current/VERSION: No such file or directory") from None

    def inspect(self, ground: Ground) -> Standing:
        self._answer()
        run = self.host.runs.get(ground.number)
        running = run is not None and run.result is None and not run.gone
        return Standing(begun=run is not None, running=running, ended=bool(run and run.result), clock=STAMP)

    def send_artifact(self, path: Path, sha256: str) -> str:
        self._answer()
        self.host.artifacts.append(sha256)
        if self.host.sending:
            self.host.sending()
        return f"/home/deploy/.releasemgr/artifacts/{sha256}"

    def start(self, ground: Ground, bundle: bytes, *, not_after: int) -> None:
        self._answer()
        if ground.number in self.host.runs:
            raise AlreadyBegun(f"Upgrade {ground.number} has begun.")
        self.host.check_mark(read_values(bundle))
        if self.host.start_refusal:
            raise self.host.start_refusal
        self.host.begun.append(ground.number)
        run = self.host.runs[ground.number] = FakeRun()
        (self.host.script or succeed)(self.host, ground.site_path, run, read_values(bundle))
        if self.host.lost_answer:
            raise self.host.lost_answer

    def follow(self, ground: Ground, *, log_offset: int, events_offset: int) -> Follower:
        self._answer()
        return FakeFollower(self, self.host.runs.get(ground.number), log_offset, events_offset)

    def stop(self, ground: Ground) -> None:
        self._answer()
        self.host.stopped.append(ground.number)
        if self.host.stop_refusal:
            raise self.host.stop_refusal

    def go_back(self, ground: Ground, time: int, secrets: bytes | None = b"") -> None:
        self._answer()
        if secrets is None and (ground.number, time) not in self.host.sent_back:
            raise StartFailed("no-secrets")
        if self.host.start_refusal:
            raise self.host.start_refusal
        if (ground.number, time) in self.host.sent_back:
            return
        self.host.sent_back.append((ground.number, time))
        self.host.secrets_sent.append(secrets or b"")
        run = self.host.runs[ground.number]
        run.result = None
        (self.host.script or go_back)(self.host, ground.site_path, run, {})

    def cancel(self, ground: Ground) -> bool:
        self._answer()
        self.host.cancelled.append(ground.number)
        return not self.host.lingers

    def close(self) -> None:
        self.broken = True


class FakeFollower:
    def __init__(self, link: FakeRemote, run: FakeRun | None, log_offset: int, events_offset: int) -> None:
        self.link, self.run = link, run
        self.at = {FrameKind.LOG: log_offset, FrameKind.EVENTS: events_offset}
        self.reader, self.writer = os.pipe()

    def fileno(self) -> int:
        return self.reader

    def read(self) -> list[Frame]:
        if self.link.broken:
            raise ConnectionLost("The link is gone.")
        if self.run is None:
            return [Frame(FrameKind.VANISHED, 0, b"")]
        frames = [*self._news(FrameKind.LOG, self.run.log), *self._news(FrameKind.EVENTS, self.run.events)]
        if self.run.result is not None:
            frames.append(Frame(FrameKind.ENDED, 0, self.run.result.encode()))
        elif self.run.gone:
            frames.append(Frame(FrameKind.GONE, 0, b""))
        return frames

    def _news(self, kind: FrameKind, data: bytes) -> list[Frame]:
        offset, self.at[kind] = self.at[kind], len(data)
        return [Frame(kind, offset, data[offset:])] if data[offset:] else []

    def close(self) -> None:
        for descriptor in (self.reader, self.writer):
            os.close(descriptor)


def read_values(bundle: bytes) -> dict[str, str]:
    """The environment that a bundle carries."""
    import io
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        member = archive.extractfile("env")
        assert member is not None
        return dict(line.split("=", 1) for line in member.read().decode().splitlines())


def begin(run: FakeRun, values: Mapping[str, str]) -> None:
    run.tell(f"upgrade {values['UPGRADE']} {values['FROM_VERSION']} {values['TO_VERSION']} -")
    run.tell(f"version before {values['FROM_VERSION']}")


def succeed(host: FakeHost, path: str, run: FakeRun, values: Mapping[str, str]) -> None:
    """Every step passes and the site reports the new version."""
    begin(run, values)
    run.step("check", 1, "check", "$ check\nThe site is fine.\n")
    run.step("change", 5, "migrate", "$ migrate\nApplying 0147... OK\n")
    complete(host, path, run, values)


def complete(host: FakeHost, path: str, run: FakeRun, values: Mapping[str, str]) -> None:
    host.versions[path] = values["TO_VERSION"]
    run.tell(f"version after {values['TO_VERSION']}")
    run.result = "completed\n"


def roll_back(host: FakeHost, path: str, run: FakeRun, values: Mapping[str, str]) -> None:
    """The health check fails and the way back brings the old version back."""
    begin(run, values)
    run.step("check", 1, "check", "$ check\nThe site is fine.\n")
    run.step("change", 6, "switch", "$ switch\n")
    run.step("verify", 8, "health", "$ health\nwaiting\nIntegrityError: no tax code\n", status=1)
    run.tell("way-back-begins")
    run.step("back", 1, "switch-back", "$ switch-back\n")
    run.tell(f"version after {values['FROM_VERSION']}")
    run.result = "failed verify health\n"


def stop(host: FakeHost, path: str, run: FakeRun, values: Mapping[str, str]) -> None:
    """What a runner writes that was asked to stop while it migrated."""
    run.finish("change", 5, "migrate")
    run.tell("stopped change 6 switch")
    run.tell("way-back-begins")
    run.step("back", 2, "undo-migrate", "$ undo-migrate\n")
    run.tell(f"version after {host.versions[path]}")
    run.result = "stopped change switch\n"


def go_back(host: FakeHost, path: str, run: FakeRun, values: Mapping[str, str]) -> None:
    """A way back that a person asked for, and that works."""
    run.tell("way-back-begins")
    run.step("back", 1, "switch-back", "$ switch-back\ncurrent points to releases/1.0\n")
    host.versions[path] = "1.0"
    run.tell("version after 1.0")
    run.result = "went-back\n"


def hang(host: FakeHost, path: str, run: FakeRun, values: Mapping[str, str]) -> None:
    """A migration that goes on until the test says otherwise."""
    begin(run, values)
    run.step("check", 1, "check", "$ check\nThe site is fine.\n")
    run.start("change", 5, "migrate")
    run.log += b"$ migrate\nApplying 0147...\n"
