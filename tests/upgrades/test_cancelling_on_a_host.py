"""U4 on the host: what runs is ended with its process group, and called cancelled only when it is gone."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.upgrades.sites import WAIT_FOR_GO, Site, wait_until
from upgrades.recipes.commands import lines
from upgrades.recipes.journal import WayBackBegun
from upgrades.recipes.reading import load_recipe
from upgrades.recipes.recipe import Phase, Recipe, Step
from upgrades.recipes.verdict import Detail, Ending

pytestmark = pytest.mark.shell
FOR_EVER = "echo waiting; sleep 600"


@pytest.fixture(params=["dash", "bash"])
def any_shell_site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "site", shell=request.param)
    yield site
    site.let_go()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "site")
    yield site
    site.let_go()


def recipe_of(*steps: tuple[Phase, str]) -> Recipe:
    """One step for each script, by its phase, each with a step of the way back that says so."""
    version = load_recipe("symlink").version_program
    rows = tuple(Step(f"own-{n}", f"Own {n}", phase, f"own-{n}.sh", 60) for n, (phase, _) in enumerate(steps, 1))
    back = tuple(Step(f"back-{n}", f"Back {n}", Phase.BACK, "back.sh", 60, f"own-{n}") for n in range(1, len(rows) + 1))
    files = {f"own-{n}.sh": script.encode() for n, (_, script) in enumerate(steps, 1)}
    return Recipe("own", "Own", "version.sh", rows, back, {**files, "back.sh": b"echo back", "version.sh": version})


def cancel(site: Site) -> str:
    answer = site.run("cancel", lines(str(site.path), 1))
    assert answer.returncode == 0, answer
    return answer.stdout.decode().strip()


def launch_until_it_waits(site: Site, recipe: Recipe, step: str) -> None:
    site.launch(recipe=recipe)
    wait_until(lambda: step in site.begun_steps() and "waiting" in site.log())


def processes_of(site: Site) -> list[int]:
    """Who works in the site's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "cwd").startswith(str(site.path)):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("phase", "way_back"), [(Phase.CHECK, []), (Phase.PREPARE, ["back-1"]), (Phase.VERIFY, ["back-1"])]
)
def test_a_step_that_changes_nothing_is_ended_at_once_with_all_its_processes(
    any_shell_site: Site, phase: Phase, way_back: list[str]
) -> None:
    site = any_shell_site
    launch_until_it_waits(site, recipe_of((phase, f"sh -c '{FOR_EVER}' & sleep 601 & {FOR_EVER}")), "own-1")
    assert len(processes_of(site)) > 3
    assert cancel(site) == "asked"
    site.wait_for_end()
    verdict = site.verdict()
    assert (verdict.ending, verdict.detail, verdict.failed_step) == (Ending.CANCELLED, Detail.CANCELLED, "own-1")
    assert site.begun_steps() == ["own-1", *way_back]
    assert "Cancelled: the step was ended." in site.log()
    wait_until(lambda: processes_of(site) == [])


def test_a_step_that_does_not_listen_is_killed(site: Site) -> None:
    launch_until_it_waits(site, recipe_of((Phase.PREPARE, f"trap '' TERM; {FOR_EVER}")), "own-1")
    cancel(site)
    wait_until(lambda: site.result() is not None, seconds=40)
    assert site.verdict().ending is Ending.CANCELLED
    wait_until(lambda: processes_of(site) == [])


def test_what_changes_the_site_is_waited_for_and_then_taken_back(any_shell_site: Site) -> None:
    site = any_shell_site
    recipe = recipe_of((Phase.CHANGE, f"echo waiting; {WAIT_FOR_GO}; echo changed"), (Phase.CHANGE, "echo never"))
    launch_until_it_waits(site, recipe, "own-1")
    assert [cancel(site), cancel(site)] == ["asked", "asked"]
    assert site.inspect() == [1, 1, 0]
    (site.path / "go").touch()
    site.wait_for_end()
    verdict = site.verdict()
    assert (verdict.ending, verdict.detail, verdict.failed_step) == (Ending.ROLLED_BACK, Detail.CANCELLED, "own-2")
    assert site.steps() == {"own-1": 0, "back-1": 0}
    assert "changed" in site.log()
    assert "never" not in site.log()


def test_the_shipped_recipe_takes_back_what_it_prepared(any_shell_site: Site) -> None:
    site = any_shell_site
    site.values["BACKUP_COMMAND"] = FOR_EVER
    site.launch()
    wait_until(lambda: "waiting" in site.log())
    cancel(site)
    site.wait_for_end()
    assert site.verdict().ending is Ending.CANCELLED
    assert (site.releases(), site.current()) == ({"0.9", "1.0"}, "releases/1.0")


def test_after_the_switch_too_a_cancelled_upgrade_goes_back(site: Site) -> None:
    """Unlike what is stopped because its build was withdrawn (R9)."""
    site.values["RESTART_COMMAND"] = f"[ -e went ] || {{ echo waiting; : >went; {WAIT_FOR_GO}; }}"
    site.launch()
    wait_until(lambda: "waiting" in site.log())
    assert site.current() == "releases/1.1"
    cancel(site)
    (site.path / "go").touch()
    site.wait_for_end()
    assert site.verdict().ending is Ending.ROLLED_BACK
    assert site.current() == "releases/1.0"


def test_a_way_back_is_never_cut_short(any_shell_site: Site) -> None:
    site = any_shell_site
    recipe = recipe_of((Phase.CHANGE, "exit 3"))
    back = f"echo waiting; {WAIT_FOR_GO}; echo back".encode()
    launch_until_it_waits(site, replace(recipe, scripts={**recipe.scripts, "back.sh": back}), "back-1")
    cancel(site)
    (site.path / "go").touch()
    site.wait_for_end()
    verdict = site.verdict()
    assert (verdict.ending, verdict.detail, verdict.failed_step) == (Ending.ROLLED_BACK, Detail.STEP_FAILED, "own-1")
    assert site.steps() == {"own-1": 3, "back-1": 0}


def test_what_has_ended_stays_as_it_ended(any_shell_site: Site) -> None:
    site = any_shell_site
    site.run_upgrade()
    assert cancel(site) == "asked"
    assert site.verdict().ending is Ending.SUCCEEDED


def test_only_what_has_begun_can_be_cancelled(site: Site) -> None:
    assert site.run("cancel", lines(str(site.path), 1)).returncode != 0


def test_a_step_that_outlived_its_runner_is_ended(any_shell_site: Site) -> None:
    site = any_shell_site
    launch_until_it_waits(site, recipe_of((Phase.CHANGE, FOR_EVER)), "own-1")
    os.kill(int((site.upgrade(1) / "runner").read_text().split()[0]), signal.SIGKILL)
    assert site.inspect() == [1, 1, 0]
    assert cancel(site) == "asked"
    wait_until(lambda: site.inspect() == [1, 0, 0])
    wait_until(lambda: processes_of(site) == [])
    assert site.follow()[-1][0] == "G"
    assert site.verdict().ending is Ending.NEEDS_A_PERSON


def test_a_step_is_known_before_its_script_begins(any_shell_site: Site) -> None:
    """A runner may be killed at any moment after it began one (U3)."""
    site = any_shell_site
    script = '[ "$(cut -d " " -f 1 "$BUNDLE/step")" = "$PPID" ] && echo known'
    site.run_upgrade(recipe=recipe_of((Phase.CHECK, script)))
    assert site.steps()["own-1"] == 0
    assert "known" in site.log().splitlines()


def test_a_process_that_only_has_the_number_of_the_runner_is_not_touched(site: Site) -> None:
    site.run_upgrade()
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        (site.upgrade(1) / "runner").write_text(f"{bystander.pid} 1\n")
        assert cancel(site) == "asked"
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.fixture
def others_site() -> Iterator[Site]:
    """A site of another account, in a folder that it reaches."""
    folder = Path(f"/tmp/releasemgr-other-account-{os.getpid()}")  # noqa: S108 - tmp_path is ours alone
    folder.mkdir(mode=0o755)
    site = Site(folder / "site", account="nobody")
    yield site
    for process in processes_of(site):
        os.kill(process, signal.SIGKILL)
    shutil.rmtree(folder)


@pytest.mark.root
def test_what_cannot_be_ended_needs_a_person_and_nobody_goes_back(others_site: Site) -> None:
    """A step that became another account, as by sudo: it is never called cancelled while it lives."""
    site = others_site
    become = site.path.parent / "become"
    site.values["BACKUP_COMMAND"] = f"exec {become} --reuid=0 --clear-groups sh -c 'echo waiting; exec sleep 60'"
    site.environment()
    subprocess.run(["chown", "-R", "nobody:nogroup", str(site.path.parent)], check=True)
    shutil.copy("/usr/bin/setpriv", become)
    become.chmod(0o4755)
    site.launch()
    wait_until(lambda: "waiting" in site.log())
    cancel(site)
    wait_until(lambda: site.result() is not None, seconds=40)
    verdict = site.verdict()
    assert (verdict.ending, verdict.detail, verdict.failed_step) == (Ending.NEEDS_A_PERSON, Detail.LINGERS, "backup")
    assert not any(isinstance(event, WayBackBegun) for event in site.events())
    assert site.inspect() == [1, 1, 1]


# The way back, run again by a person (U2).


def go_back(site: Site, time: int = 1) -> str:
    return site.run("back", lines(str(site.path), 1, time)).stdout.decode().strip()


def half_way(site: Site) -> None:
    """The first way back fails: what it needs is missing."""
    site.values["MIGRATE_COMMAND"] = "echo changed"
    site.values["MIGRATE_UNDO_COMMAND"] = 'test -e "$SITE_PATH/repaired"'
    site.values["RESTART_COMMAND"] = '[ "$(readlink current)" != releases/1.1 ]'
    assert site.run_upgrade().ending is Ending.NEEDS_A_PERSON


def test_a_way_back_that_failed_is_run_again_and_may_work(any_shell_site: Site) -> None:
    site = any_shell_site
    half_way(site)
    (site.path / "repaired").touch()
    assert go_back(site) == "begun"
    site.wait_for_end()
    verdict = site.verdict()
    assert (verdict.ending, verdict.detail, verdict.failed_step) == (Ending.ROLLED_BACK, Detail.SENT_BACK, "restart")
    assert verdict.version_after == "1.0"
    assert site.begun_steps().count("switch-back") == 2
    assert site.releases() == {"0.9", "1.0"}


def test_each_time_begins_once_and_one_that_fails_again_says_so(any_shell_site: Site) -> None:
    site = any_shell_site
    half_way(site)
    assert go_back(site) == "begun"
    site.wait_for_end()
    assert go_back(site) == "already-begun"
    assert site.verdict().detail is Detail.WAY_BACK_FAILED
    assert site.begun_steps().count("switch-back") == 2
    (site.path / "repaired").touch()
    assert go_back(site, 2) == "begun"
    site.wait_for_end()
    assert site.verdict().ending is Ending.ROLLED_BACK


def test_while_something_holds_the_site_no_way_back_begins(site: Site) -> None:
    half_way(site)
    holder = subprocess.Popen(["flock", str(site.work / "lock"), "sleep", "60"])
    try:
        wait_until(lambda: subprocess.run(["flock", "-n", str(site.work / "lock"), "true"]).returncode != 0)
        assert go_back(site).startswith("locked ")
        assert site.result() is not None
    finally:
        for process in (*processes_of_group(holder.pid), holder.pid):
            os.kill(process, signal.SIGKILL)
        holder.wait()


def processes_of_group(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(child) for child in children]


def test_an_upgrade_that_left_nothing_on_its_host_cannot_go_back(site: Site) -> None:
    answer = site.run("back", lines(str(site.path), 1, 1))
    assert answer.returncode != 0
