"""This machine as if it were a host, for recipes whose steps run here: the same scripts, without a connection."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from upgrades.answers import refuse
from upgrades.contact import Follower, Frame, FrameKind, FrameReader, Ground, Standing, Vouched, back_request
from upgrades.exceptions import (
    ConnectionLost,
    StartFailed,
    StopFailed,
    VersionUnreadable,
)
from upgrades.recipes.commands import host_script, lines, value_lines

ANSWER = 60.0  # seconds
SILENCE = 20.0  # seconds, of a follower that beats every 5
MOST_PER_READ = 512 * 1024
MACHINE = "The dashboard’s machine"
PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR")
"""Of our environment; the rest, such as the key of the database, is nobody else's."""


class LocalRemote:
    vouched: Sequence[Vouched] = ()

    def read_version(self, values: Mapping[str, str], script: bytes, *, timeout: float) -> str:
        request = lines(max(1, round(timeout))) + value_lines(values) + b"\n" + script
        answer = _ask("version", request, timeout)
        if answer.returncode or not answer.stdout.strip():
            raise VersionUnreadable(_printed(answer))
        return answer.stdout.decode("utf-8", "replace").strip()

    def inspect(self, ground: Ground) -> Standing:
        _make_ground(ground)
        answer = _ask("inspect", lines(ground.site_path, ground.number))
        words = answer.stdout.split()
        if answer.returncode or len(words) != 4:
            raise StartFailed(_printed(answer))
        begun, running, ended, clock = map(int, words)
        return Standing(begun=bool(begun), running=bool(running), ended=bool(ended), clock=clock)

    def send_artifact(self, path: Path, sha256: str) -> str:
        """It is here already."""
        return str(path)

    def start(self, ground: Ground, bundle: bytes, *, not_after: int) -> None:
        _make_ground(ground)
        answer = _ask("launch", lines(ground.site_path, ground.number, not_after, len(bundle)) + bundle)
        word = answer.stdout.decode("utf-8", "replace").strip()
        refuse(word, MACHINE)
        if answer.returncode or word != "begun":
            raise StartFailed(_printed(answer))

    def follow(self, ground: Ground, *, log_offset: int, events_offset: int) -> Follower:
        return LocalFollower(lines(ground.site_path, ground.number, log_offset, events_offset))

    def stop(self, ground: Ground) -> None:
        answer = _ask("stop", lines(ground.site_path, ground.number))
        if answer.returncode or answer.stdout.strip() != b"asked":
            raise StopFailed(_printed(answer))

    def go_back(self, ground: Ground, time: int, secrets: bytes | None = b"") -> None:
        answer = _ask("back", back_request(ground, time, secrets))
        word = answer.stdout.decode("utf-8", "replace").strip()
        if word in ("begun", "already-begun") and not answer.returncode:
            return
        refuse(word, MACHINE)
        raise StartFailed(_printed(answer))

    def cancel(self, ground: Ground) -> bool:
        answer = _ask("cancel", lines(ground.site_path, ground.number))
        if answer.returncode or answer.stdout.strip() not in (b"asked", b"lingers"):
            raise StopFailed(_printed(answer))
        return answer.stdout.strip() == b"asked"

    def close(self) -> None:
        """Nothing is open but followers, which are closed by whom they were given to."""


class LocalFollower:
    def __init__(self, request: bytes) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            _command("follow"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=_environment(),
        )  # fmt: skip
        assert self._process.stdin and self._process.stdout  # noqa: S101, PT018 - asked for above
        with suppress(BrokenPipeError):  # it is over already, which reading tells
            self._process.stdin.write(request)
            self._process.stdin.close()
        self._stream = self._process.stdout
        os.set_blocking(self._stream.fileno(), False)
        self._frames = FrameReader()
        self._heard = time.monotonic()
        self._over = False

    def fileno(self) -> int:
        return self._stream.fileno()

    def read(self) -> list[Frame]:
        if self._over:
            return []
        arrived: bytes | None = None
        with suppress(BlockingIOError):
            arrived = os.read(self.fileno(), MOST_PER_READ)
        frames = self._frames.feed(arrived or b"")
        self._over = any(frame.kind in (FrameKind.ENDED, FrameKind.GONE, FrameKind.VANISHED) for frame in frames)
        if arrived:
            self._heard = time.monotonic()
        elif arrived == b"":
            raise ConnectionLost("What follows an upgrade on the dashboard’s machine ended before it.")
        elif time.monotonic() - self._heard > SILENCE:
            raise ConnectionLost(f"The dashboard’s machine has been silent for {SILENCE:g} seconds.")
        return frames

    def close(self) -> None:
        """It ends by itself, too: the next thing that it says cannot be written."""
        self._stream.close()
        self._process.kill()
        self._process.wait()


def _make_ground(ground: Ground) -> None:
    Path(ground.site_path).mkdir(mode=0o700, parents=True, exist_ok=True)


def _ask(script: str, request: bytes, more: float = 0) -> "subprocess.CompletedProcess[bytes]":
    """`more` seconds than it takes to answer at all."""
    command, seconds = _command(script), ANSWER + more
    try:
        return subprocess.run(  # noqa: S603 - our own script
            command, input=request, capture_output=True, check=False, timeout=seconds, env=_environment()
        )
    except subprocess.TimeoutExpired:
        raise ConnectionLost(f"The dashboard’s machine did not answer within {seconds:g} seconds.") from None


def _command(script: str) -> list[str]:
    return ["sh", "-c", host_script(script).decode()]


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def _printed(answer: "subprocess.CompletedProcess[bytes]") -> str:
    printed = (answer.stderr + answer.stdout).decode("utf-8", "replace").replace("\0", "\ufffd").strip()
    return printed or f"Nothing was printed, exit status {answer.returncode}."
