"""Supervision of real small processes. Each writes what happens to it into one file."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from releasemgr.lib import process_supervision, sessions
from releasemgr.lib.process_supervision import Child, Program, Supervision, end_leftovers
from releasemgr.management.commands.serve import only_one

pytestmark = pytest.mark.shell

BASE = Path(__file__).parent.parent.parent
TELLER = """
import os, signal, sys, time
def tell(what):
    with open(sys.argv[1], "a") as file:
        file.write(f"{sys.argv[2]} {what} {os.getpid()}\\n")
"""
OBEDIENT = (
    TELLER
    + """
def end(number, frame):
    tell("asked")
    sys.exit()
signal.signal(signal.SIGTERM, end)
tell("up")
while True: time.sleep(60)
"""
)
STUBBORN = (
    TELLER
    + """
signal.signal(signal.SIGTERM, lambda number, frame: tell("asked"))
tell("up")
while True: time.sleep(60)
"""
)
WITH_A_WORKER = (
    TELLER
    + """
if os.fork() == 0:
    signal.signal(signal.SIGTERM, lambda number, frame: tell("asked-worker"))
    tell("worker")
    while True: time.sleep(60)
def end(number, frame):
    tell("asked")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
tell("up")
while True: time.sleep(60)
"""
)
ENDS_AT_ONCE = (
    TELLER
    + """
tell("up")
sys.exit(3)
"""
)
NewChild = Callable[..., Child]


class Diary:
    """What the processes wrote, as lines of name, event and process id."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def events(self) -> list[str]:
        text = self.path.read_text() if self.path.exists() else ""
        return [line.rpartition(" ")[0] for line in text.splitlines()]

    def pid_of(self, event: str) -> int:
        """The latest process that wrote this."""
        lines = [line.rpartition(" ") for line in self.path.read_text().splitlines()]
        return [int(pid) for said, _, pid in lines if said == event][-1]

    def wait_for(self, event: str, times: int = 1) -> int:
        wait_until(lambda: self.events().count(event) >= times)
        return self.pid_of(event)


def wait_until(condition: Callable[[], bool], within: float = 45.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path / "diary")


@pytest.fixture
def new_child(diary: Diary) -> Iterator[NewChild]:
    made: list[Child] = []

    def make(script: str, name: str = "it", patience: float = 10.0) -> Child:
        command = [sys.executable, "-c", script, str(diary.path), name]
        made.append(Child(Program(name, command, patience=patience)))
        return made[-1]

    yield make
    for child in made:
        child.end_now()


def test_what_dies_is_started_again_and_the_log_says_so(
    new_child: NewChild, diary: Diary, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process_supervision, "FIRST_PAUSE", 0.01)
    child = new_child(OBEDIENT)
    child.look_after()
    first = diary.wait_for("it up")

    os.kill(first, signal.SIGKILL)
    wait_until(child.look_after)

    assert diary.wait_for("it up", times=2) != first
    assert "Ended by itself: it, with status -9" in caplog.text


def test_the_pause_grows_while_it_keeps_dying_and_an_orderly_end_counts_too(
    new_child: NewChild, diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_supervision, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(process_supervision, "LONGEST_PAUSE", 0.03)
    child = new_child(ENDS_AT_ONCE)
    pauses = []
    for _ in range(4):
        pauses.append(child.pause)
        wait_until(child.look_after)
    assert pauses == [0.01, 0.01, 0.02, 0.03]
    assert diary.wait_for("it up", times=4)


def test_one_that_ran_well_starts_again_after_the_first_pause(
    new_child: NewChild, diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_supervision, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(process_supervision, "SETTLED", 0.0)
    child = new_child(ENDS_AT_ONCE)
    child.pause = 60.0
    child.look_after()
    wait_until(child.look_after)
    assert diary.wait_for("it up", times=2)


def test_one_that_is_not_well_is_replaced_at_once(
    new_child: NewChild, diary: Diary, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process_supervision, "CHECK_EVERY", 0.05)
    child = new_child(STUBBORN)
    asked: list[float] = []

    def is_well(running_for: float) -> bool:
        asked.append(running_for)
        return len(asked) != 2

    child.program = replace(child.program, is_well=is_well)
    child.look_after()
    first = diary.wait_for("it up")

    wait_until(child.look_after)

    assert len(asked) == 2
    assert 0.05 < asked[0] < asked[1]
    assert diary.wait_for("it up", times=2) != first
    assert sessions.find(first) is None
    assert "Not well, so killed and started again: it." in caplog.text


def test_before_it_starts_again_what_the_dead_one_left_behind_is_killed(
    new_child: NewChild, diary: Diary, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process_supervision, "FIRST_PAUSE", 0.01)
    child = new_child(WITH_A_WORKER)
    child.look_after()
    worker, main = diary.wait_for("it worker"), diary.wait_for("it up")

    os.kill(main, signal.SIGKILL)
    wait_until(child.look_after)

    assert sessions.find(worker) is None
    assert "Processes it left, now killed: 1." in caplog.text


def test_the_request_to_end_goes_once_and_to_the_main_process_alone(new_child: NewChild, diary: Diary) -> None:
    child = new_child(WITH_A_WORKER, patience=0.5)
    child.look_after()
    worker = diary.wait_for("it worker")
    diary.wait_for("it up")

    process_supervision.stop([child])

    assert diary.events().count("it asked") == 1
    assert "it asked-worker" not in diary.events()
    assert sessions.find(worker) is None


def test_one_that_does_not_end_is_killed_when_patience_is_over(
    new_child: NewChild, diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    child = new_child(STUBBORN, patience=0.3)
    child.look_after()
    pid = diary.wait_for("it up")

    process_supervision.stop([child])

    assert "it asked" in diary.events()
    assert sessions.find(pid) is None
    assert "Did not end in time: it. Killed: 1 processes" in caplog.text


def test_a_second_request_ends_the_waiting(new_child: NewChild, diary: Diary) -> None:
    child = new_child(STUBBORN, patience=600)
    child.look_after()
    pid = diary.wait_for("it up")

    process_supervision.stop([child], hurried=lambda: "it asked" in diary.events())

    assert sessions.find(pid) is None


def test_they_stop_in_order_after_what_is_to_come_first(
    new_child: NewChild, diary: Diary, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    record = tmp_path / "serve.json"
    supervision = Supervision([new_child(OBEDIENT, "workers"), new_child(OBEDIENT, "web")], record)
    supervision.begin()
    for name in ("workers", "web"):
        diary.wait_for(f"{name} up")
    assert set(json.loads(record.read_text())["children"]) == {"workers", "web"}

    def mark() -> None:
        with diary.path.open("a") as file:
            file.write("marks set 0\n")

    supervision.stop_in_order(before=mark)

    assert diary.events()[2:] == ["marks set", "workers asked", "web asked"]
    assert "Killed" not in caplog.text
    assert not record.exists()


def test_children_of_a_killed_supervision_are_asked_to_end_and_the_next_one_ends_the_rest(
    diary: Diary, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = tmp_path / "serve.json"
    script = f"""
import sys, time
from pathlib import Path
from releasemgr.lib.process_supervision import Child, Program, Supervision
command = [sys.executable, "-c", {WITH_A_WORKER!r}, {str(diary.path)!r}, "it"]
Supervision([Child(Program("it", command))], Path({str(record)!r})).begin()
time.sleep(60)
"""
    supervisor = subprocess.Popen([sys.executable, "-c", script], cwd=BASE)
    main, worker = diary.wait_for("it up"), diary.wait_for("it worker")
    wait_until(record.exists)
    supervisor.kill()
    supervisor.wait()

    wait_until(lambda: sessions.find(main) is None)
    assert diary.events().count("it asked") == 1
    assert sessions.find(worker) is not None

    Supervision([], record).begin()

    assert sessions.find(worker) is None
    assert "Left by an earlier run: it. Killed: 1 processes" in caplog.text
    assert not record.exists()


@pytest.mark.parametrize("difference", ["another boot", "another start time", "another checkout"])
def test_what_another_boot_or_checkout_remembers_is_left_alone(
    new_child: NewChild, diary: Diary, tmp_path: Path, difference: str
) -> None:
    child = new_child(OBEDIENT)
    child.look_after()
    pid = diary.wait_for("it up")
    leader = sessions.find(pid)
    assert leader is not None
    boot = "other" if difference == "another boot" else sessions.boot()
    started = leader.started - 1 if difference == "another start time" else leader.started
    record = tmp_path / "serve.json"
    of = "elsewhere" if difference == "another checkout" else str(record)
    record.write_text(json.dumps({"boot": boot, "record": of, "children": {"it": [pid, started]}}))

    end_leftovers(record)

    assert sessions.find(pid) == leader
    assert not record.exists()


def test_a_full_disk_ends_nothing_and_the_record_is_written_when_there_is_room(
    tmp_path: Path, new_child: NewChild, diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    child = new_child(OBEDIENT)
    supervision = Supervision([child], tmp_path / "serve.json")
    (tmp_path / "serve.half").symlink_to("/dev/full")
    supervision.begin()
    supervision.look_after()
    diary.wait_for("it up")
    assert not supervision.record.exists()
    assert caplog.text.count("No space left on device") == 1

    (tmp_path / "serve.half").unlink()
    supervision.look_after()

    assert json.loads(supervision.record.read_text())["children"]["it"][0] == diary.pid_of("it up")


def test_an_unreadable_record_stops_nobody_from_starting(tmp_path: Path) -> None:
    record = tmp_path / "serve.json"
    record.write_text("{")
    end_leftovers(record)
    assert not record.exists()


def test_a_second_one_is_refused_and_told_which_process_it_is(tmp_path: Path) -> None:
    lock = tmp_path / "serve.lock"
    with only_one(lock), pytest.raises(Exception, match=f"by process {os.getpid()}"), only_one(lock):
        pass
    with only_one(lock):
        assert lock.read_text() == f"{os.getpid()}\n"
