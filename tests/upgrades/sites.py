"""A site of the symlink kind in a temporary folder, and the host's scripts run on it by a local shell."""

import hashlib
import io
import os
import re
import subprocess
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from upgrades.recipes.bundle import build_bundle
from upgrades.recipes.commands import host_command, lines
from upgrades.recipes.journal import Event, Journal, StepEnded, StepStarted
from upgrades.recipes.reading import load_recipe
from upgrades.recipes.recipe import Recipe
from upgrades.recipes.verdict import Remains, Verdict, judge

FRAME = re.compile(rb"([LEBDGV]) (\d+) (\d+)\n")
FAR_AHEAD = 4102444800
WAIT_FOR_GO = "n=0; while [ ! -e go ] && [ $((n += 1)) -lt 1200 ]; do sleep 0.05; done"


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "the condition did not come true in time"
        time.sleep(0.02)


def make_artifact(folder: Path, version: str, payload: bytes = b"") -> Path:
    path = folder / f"app-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, data in {"VERSION": f"{version}\n".encode(), "app/main.txt": payload or b"code\n"}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(data))
    return path


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass
class Site:
    """It runs 1.0 and has 0.9 beside it."""

    path: Path
    shell: str = "sh"
    account: str = ""
    """Runs the host's scripts; empty for the one that tests."""
    patience: float = 60.0
    """Seconds until an upgrade has to have ended."""
    values: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for version in ("0.9", "1.0"):
            (self.path / "releases" / version).mkdir(parents=True)
            (self.path / "releases" / version / "VERSION").write_text(f"{version}\n")
        (self.path / "current").symlink_to("releases/1.0")
        self.set_artifact(make_artifact(self.path.parent, "1.1"))
        self.values |= {
            "SITE": "Acme live",
            "HOST": "web-1",
            "SITE_PATH": str(self.path),
            "FROM_VERSION": "1.0",
            "TO_VERSION": "1.1",
            "HEALTH_TIMEOUT": "0",
            "KEEP_RELEASES": "5",
            "MIN_FREE_MB": "1",
        }

    def set_artifact(self, path: Path) -> None:
        self.values |= {"ARTIFACT": str(path), "ARTIFACT_SHA256": sha256_of(path)}

    @property
    def work(self) -> Path:
        return self.path / ".releasemgr"

    def upgrade(self, number: int) -> Path:
        return self.work / "upgrades" / str(number)

    def let_go(self) -> None:
        """Ends every command that waits for a file `go`, also after a test that failed."""
        for folder in (self.path, *(self.path / "releases").iterdir()):
            (folder / "go").touch()

    def current(self) -> str:
        return os.readlink(self.path / "current")

    def releases(self) -> set[str]:
        return {entry.name for entry in (self.path / "releases").iterdir()}

    def log(self, number: int = 1) -> str:
        return (self.upgrade(number) / "log").read_text()

    def result(self, number: int = 1) -> str | None:
        path = self.upgrade(number) / "result"
        return path.read_text() if path.exists() else None

    def events(self, number: int = 1) -> list[Event]:
        return Journal().feed((self.upgrade(number) / "events").read_bytes())

    def steps(self, number: int = 1) -> dict[str, int]:
        return {event.step: event.status for event in self.events(number) if isinstance(event, StepEnded)}

    def begun_steps(self, number: int = 1) -> list[str]:
        return [event.step for event in self.events(number) if isinstance(event, StepStarted)]

    def verdict(self, number: int = 1) -> Verdict:
        return judge(self.events(number), self.result(number) or self._remains())

    def _remains(self) -> Remains:
        return Remains(self.values["FROM_VERSION"], (self.path / "current" / "VERSION").read_text())

    def launch(
        self, number: int = 1, *, recipe: Recipe | None = None, not_after: int = FAR_AHEAD
    ) -> "subprocess.CompletedProcess[bytes]":
        bundle = build_bundle(recipe or load_recipe("symlink"), self.values)
        return self.run("launch", lines(str(self.path), number, not_after, len(bundle)) + bundle)

    def run(self, name: str, request: bytes) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [*self._as_account(), self.shell, "-c", host_command(name)],
            input=request,
            capture_output=True,
            timeout=60,
            check=False,
            env=self.environment(),
        )

    def _as_account(self) -> list[str]:
        become = ["setpriv", f"--reuid={self.account}", "--regid=nogroup", "--clear-groups"]
        return become if self.account else []

    def environment(self) -> dict[str, str]:
        """With the shell under test as `sh`."""
        bin_folder = self.path.parent / "bin"
        bin_folder.mkdir(exist_ok=True)
        link = bin_folder / "sh"
        if not link.exists():
            link.symlink_to(f"/bin/{self.shell}")
        return {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "HOME": str(self.path.parent)}

    def inspect(self, number: int = 1) -> list[int]:
        """Begun, running, ended; without the clock."""
        answer = self.run("inspect", lines(str(self.path), number))
        return [int(word) for word in answer.stdout.split()][:3]

    def run_upgrade(self, number: int = 1, *, recipe: Recipe | None = None) -> Verdict:
        answer = self.launch(number, recipe=recipe)
        assert answer.stdout == b"begun\n", answer
        self.wait_for_end(number)
        return self.verdict(number)

    def wait_for_end(self, number: int = 1) -> None:
        wait_until(lambda: self.result(number) is not None, self.patience)
        wait_until(lambda: not self.inspect(number)[1])

    def follow(self, number: int = 1, log_offset: int = 0, events_offset: int = 0) -> list[tuple[str, int, bytes]]:
        answer = self.run("follow", lines(str(self.path), number, log_offset, events_offset))
        return read_frames(answer.stdout)


def read_frames(stream: bytes) -> list[tuple[str, int, bytes]]:
    frames, at = [], 0
    while at < len(stream):
        head = FRAME.match(stream, at)
        assert head, stream[at : at + 80]
        end = head.end() + int(head[3])
        frames.append((head[1].decode(), int(head[2]), stream[head.end() : end]))
        at = end
    return frames
