"""`make demo SERVE=0` as a whole: the month, the last night's results, and that nothing stays behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from releasemgr.demo import lifecycle
from tests.queue.served import free_port, wait_until

pytestmark = [pytest.mark.demo, pytest.mark.timeout(420)]

BASE = Path(__file__).parents[2]
NOT_SUCCEEDED = {
    "lindqvist-live": "rolled_back",
    "banyan-test": "blocked",
    "tamarind-test": "blocked",
    "brightwater-ie-live": "not_started",
    "brightwater-uk-live": "not_started",
    "novara-it-live": "not_started",
}
LOOK = """
import json
from django.db.models import F, Q
from upgrades.models import Run, Step, Upgrade
from instances.models import Host, Instance
from builds.maturity import Maturity
from builds.models import Build, GateOverride, Problem
from builds.services import build_named, judge_promotion
from upgrades.services.planning import plan_night
from releasemgr.lib import clock, queue

last = Run.objects.nightly().latest("date")
_night, tonight = plan_night(clock.now())
pins = Instance.objects.exclude(target_build=None)
begun = Step.objects.exclude(started_at=None)
outside = Q(started_at__lt=F("upgrade__started_at")) | Q(ended_at__lt=F("started_at"))
print(json.dumps({
    "outcomes": dict(last.upgrades.values_list("instance__slug", "outcome")),
    "ends": dict(last.upgrades.values_list("instance__slug", "end_code")),
    "errors": dict(last.upgrades.values_list("instance__slug", "first_error")),
    "codes": dict(last.decisions.values_list("instance__slug", "code")),
    "nights": Run.objects.nightly().count(),
    "missed": Run.objects.filter(missed=True).count(),
    "open": Run.objects.filter(ended_at=None).count(),
    "nights with upgrades": Run.objects.exclude(upgrades=None).distinct().count(),
    "in the future": Upgrade.objects.filter(ended_at__gt=clock.now()).count(),
    "steps out of place": begun.filter(outside).count(),
    "steps after the night": begun.filter(ended_at__gt=F("upgrade__run__ended_at")).count(),
    "way back": list(last.upgrades.get(instance__slug="lindqvist-live").steps.filter(phase="back")
                     .values_list("name", "state")),
    "runs": dict(Instance.objects.values_list("slug", "reported_version")),
    "failing hosts": list(Host.objects.exclude(failing_since=None).values_list("name", flat=True)),
    "may become stable": judge_promotion(build_named("4.20.2"), Maturity.STABLE, now=clock.now()).allowed,
    "halts": list(last.halts.values_list("code", "end", "builds__version", "released_at")),
    "tonight": {one.site.slug: one.code for one in tonight},
    "overridden": list(GateOverride.objects.values_list("promotion__build__version", "gate")),
    "promoted by itself": list(Build.objects.filter(promotions__by=None, promotions__origin="automatic")
                               .order_by("version_key").values_list("version", flat=True)),
    "stepping stones": list(Build.objects.filter(stepping_stone=True).values_list("version", flat=True)),
    "problems": list(Problem.objects.values_list("severity", "first_affected__version")),
    "over the stone": list(Upgrade.objects.filter(instance__slug="pampa-live").order_by("leg")
                           .values_list("build__version", "leg", "outcome")),
    "went back": list(Upgrade.objects.filter(from_version="4.20.2", build__version="4.20.1")
                      .values_list("instance__slug", "outcome")),
    "pins": dict(pins.values_list("slug", "pin_ends")),
    "queued": queue.waiting(queue.UPGRADES),
}))
"""


@dataclass
class Made:
    """A demo in a folder of its own, and what its first run printed."""

    var: Path
    said: str = ""
    found: dict[str, Any] | None = None
    begun: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        hidden = ("DATABASE_URL", "RELEASEMGR_SSH_KEY", "RELEASEMGR_LOG_LEVEL")
        kept = {name: value for name, value in os.environ.items() if name not in hidden}
        return kept | {"RELEASEMGR_VAR": str(self.var)}

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=BASE,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """The command, going on while the test does something else. Its output is in `output`."""
        with self.output.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *words],
                cwd=BASE,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.begun.append(process)
        return process

    def end(self) -> None:
        """Also what a test that failed left running."""
        for process in self.begun:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(60)
        lifecycle.stop(self.var / "demo")
        self.manage("database", "stop")

    @property
    def output(self) -> Path:
        return self.var.parent / "output"

    def look(self) -> dict[str, Any]:
        done = self.manage("shell", "--no-imports", "-c", LOOK)
        assert done.returncode == 0, done.stderr
        self.manage("database", "stop")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def left_running(self) -> list[str]:
        """Whatever was started with this folder in its words or its environment, or works in it."""
        return [found for entry in Path("/proc").iterdir() if entry.name.isdigit() if (found := self._ours(entry))]

    def _ours(self, process: Path) -> str:
        try:
            texts = [(process / name).read_bytes() for name in ("cmdline", "environ")]
            texts.append(os.fsencode(os.readlink(process / "cwd")))
        except OSError:
            return ""
        return f"{process.name} {texts[0]!r}" if any(os.fsencode(self.var) in text for text in texts) else ""


@contextmanager
def own_folder() -> Iterator[Made]:
    """Not in pytest's folder, where another user's PostgreSQL may not go when root runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="releasemgr-demo-"))
    folder.chmod(0o711)
    made = Made(folder / "var")
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    with own_folder() as made:
        done = made.manage("demo", "--no-serve")
        assert done.returncode == 0, done.stdout + done.stderr
        made.said = done.stdout
        assert made.left_running() == []
        made.found = made.look()
        yield made


@pytest.fixture
def fresh() -> Iterator[Made]:
    with own_folder() as made:
        yield made


def test_the_last_night_shows_every_case(made: Made) -> None:
    assert made.found
    outcomes = made.found["outcomes"]
    others = {slug: outcome for slug, outcome in outcomes.items() if outcome != "succeeded"}
    assert others == NOT_SUCCEEDED
    assert len(outcomes) == 20
    assert made.found["ends"]["banyan-test"] == "unreachable"
    assert "Not enough disk" in made.found["errors"]["tamarind-test"]
    assert "legacy_reports" in made.found["errors"]["lindqvist-live"]
    assert made.found["failing hosts"] == ["app-bom-01"]
    codes = made.found["codes"]
    assert codes["cascadia-training"] == "ahead"
    assert codes["halvorsen-live"] == codes["ostrov-live"] == "up_to_date"
    assert (codes["banyan-live"], codes["kestrel-de-live"], codes["kestrel-test"]) == ("on_hold", "frozen", "frozen")
    assert len(codes) == 30


def test_the_canary_that_failed_halted_the_night_and_its_build_waits_for_a_person(made: Made) -> None:
    """P5: what had not begun goes tonight, for it goes to another build."""
    assert made.found
    assert made.found["halts"] == [["canary", "run_over", "4.20.4", None]]
    tonight = made.found["tonight"]
    going = {slug for slug, code in tonight.items() if code == "upgrade"}
    assert going == {slug for slug, outcome in NOT_SUCCEEDED.items() if outcome == "not_started"}
    assert tonight["lindqvist-live"] == tonight["banyan-test"] == tonight["tamarind-test"] == "blocked_by_problem"
    assert tonight["kestrel-test"] == "frozen"


def test_the_month_has_a_bit_of_everything(made: Made) -> None:
    """R7, R8, R10, T2, T4, T8."""
    assert made.found
    assert made.found["overridden"] == [["4.20.2", "soak"]]
    assert made.found["promoted by itself"] == ["4.20.1", "4.20.2", "4.20.4"]
    assert made.found["stepping stones"] == ["4.19.6"]
    assert sorted(made.found["problems"]) == [["blocker", "4.20.4"], ["minor", "4.20.0"]]
    assert made.found["over the stone"] == [["4.19.6", 1, "succeeded"], ["4.20.2", 2, "succeeded"]]
    assert made.found["went back"] == [["halvorsen-training", "succeeded"]]
    assert made.found["pins"] == {"halvorsen-live": "caught_up", "ostrov-live": "on_date"}


def test_the_way_back_really_ran_and_the_sites_report_where_they_are(made: Made) -> None:
    assert made.found
    assert made.found["way back"] == [
        ["switch-back", "succeeded"],
        ["undo-migrate", "succeeded"],
        ["restart-old", "succeeded"],
        ["remove-release", "succeeded"],
    ]
    runs = made.found["runs"]
    assert runs["lindqvist-live"] == runs["tamarind-test"] == runs["banyan-test"] == "4.20.2"
    assert (runs["kestrel-test"], runs["halvorsen-test"], runs["novara-es-live"]) == ("4.20.3", "4.20.4", "4.19.6")
    assert (runs["mapleridge-test"], runs["novara-it-live"]) == ("4.21.0", "4.19.4")


def test_the_month_is_whole_and_nothing_lies_in_the_future(made: Made) -> None:
    assert made.found
    assert (made.found["nights"], made.found["missed"], made.found["open"]) == (29, 0, 0)
    assert made.found["nights with upgrades"] == 8
    strange = ("in the future", "steps out of place", "steps after the night", "queued")
    assert {name: made.found[name] for name in strange} == dict.fromkeys(strange, 0)
    assert made.found["may become stable"] is True


def test_the_table_names_every_site_once_with_its_result(made: Made) -> None:
    assert made.found
    results = made.said.partition("The night of ")[2].splitlines()
    firsts = [line.split()[0] for line in results if line]
    for slug in made.found["codes"]:
        assert firsts.count(slug) == 1
    line = next(line for line in results if line.startswith("lindqvist-live"))
    assert line.split()[1:3] == ["4.20.2", "4.20.4"]
    assert "Rolled back" in line
    counts, halt = [line for line in results if line][-2:]
    assert halt.startswith("The run was halted: 1 of 1 canaries failed")
    assert counts.startswith("20 upgrades: 14 succeeded, 3 not started, 2 blocked, 1 rolled back. 10 sites were left")


def test_a_second_run_goes_on_with_what_is_there_and_serves_until_ctrl_c(made: Made) -> None:
    """In this order: what is served in the hours of a night runs that night too."""
    password = (made.var / "demo" / "password").read_text()
    again = made.manage("demo", "--no-serve")
    assert again.returncode == 0, again.stderr
    assert "Living through" not in again.stdout
    assert again.stdout.partition("The night of ")[2] == made.said.partition("The night of ")[2]
    assert made.left_running() == []
    assert made.look() == made.found
    assert (made.var / "demo" / "password").read_text() == password

    port = str(free_port())
    demo = made.begin("demo", "--port", port)
    wait_until(lambda: "Sign in as" in made.output.read_text(), 180)
    address, sign_in = made.output.read_text().splitlines()[-2:]
    assert address == f"http://127.0.0.1:{port}/"
    assert (made.var / "demo" / "password").read_text().strip() in sign_in
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/sign-in/", timeout=10) as page:
        assert page.status == 200
    assert "already served, by process" in made.manage("demo", "--no-serve").stderr

    demo.send_signal(signal.SIGINT)
    assert demo.wait(60) == 0
    assert made.left_running() == []


def test_a_demo_that_is_cut_off_leaves_nothing_behind_and_is_begun_anew(fresh: Made) -> None:
    demo = fresh.begin("demo", "--no-serve")
    wait_until(lambda: "  Night of" in fresh.output.read_text(), 180)

    demo.send_signal(signal.SIGTERM)
    assert demo.wait(60) == 1
    assert "Stopped." in fresh.output.read_text()
    assert fresh.left_running() == []

    again = fresh.begin("demo", "--no-serve")
    wait_until(lambda: "Living through" in fresh.output.read_text(), 180)
    assert "did not get to its end. Starting anew" in fresh.output.read_text()
    again.send_signal(signal.SIGINT)
    assert again.wait(60) == 1
    assert fresh.left_running() == []


@pytest.mark.parametrize("words", [(), ("--reset",)])
def test_content_that_no_demo_made_is_left_alone(fresh: Made, words: tuple[str, ...]) -> None:
    assert fresh.manage("migrate", "--verbosity", "0").returncode == 0
    make = "from django.contrib.auth.models import User; User.objects.create_user('somebody')"
    count = "from django.contrib.auth.models import User; print(User.objects.get().username)"
    assert fresh.manage("shell", "--no-imports", "-c", make).returncode == 0

    refused = fresh.manage("demo", "--no-serve", *words)
    assert refused.returncode == 1
    assert "data that no demo made" in refused.stderr
    assert not (fresh.var / "demo").exists()
    assert fresh.manage("shell", "--no-imports", "-c", count).stdout.split()[-1] == "somebody"


def test_a_taken_port_is_refused_before_anything_is_done(fresh: Made) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = fresh.manage("demo", "--port", str(taken.getsockname()[1]))
    assert refused.returncode == 1
    assert "Choose another port" in refused.stderr
    assert not (fresh.var / "postgres").exists()
