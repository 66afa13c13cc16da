"""The dashboard's machine as a host: the same scripts, run here by a real shell."""

import os
import select
from pathlib import Path

import pytest

from tests.upgrades.sites import FAR_AHEAD, wait_until
from upgrades.contact import Follower, Frame, FrameKind, Ground, Standing
from upgrades.exceptions import (
    AlreadyBegun,
    ConnectionLost,
    SiteLocked,
    StartFailed,
    StopFailed,
    TooLate,
    VersionUnreadable,
)
from upgrades.local_remote import LocalRemote
from upgrades.recipes.bundle import build_bundle
from upgrades.recipes.recipe import Phase, Recipe, Step

pytestmark = pytest.mark.shell

WAITS = "n=0; while [ ! -e go ] && [ $((n += 1)) -lt 400 ]; do sleep 0.05; done; "


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """A folder that is not there yet."""
    return Ground(str(tmp_path / "var" / "acme live"), 1)


def bundle(*lines_of_steps: str) -> bytes:
    names = ["work", "more"][: len(lines_of_steps)]
    steps = tuple(Step(name, name, Phase.CHANGE, f"{name}.command", 30) for name in names)
    scripts = {f"{name}.command": line.encode() for name, line in zip(names, lines_of_steps, strict=True)}
    scripts["version"] = b"cat version 2>/dev/null || echo 1.0\n"
    values = {"FROM_VERSION": "1.0", "TO_VERSION": "1.1", "HEALTH_TIMEOUT": "0"}
    return build_bundle(Recipe("own", "Own", "version", steps, (), scripts), values)


def heard(follower: Follower) -> list[Frame]:
    """All frames up to the end."""
    frames: list[Frame] = []
    while not frames or frames[-1].kind not in (FrameKind.ENDED, FrameKind.GONE, FrameKind.VANISHED):
        select.select([follower.fileno()], [], [], 5)
        frames += follower.read()
    assert follower.read() == []
    follower.close()
    return frames


def test_an_upgrade_runs_here_and_is_followed(ground: Ground) -> None:
    here = LocalRemote()
    before = here.inspect(ground)
    assert before == Standing(False, False, False, before.clock)
    here.start(ground, bundle("echo 1.1 >version; echo done; env"), not_after=FAR_AHEAD)
    frames = heard(here.follow(ground, log_offset=0, events_offset=0))
    log = b"".join(frame.data for frame in frames if frame.kind is FrameKind.LOG)
    assert log.startswith(b"$ work\ndone\n")
    assert b"DJANGO_SETTINGS_MODULE" not in log
    assert frames[-1] == Frame(FrameKind.ENDED, 0, b"completed\n")
    assert Path(ground.site_path).stat().st_mode & 0o777 == 0o700
    wait_until(lambda: not here.inspect(ground).running)
    assert here.inspect(ground).ended


def test_a_follower_goes_on_where_another_left(ground: Ground) -> None:
    """U3."""
    here = LocalRemote()
    here.start(ground, bundle(f"echo one; {WAITS} echo two; echo 1.1 >version"), not_after=FAR_AHEAD)
    first = here.follow(ground, log_offset=0, events_offset=0)
    said = b""
    while b"one\n" not in said:
        select.select([first.fileno()], [], [], 5)
        said += b"".join(frame.data for frame in first.read() if frame.kind is FrameKind.LOG)
    first.close()
    (Path(ground.site_path) / "go").touch()
    frames = heard(here.follow(ground, log_offset=len(said), events_offset=0))
    assert b"".join(frame.data for frame in frames if frame.kind is FrameKind.LOG) == b"two\n"


def test_an_upgrade_begins_once_alone_and_in_time(ground: Ground) -> None:
    """U1."""
    here, other = LocalRemote(), Ground(ground.site_path, 2)
    here.start(ground, bundle(WAITS), not_after=FAR_AHEAD)
    with pytest.raises(AlreadyBegun):
        here.start(ground, bundle("true"), not_after=FAR_AHEAD)
    with pytest.raises(SiteLocked):
        here.start(other, bundle("true"), not_after=FAR_AHEAD)
    here.stop(ground)
    (Path(ground.site_path) / "go").touch()
    wait_until(lambda: not here.inspect(ground).running)
    with pytest.raises(TooLate):
        here.start(other, bundle("true"), not_after=1)
    with pytest.raises(StartFailed, match="The bundle did not arrive whole"):
        here.start(other, b"no archive", not_after=FAR_AHEAD)
    with pytest.raises(StopFailed):
        here.stop(other)


def test_an_upgrade_is_stopped_before_its_next_step(ground: Ground) -> None:
    """R9."""
    here = LocalRemote()
    here.start(ground, bundle(f"touch begun; {WAITS}", "echo 1.1 >version"), not_after=FAR_AHEAD)
    wait_until((Path(ground.site_path) / "begun").exists)
    here.stop(ground)
    (Path(ground.site_path) / "go").touch()
    assert heard(here.follow(ground, log_offset=0, events_offset=0))[-1].data == b"stopped change more\n"
    assert not (Path(ground.site_path) / "version").exists()


def test_what_is_nowhere_has_vanished(ground: Ground) -> None:
    assert heard(LocalRemote().follow(ground, log_offset=0, events_offset=0)) == [Frame(FrameKind.VANISHED, 0, b"")]


def test_a_follower_that_died_is_a_lost_connection(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    here = LocalRemote()
    monkeypatch.setattr("upgrades.local_remote.host_script", lambda _name: b"exit 1")
    follower = here.follow(ground, log_offset=0, events_offset=0)
    select.select([follower.fileno()], [], [], 5)
    with pytest.raises(ConnectionLost, match="ended before it"):
        follower.read()
    follower.close()


def test_a_command_without_an_answer_is_a_lost_connection(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """U7."""
    monkeypatch.setattr("upgrades.local_remote.host_script", lambda _name: b"sleep 30")
    monkeypatch.setattr("upgrades.local_remote.ANSWER", 0.2)
    with pytest.raises(ConnectionLost, match=r"did not answer within 0\.2 seconds"):
        LocalRemote().read_version({}, b"", timeout=0)


def test_a_version_is_read_and_an_artefact_is_here_already(tmp_path: Path) -> None:
    here = LocalRemote()
    assert here.read_version({"A": "1.0"}, b'echo " $A "', timeout=5) == "1.0"
    assert here.send_artifact(tmp_path, "") == os.fspath(tmp_path)
    with pytest.raises(VersionUnreadable, match="no such thing"):
        here.read_version({}, b"echo no such thing >&2; exit 2", timeout=5)
    here.close()
