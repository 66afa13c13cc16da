"""The scripts that run on a host, run here by real shells on real files."""

import fcntl
import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.upgrades.sites import FAR_AHEAD, WAIT_FOR_GO, Site, make_artifact, read_frames, wait_until
from upgrades.contact import Ground, back_request
from upgrades.recipes.bundle import build_bundle, build_secrets
from upgrades.recipes.commands import host_command, lines, value_lines
from upgrades.recipes.journal import StepEnded, Stopped, Unreadable, UpgradeBegun, VersionRead, WayBackBegun
from upgrades.recipes.reading import load_recipe
from upgrades.recipes.recipe import Phase, Recipe, Step
from upgrades.recipes.recipe_file import SHIPPED
from upgrades.recipes.verdict import Detail, Ending

pytestmark = pytest.mark.shell

ALL_STEPS = [
    "check",
    "verify-artifact",
    "unpack",
    "backup",
    "migrate",
    "switch",
    "restart",
    "health",
    "read-version",
    "prune",
]
TELL_RUNNER = "cut -d ' ' -f 6 /proc/self/stat >runner.pid"


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


def own_recipe(*scripts: str, phase: Phase = Phase.CHANGE, timeout: int = 30) -> Recipe:
    """The version script of the shipped recipe, and a step for each script."""
    shipped = load_recipe("symlink")
    steps = tuple(Step(f"own-{n}", f"Own {n}", phase, f"own-{n}.sh", timeout) for n, _ in enumerate(scripts, 1))
    files = {f"own-{n}.sh": script.encode() for n, script in enumerate(scripts, 1)}
    return Recipe("own", "Own", "version.sh", steps, (), {**files, "version.sh": shipped.version_program})


def with_script(name: str, text: str) -> Recipe:
    recipe = load_recipe("symlink")
    return replace(recipe, scripts={**recipe.scripts, name: text.encode()})


def nothing_of_ours_is_left(site: Site) -> bool:
    return site.releases() == {"0.9", "1.0"} and site.current() == "releases/1.0"


def test_an_upgrade_goes_through_all_steps(any_shell_site: Site) -> None:
    """U10: the version is read back from the site."""
    site = any_shell_site
    verdict = site.run_upgrade()
    assert verdict.ending is Ending.SUCCEEDED
    assert (verdict.version_before, verdict.version_after) == ("1.0", "1.1")
    assert site.steps() == dict.fromkeys(ALL_STEPS, 0)
    assert site.current() == "releases/1.1"
    assert site.result() == "completed\n"
    assert site.inspect() == [1, 0, 1]
    assert (site.upgrade(1) / "runner.out").read_text() == ""
    assert {path.name for path in site.work.iterdir()} == {"lock", "upgrades"}


def test_events_tell_where_each_step_lies_in_the_log(site: Site) -> None:
    site.run_upgrade()
    events = site.events()
    assert not [event for event in events if isinstance(event, Unreadable)]
    assert isinstance(events[0], UpgradeBegun)
    assert isinstance(events[1], VersionRead)
    ends = [event for event in events if isinstance(event, StepEnded)]
    assert [event.position for event in ends] == list(range(1, 11))
    pieces = [
        site.log().encode()[start:end]
        for start, end in zip([0, *(e.log_offset for e in ends)], [e.log_offset for e in ends], strict=False)
    ]
    assert [piece.split(b"\n")[0].decode() for piece in pieces] == [f"$ {name}" for name in ALL_STEPS]
    assert b"".join(pieces) == site.log().encode()


def test_a_site_that_runs_the_new_version_is_left_alone(site: Site) -> None:
    site.values |= {"TO_VERSION": "v1.0.0"}
    verdict = site.run_upgrade()
    assert verdict.ending is Ending.ALREADY_THERE
    assert site.begun_steps() == []
    assert nothing_of_ours_is_left(site)


def wrong_version(site: Site) -> None:
    site.values["FROM_VERSION"] = "0.8"


def little_disk(site: Site) -> None:
    site.values["MIN_FREE_MB"] = "999999999"


def plain_current(site: Site) -> None:
    (site.path / "current").unlink()
    (site.path / "current").mkdir()
    (site.path / "current" / "VERSION").write_text("1.0")


def no_artifact(site: Site) -> None:
    Path(site.values["ARTIFACT"]).unlink()


def silent_site(site: Site) -> None:
    site.values["VERSION_COMMAND"] = "echo 'database is down' >&2; exit 4"


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (wrong_version, "The site reports version 1.0, but 0.8 was expected."),
        (little_disk, "Not enough disk on web-1: "),
        (plain_current, "/current is not a symbolic link."),
        (no_artifact, "The artefact is not on web-1: "),
        (silent_site, "The site did not tell its version: database is down"),
    ],
)
def test_a_failed_check_blocks_and_touches_nothing(
    any_shell_site: Site, spoil: Callable[[Site], None], sentence: str
) -> None:
    site = any_shell_site
    spoil(site)
    before = site.releases()
    verdict = site.run_upgrade()
    assert (verdict.ending, verdict.failed_step, verdict.phase) == (Ending.BLOCKED, "check", Phase.CHECK)
    assert sentence in site.log()
    assert site.begun_steps() == ["check"]
    assert site.releases() == before
    assert not any(isinstance(event, WayBackBegun) for event in site.events())


def test_the_disk_sentence_rounds_so_that_it_is_never_odd(site: Site) -> None:
    """3 GB less a kilobyte are not enough, and are not shown as 3 GB."""
    df = Path(site.environment()["PATH"].split(":")[0]) / "df"
    df.write_text("#!/bin/sh\necho head\necho /dev/sda 9 9 3145727 9% /\n")
    df.chmod(0o755)
    site.values["MIN_FREE_MB"] = "3072"
    assert site.run_upgrade().ending is Ending.BLOCKED
    assert "Not enough disk on web-1: 2.9 GB free, 3.1 GB needed\n" in site.log()


def spoilt_bytes(site: Site) -> None:
    site.values["ARTIFACT_SHA256"] = "0" * 64


def broken_archive(site: Site) -> None:
    path = site.path.parent / "broken.tar.gz"
    path.write_bytes(Path(site.values["ARTIFACT"]).read_bytes()[:100])
    site.set_artifact(path)


def failing_backup(site: Site) -> None:
    site.values["BACKUP_COMMAND"] = "echo 'no space for the dump'; exit 7"


@pytest.mark.parametrize(
    ("spoil", "step"),
    [(spoilt_bytes, "verify-artifact"), (broken_archive, "unpack"), (failing_backup, "backup")],
)
def test_a_failure_while_preparing_ends_clean(any_shell_site: Site, spoil: Callable[[Site], None], step: str) -> None:
    site = any_shell_site
    spoil(site)
    verdict = site.run_upgrade()
    assert (verdict.ending, verdict.failed_step, verdict.phase) == (Ending.FAILED_CLEAN, step, Phase.PREPARE)
    assert verdict.version_after == "1.0"
    assert nothing_of_ours_is_left(site)
    assert "migrate" not in site.begun_steps()


def failing_migration(site: Site) -> None:
    site.values |= {"MIGRATE_COMMAND": "pwd; exit 3", "MIGRATE_UNDO_COMMAND": "echo undone in $(pwd)"}


def failing_switch(site: Site) -> None:
    site.values["BACKUP_COMMAND"] = "mkdir .current.1"


def failing_restart(site: Site) -> None:
    site.values["RESTART_COMMAND"] = "echo restart of $(cat current/VERSION); grep -q 1.0 current/VERSION"


def failing_health(site: Site) -> None:
    site.values["HEALTH_URL"] = "http://127.0.0.1:1/health"


def other_version_inside(site: Site) -> None:
    site.set_artifact(make_artifact(site.path.parent, "9.9"))


@pytest.mark.parametrize(
    ("spoil", "step", "phase", "way_back"),
    [
        (failing_migration, "migrate", Phase.CHANGE, ["undo-migrate"]),
        (failing_switch, "switch", Phase.CHANGE, ["switch-back", "undo-migrate"]),
        (failing_restart, "restart", Phase.CHANGE, ["switch-back", "undo-migrate", "restart-old"]),
        (failing_health, "health", Phase.VERIFY, ["switch-back", "undo-migrate", "restart-old"]),
        (other_version_inside, "read-version", Phase.VERIFY, ["switch-back", "undo-migrate", "restart-old"]),
    ],
)
def test_a_failure_after_a_change_goes_the_way_back(
    any_shell_site: Site, spoil: Callable[[Site], None], step: str, phase: Phase, way_back: list[str]
) -> None:
    """U5: once, in the recipe's order, and the old version is read back."""
    site = any_shell_site
    spoil(site)
    verdict = site.run_upgrade()
    assert (verdict.ending, verdict.failed_step, verdict.phase) == (Ending.ROLLED_BACK, step, phase)
    assert verdict.version_after == "1.0"
    assert site.begun_steps() == [*ALL_STEPS[: ALL_STEPS.index(step) + 1], *way_back, "remove-release"]
    assert nothing_of_ours_is_left(site)
    assert sum(isinstance(event, WayBackBegun) for event in site.events()) == 1


def test_the_old_release_is_restarted_after_the_link_went_back(site: Site) -> None:
    failing_restart(site)
    site.run_upgrade()
    assert site.log().index("restart of 1.1") < site.log().index("restart of 1.0")


def test_hooks_run_where_they_are_promised_to(site: Site) -> None:
    failing_migration(site)
    site.values["BACKUP_COMMAND"] = "pwd >where"
    site.run_upgrade()
    assert (site.path / "where").read_text().strip() == str(site.path)
    new_release = str(site.path / "releases" / "1.1")
    assert f"$ migrate\n{new_release}\n" in site.log()
    assert f"undone in {new_release}" in site.log()


def test_a_failed_way_back_stops_there_and_needs_a_person(any_shell_site: Site) -> None:
    site = any_shell_site
    site.values["RESTART_COMMAND"] = "false"
    verdict = site.run_upgrade()
    assert (verdict.ending, verdict.detail) == (Ending.NEEDS_A_PERSON, Detail.WAY_BACK_FAILED)
    assert verdict.failed_step == "restart"
    assert site.begun_steps()[-1] == "restart-old"
    assert site.current() == "releases/1.0"
    assert "1.1" in site.releases()


def test_another_version_after_the_way_back_needs_a_person(site: Site) -> None:
    site.values["MIGRATE_COMMAND"] = "echo 7.7 >../1.0/VERSION; false"
    verdict = site.run_upgrade()
    assert (verdict.ending, verdict.detail) == (Ending.NEEDS_A_PERSON, Detail.OLD_VERSION_NOT_BACK)
    assert verdict.version_after == "7.7"


def test_a_failure_to_finish_is_a_warning(site: Site) -> None:
    verdict = site.run_upgrade(recipe=with_script("prune.sh", "exit 3"))
    assert (verdict.ending, verdict.failed_step) == (Ending.SUCCEEDED, "prune")
    assert site.current() == "releases/1.1"


def test_the_runner_itself_reads_the_version_back(site: Site) -> None:
    """U10: also for a recipe whose steps do not."""
    verdict = site.run_upgrade(recipe=own_recipe("echo done"))
    assert (verdict.ending, verdict.detail) == (Ending.ROLLED_BACK, Detail.OTHER_VERSION)
    assert (verdict.failed_step, site.steps()) == (None, {"own-1": 0})


IN_ONE_LINE = """\
title = "In one line each"
version_command = 'cat current/VERSION'

[[steps]]
name = "deploy"
title = "Deploy"
phase = "change"
command = 'sh ./deploy.sh "$TO_VERSION" "it is $SITE" # and no more'
timeout = 30

[[way_back]]
name = "deploy-old"
title = "Deploy the old version"
undoes = "deploy"
command = 'sh ./deploy.sh "$FROM_VERSION" back'
timeout = 30
"""


def site_with_a_deploy_script(site: Site, folder: Path) -> Recipe:
    """A shell script that was there before us, and a recipe of one line that calls it."""
    (site.path / "deploy.sh").write_text(
        'echo "$#: $2"; [ "$1" != "$BROKEN" ] || exit 5; echo "$1" >current/VERSION\n',
    )
    (folder / "lines").mkdir()
    (folder / "lines" / "recipe.toml").write_text(IN_ONE_LINE)
    site.values |= {"SITE": """$(touch hacked) '"; touch hacked""", "BROKEN": ""}
    return load_recipe("lines", [folder])


def test_a_step_of_one_line_calls_a_script_that_was_there_before(any_shell_site: Site, tmp_path: Path) -> None:
    """U8: no value becomes part of a command."""
    site = any_shell_site
    recipe = site_with_a_deploy_script(site, tmp_path)
    verdict = site.run_upgrade(recipe=recipe)
    assert (verdict.ending, verdict.version_after) == (Ending.SUCCEEDED, "1.1")
    assert """2: it is $(touch hacked) '"; touch hacked\n""" in site.log()
    assert not (site.path / "hacked").exists()


def test_a_way_back_of_one_line_is_gone(site: Site, tmp_path: Path) -> None:
    recipe = site_with_a_deploy_script(site, tmp_path)
    site.values["BROKEN"] = "1.1"
    verdict = site.run_upgrade(recipe=recipe)
    assert (verdict.ending, verdict.failed_step) == (Ending.ROLLED_BACK, "deploy")
    assert site.steps() == {"deploy": 5, "deploy-old": 0}


def test_a_version_of_one_line_is_asked_outside_an_upgrade_too(site: Site, tmp_path: Path) -> None:
    recipe = site_with_a_deploy_script(site, tmp_path)
    request = lines(10) + value_lines(site.values) + b"\n" + recipe.version_program
    assert site.run("version", request).stdout == b"1.0\n"


def stop(site: Site, number: int = 1) -> tuple[int, bytes]:
    answer = site.run("stop", lines(str(site.path), number))
    return answer.returncode, answer.stdout


def stopped_before(site: Site) -> list[str]:
    return [event.step for event in site.events() if isinstance(event, Stopped)]


STOP_MYSELF = ': >".releasemgr/upgrades/$UPGRADE/stop"'


@pytest.mark.parametrize(
    ("command", "before", "ending", "way_back"),
    [
        ("BACKUP_COMMAND", "migrate", Ending.FAILED_CLEAN, ["remove-release"]),
        ("MIGRATE_COMMAND", "switch", Ending.ROLLED_BACK, ["undo-migrate", "remove-release"]),
    ],
)
def test_an_upgrade_that_is_asked_to_stop_does_so_before_its_next_step_and_goes_the_way_back(
    any_shell_site: Site, command: str, before: str, ending: Ending, way_back: list[str]
) -> None:
    """R9: what runs is waited for, also where the wish comes twice."""
    site = any_shell_site
    site.values[command] = f'cd "$SITE_PATH"; {WAIT_FOR_GO}; echo done'
    site.launch()
    wait_until(lambda: bool(site.begun_steps()) and site.begun_steps()[-1] == ALL_STEPS[ALL_STEPS.index(before) - 1])
    assert stop(site) == stop(site) == (0, b"asked\n")
    (site.path / "go").touch()
    site.wait_for_end()
    verdict = site.verdict()
    assert (verdict.ending, verdict.detail, verdict.failed_step) == (ending, Detail.STOPPED, before)
    assert verdict.version_after == "1.0"
    assert site.begun_steps() == [*ALL_STEPS[: ALL_STEPS.index(before)], *way_back]
    assert set(site.steps().values()) == {0}
    assert stopped_before(site) == [before]
    assert nothing_of_ours_is_left(site)


def test_an_upgrade_that_is_asked_to_stop_before_anything_was_touched_just_ends(site: Site) -> None:
    """R9."""
    site.values["VERSION_COMMAND"] = f"{STOP_MYSELF}; echo 1.0"
    verdict = site.run_upgrade()
    assert (verdict.ending, verdict.detail, verdict.failed_step) == (Ending.FAILED_CLEAN, Detail.STOPPED, "check")
    assert site.begun_steps() == []
    assert not any(isinstance(event, WayBackBegun) for event in site.events())
    assert nothing_of_ours_is_left(site)


def test_after_its_point_of_no_return_an_upgrade_is_finished(any_shell_site: Site) -> None:
    """R9: not after the switch step."""
    site = any_shell_site
    site.values["RESTART_COMMAND"] = STOP_MYSELF
    assert site.run_upgrade().ending is Ending.SUCCEEDED
    assert stopped_before(site) == []
    assert site.current() == "releases/1.1"


def test_it_is_the_recipe_that_says_until_when_an_upgrade_can_be_stopped(site: Site) -> None:
    """R9."""
    changing = replace(own_recipe("true", STOP_MYSELF, "true"), point_of_no_return="own-1")
    assert site.run_upgrade(1, recipe=changing).detail is Detail.OTHER_VERSION
    assert site.begun_steps(1) == ["own-1", "own-2", "own-3"]
    assert site.run_upgrade(2, recipe=own_recipe("true", STOP_MYSELF, "true")).detail is Detail.STOPPED
    assert site.begun_steps(2) == ["own-1", "own-2"]


def test_a_failed_way_back_of_a_stopped_upgrade_needs_a_person(site: Site) -> None:
    """R9, U5."""
    site.values |= {"MIGRATE_COMMAND": f'cd "$SITE_PATH"; {STOP_MYSELF}', "MIGRATE_UNDO_COMMAND": "false"}
    verdict = site.run_upgrade()
    assert (verdict.ending, verdict.detail, verdict.failed_step) == (
        Ending.NEEDS_A_PERSON, Detail.WAY_BACK_FAILED, "undo-migrate",
    )  # fmt: skip


def test_only_what_has_begun_can_be_stopped(any_shell_site: Site) -> None:
    site = any_shell_site
    assert stop(site)[0] != 0
    site.run_upgrade()
    assert stop(site) == (0, b"asked\n")
    assert site.verdict().ending is Ending.SUCCEEDED


DOWN = {"DIRECTION": "down", "FROM_VERSION": "1.1", "TO_VERSION": "1.0"}
DATA = {
    "MIGRATE_COMMAND": 'echo "migrate by $(cat VERSION)" >>"$SITE_PATH/data"',
    "MIGRATE_UNDO_COMMAND": 'echo "undo by $(cat VERSION)" >>"$SITE_PATH/data"',
    "RESTART_COMMAND": 'echo "restart of $(cat current/VERSION)" >>data',
}


def site_that_was_upgraded(site: Site) -> Site:
    """It runs 1.1 and is to go back to 1.0, whose release is gone."""
    assert site.run_upgrade(1).ending is Ending.SUCCEEDED
    for file in (site.path / "releases" / "1.0").iterdir():
        file.unlink()
    (site.path / "releases" / "1.0").rmdir()
    site.set_artifact(make_artifact(site.path.parent, "1.0"))
    site.values |= DOWN | DATA
    return site


def test_on_the_way_down_the_newer_release_undoes_its_migrations_before_the_switch(any_shell_site: Site) -> None:
    """T4."""
    site = site_that_was_upgraded(any_shell_site)
    verdict = site.run_upgrade(2)
    assert (verdict.ending, verdict.version_after) == (Ending.SUCCEEDED, "1.0")
    assert site.current() == "releases/1.0"
    assert (site.path / "data").read_text() == "undo by 1.1\nrestart of 1.0\n"
    assert site.begun_steps(2) == ALL_STEPS


def test_a_way_down_that_fails_comes_back_up_with_its_data_migrated_again(any_shell_site: Site) -> None:
    """T4, U5."""
    site = site_that_was_upgraded(any_shell_site)
    failing_health(site)
    verdict = site.run_upgrade(2)
    assert (verdict.ending, verdict.failed_step, verdict.version_after) == (Ending.ROLLED_BACK, "health", "1.1")
    assert site.current() == "releases/1.1"
    told = ["undo by 1.1", "restart of 1.0", "migrate by 1.1", "restart of 1.1"]
    assert (site.path / "data").read_text().splitlines() == told
    assert site.releases() == {"0.9", "1.1"}


def test_a_way_down_that_is_stopped_before_its_switch_comes_back_up(site: Site) -> None:
    """T4, R9."""
    site = site_that_was_upgraded(site)
    site.values["MIGRATE_UNDO_COMMAND"] += f'; cd "$SITE_PATH"; {STOP_MYSELF}'
    verdict = site.run_upgrade(2)
    assert (verdict.ending, verdict.detail, verdict.version_after) == (Ending.ROLLED_BACK, Detail.STOPPED, "1.1")
    assert (site.path / "data").read_text().splitlines() == ["undo by 1.1", "migrate by 1.1"]


def test_the_canonical_spelling_of_the_new_version_is_the_new_version(site: Site) -> None:
    site.set_artifact(make_artifact(site.path.parent, "5.0b2"))
    site.values |= {"TO_VERSION": "5.0.0-beta.2", "TO_VERSION_CANONICAL": "5.0b2"}
    assert site.run_upgrade().ending is Ending.SUCCEEDED
    assert site.current() == "releases/5.0.0-beta.2"


def test_a_step_over_its_time_is_stopped_and_marked(site: Site) -> None:
    """U7"""
    recipe = own_recipe("sleep 60 & sleep 60; echo too far", phase=Phase.PREPARE, timeout=1)
    verdict = site.run_upgrade(recipe=recipe)
    assert (verdict.ending, verdict.detail) == (Ending.FAILED_CLEAN, Detail.STEP_TIMED_OUT)
    assert "Stopped: the time limit of 1 seconds is over.\n" in site.log()
    assert "too far" not in site.log()


def test_a_status_like_that_of_a_time_limit_is_no_time_limit(site: Site) -> None:
    verdict = site.run_upgrade(recipe=own_recipe("exit 124", phase=Phase.PREPARE))
    assert (verdict.ending, verdict.detail) == (Ending.FAILED_CLEAN, Detail.STEP_FAILED)


def test_no_step_waits_at_a_prompt(site: Site) -> None:
    """U7: standard input is closed."""
    site.run_upgrade(recipe=own_recipe("read -r answer || echo no answer"))
    assert "no answer" in site.log()


def test_an_upgrade_begins_once(any_shell_site: Site) -> None:
    site = any_shell_site
    site.run_upgrade()
    events = site.events()
    assert site.launch().stdout == b"already-begun\n"
    assert site.events() == events
    assert {path.name for path in site.work.iterdir()} == {"lock", "upgrades"}


def test_many_starts_at_once_begin_one_upgrade(site: Site) -> None:
    bundle = build_bundle(load_recipe("symlink"), site.values)
    request = lines(str(site.path), 1, FAR_AHEAD, len(bundle)) + bundle
    racers = [
        subprocess.Popen(
            ["sh", "-c", host_command("launch")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=site.environment(),
        )
        for _ in range(6)
    ]
    answers = [racer.communicate(request, timeout=30)[0].decode().strip() for racer in racers]
    assert answers.count("begun") == 1
    assert {answer.partition(" ")[0] for answer in answers} <= {"begun", "already-begun", "locked"}
    site.wait_for_end()
    assert site.steps() == dict.fromkeys(ALL_STEPS, 0)
    assert sum(isinstance(event, UpgradeBegun) for event in site.events()) == 1


def test_one_site_has_one_upgrade_at_a_time(any_shell_site: Site) -> None:
    site = any_shell_site
    site.values["BACKUP_COMMAND"] = WAIT_FOR_GO
    assert site.launch(1).stdout == b"begun\n"
    assert site.inspect(1) == [1, 1, 0]
    assert site.launch(2).stdout.startswith(b"locked upgrade 1, process ")
    assert site.inspect(2) == [0, 0, 0]
    (site.path / "go").touch()
    site.wait_for_end(1)
    assert site.verdict(1).ending is Ending.SUCCEEDED


def test_an_upgrade_does_not_begin_too_late(any_shell_site: Site) -> None:
    site = any_shell_site
    assert site.launch(not_after=1_000_000_000).stdout == b"too-late\n"
    assert site.inspect() == [0, 0, 0]
    assert {path.name for path in site.work.iterdir()} == {"lock", "upgrades"}


def test_half_a_bundle_begins_nothing(site: Site) -> None:
    bundle = build_bundle(load_recipe("symlink"), site.values)
    answer = site.run("launch", lines(str(site.path), 1, FAR_AHEAD, len(bundle)) + bundle[:-2000])
    assert answer.returncode == 1
    assert b"The bundle did not arrive whole." in answer.stderr
    assert {path.name for path in site.work.iterdir()} == {"upgrades"}


def test_a_site_that_is_not_there_is_said_to_be_missing(site: Site) -> None:
    answer = site.run("launch", lines(str(site.path / "nowhere"), 1, FAR_AHEAD, 0))
    assert answer.returncode == 1
    assert b"nowhere" in answer.stderr
    assert site.run("inspect", lines(str(site.path / "nowhere"), 1)).returncode == 1


def kill_runner(site: Site, folder: Path) -> None:
    pid_file = folder / "runner.pid"
    wait_until(lambda: pid_file.exists() and pid_file.read_text().strip() != "")
    os.kill(int(pid_file.read_text()), signal.SIGKILL)


def test_a_runner_killed_before_a_change_failed_clean(site: Site) -> None:
    site.values["BACKUP_COMMAND"] = f"{TELL_RUNNER}; {WAIT_FOR_GO}"
    site.launch()
    kill_runner(site, site.path)
    (site.path / "go").touch()
    wait_until(lambda: site.inspect() == [1, 0, 0])
    assert [kind for kind, _, _ in site.follow()] == ["E", "L", "G"]
    verdict = site.verdict()
    assert (verdict.ending, verdict.failed_step) == (Ending.FAILED_CLEAN, "backup")
    assert verdict.detail is Detail.RUNNER_GONE


def test_a_runner_killed_in_a_change_needs_a_person(any_shell_site: Site) -> None:
    """The step goes on; until it is over, its site stays locked."""
    site = any_shell_site
    release = site.path / "releases" / "1.1"
    site.values["MIGRATE_COMMAND"] = f"{TELL_RUNNER}; {WAIT_FOR_GO}; touch migrated"
    site.launch(1)
    kill_runner(site, release)
    assert site.inspect(1) == [1, 1, 0]
    assert site.launch(2).stdout.startswith(b"locked upgrade 1, process ")
    (release / "go").touch()
    wait_until(lambda: site.inspect(1) == [1, 0, 0])
    assert (release / "migrated").exists()
    assert site.verdict(1).ending is Ending.NEEDS_A_PERSON
    assert site.launch(2).stdout == b"begun\n"
    site.wait_for_end(2)


def test_a_daemon_that_a_restart_starts_survives_and_holds_nothing(any_shell_site: Site) -> None:
    site = any_shell_site
    site.values["RESTART_COMMAND"] = "sleep 300 >/dev/null 2>&1 & echo $! >daemon.pid"
    assert site.run_upgrade(1).ending is Ending.SUCCEEDED
    daemon = int((site.path / "daemon.pid").read_text())
    try:
        held = {os.readlink(entry) for entry in Path(f"/proc/{daemon}/fd").iterdir()}
        assert not [name for name in held if ".releasemgr" in name]
        site.set_artifact(make_artifact(site.path.parent, "1.2"))
        site.values |= {"FROM_VERSION": "1.1", "TO_VERSION": "1.2", "RESTART_COMMAND": ""}
        assert site.run_upgrade(2).ending is Ending.SUCCEEDED
        os.kill(daemon, 0)
    finally:
        os.kill(daemon, signal.SIGKILL)


def test_a_daemon_that_keeps_its_output_does_not_hold_the_runner_up(site: Site) -> None:
    site.values["RESTART_COMMAND"] = "sleep 300 & echo $! >daemon.pid"
    try:
        assert site.run_upgrade().ending is Ending.SUCCEEDED
    finally:
        os.kill(int((site.path / "daemon.pid").read_text()), signal.SIGKILL)


NASTY = "$(touch owned) `touch owned` ; touch owned & 'it''s' \"x\" * \\n %s ü – 日本 #"


def test_no_value_is_read_as_a_command(tmp_path: Path) -> None:
    """U8"""
    (tmp_path / "cwd").mkdir()
    for shell in ("dash", "bash"):
        site = Site(tmp_path / shell / NASTY.replace("/", ""), shell=shell)
        site.values |= {"SITE": NASTY, "HOST": f"  {NASTY}  ", "ARTIFACT_SHA256": NASTY}
        tell = 'printf "<%s>\\n" "$SITE" "$HOST" "$ARTIFACT_SHA256" "$SITE_PATH"; pwd'
        site.run_upgrade(recipe=own_recipe(tell))
        shown = [NASTY, f"  {NASTY}  ", NASTY, str(site.path)]
        assert site.log() == "$ own-1\n" + "".join(f"<{text}>\n" for text in shown) + f"{site.path}\n"
        assert not list(tmp_path.rglob("owned"))


def test_a_site_with_a_strange_path_is_upgraded(tmp_path: Path) -> None:
    site = Site(tmp_path / 'it\'s $(touch owned) a "site" ü')
    site.values["RESTART_COMMAND"] = "pwd"
    assert site.run_upgrade().ending is Ending.SUCCEEDED
    assert not list(tmp_path.rglob("owned"))
    assert f"$ restart\n{site.path}\n" in site.log()


def test_a_release_is_used_again_only_when_it_is_complete_and_the_same(site: Site) -> None:
    failing_health(site)
    there = site.path / "releases" / "1.1"
    there.mkdir()
    (there / "VERSION").write_text("1.1\n")
    assert site.run_upgrade(1).failed_step == "unpack"
    assert (there / "VERSION").exists()
    (there / ".releasemgr-release").write_text(site.values["ARTIFACT_SHA256"] + "\n")
    verdict = site.run_upgrade(2)
    assert (verdict.ending, verdict.failed_step) == (Ending.ROLLED_BACK, "health")
    assert (there / "VERSION").exists(), "the way back leaves what was there before"


def upgrade_to(site: Site, number: int, old: str, new: str) -> None:
    site.set_artifact(make_artifact(site.path.parent, new))
    site.values |= {"FROM_VERSION": old, "TO_VERSION": new}
    assert site.run_upgrade(number).ending is Ending.SUCCEEDED


def test_pruning_keeps_the_newest_the_current_and_the_one_to_go_back_to(any_shell_site: Site) -> None:
    site = any_shell_site
    site.values["KEEP_RELEASES"] = "1"
    upgrade_to(site, 1, "1.0", "1.1")
    assert site.releases() == {"1.0", "1.1"}
    upgrade_to(site, 2, "1.1", "1.2")
    assert site.releases() == {"1.1", "1.2"}


def test_failed_releases_never_push_out_good_ones(site: Site) -> None:
    for name in ("2.0", "2.1", "2.2"):
        failed = site.path / "releases" / name
        failed.mkdir()
        (failed / ".releasemgr-release").write_text("f" * 64)
    site.values["KEEP_RELEASES"] = "3"
    upgrade_to(site, 1, "1.0", "1.1")
    assert site.releases() == {"0.9", "1.0", "1.1"}


def test_old_upgrades_are_pruned_beyond_twenty(site: Site) -> None:
    for number in range(1, 26):
        site.upgrade(number).mkdir(parents=True)
    upgrade_to(site, 40, "1.0", "1.1")
    assert {int(path.name) for path in (site.work / "upgrades").iterdir()} == {40, *range(7, 26)}


@contextmanager
def web_site(*statuses: int, body: bytes = b"") -> Iterator[str]:
    """Answers with each status in turn, and with the last one from then on."""
    left = list(statuses)

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(left.pop(0) if len(left) > 1 else left[0])
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def test_the_health_check_is_patient(any_shell_site: Site) -> None:
    site = any_shell_site
    with web_site(502, 200) as url:
        site.values |= {"HEALTH_URL": url, "HEALTH_TIMEOUT": "20"}
        assert site.run_upgrade().ending is Ending.SUCCEEDED
    assert f"{url} answers: 502\n{url} answers 200.\n" in site.log()


def without(site: Site, *programs: str) -> bytes:
    """The head of a script that finds everything but these programs."""
    bin_folder = Path(site.environment()["PATH"].split(":")[0])
    for folder in ("/usr/bin", "/bin"):
        for program in Path(folder).iterdir():
            if program.name not in (*programs, "sh") and not (bin_folder / program.name).exists():
                (bin_folder / program.name).symlink_to(program)
    return f"PATH={bin_folder}\nexport PATH\n".encode()


@pytest.mark.parametrize("missing", [("curl",), ("curl", "wget")])
def test_the_health_check_works_without_curl_and_without_wget(site: Site, missing: tuple[str, ...]) -> None:
    head = without(site, *missing)
    with web_site(503, 200, body=b"out of order") as url:
        site.values |= {"HEALTH_URL": url, "HEALTH_TIMEOUT": "20", "VERSION_URL": ""}
        recipe = load_recipe("symlink")
        recipe = replace(recipe, scripts={**recipe.scripts, "health.sh": head + recipe.scripts["health.sh"]})
        assert site.run_upgrade(recipe=recipe).ending is Ending.SUCCEEDED
    assert f"{url} answers 200." in site.log()
    assert "503" in site.log()


def test_what_an_ill_site_says_of_itself_stands_in_the_log(site: Site) -> None:
    with web_site(500, body="plugin ‘legacy_reports’ cannot be imported\n".encode()) as url:
        site.values |= {"HEALTH_URL": url, "HEALTH_TIMEOUT": "1"}
        assert site.run_upgrade().ending is Ending.ROLLED_BACK
    assert f"{url} answers: 500: plugin ‘legacy_reports’ cannot be imported\n" in site.log()


def test_the_version_is_read_from_the_site_s_page(site: Site) -> None:
    with web_site(200, body=b"v1.0.0\nsecond line\n") as url:
        site.values["VERSION_URL"] = url
        assert ask_version(site) == (0, "v1.0.0\n")
        head = without(site, "curl", "wget")
        request = lines(10) + value_lines(site.values) + b"\n" + head + load_recipe("symlink").version_program
        assert site.run("version", request).stdout == b"v1.0.0\n"


def ask_version(site: Site) -> tuple[int, str]:
    request = lines(10) + value_lines(site.values) + b"\n" + load_recipe("symlink").version_program
    answer = site.run("version", request)
    return answer.returncode, answer.stdout.decode()


def test_the_version_is_read_by_the_site_s_own_command(any_shell_site: Site) -> None:
    site = any_shell_site
    assert ask_version(site) == (0, "1.0\n")
    site.values["VERSION_COMMAND"] = 'echo "it\'s $(cat current/VERSION)"; echo more'
    assert ask_version(site) == (0, "it's 1.0\n")
    site.values["VERSION_COMMAND"] = "exit 5"
    assert ask_version(site)[0] != 0


def test_following_from_anywhere_gives_the_same_bytes(any_shell_site: Site) -> None:
    """U3: no log line is lost or doubled."""
    site = any_shell_site
    site.values["BACKUP_COMMAND"] = "head -c 700000 /dev/zero | tr '\\0' 'x'; printf '\\377 and no line end'"
    site.run_upgrade()
    log = (site.upgrade(1) / "log").read_bytes()
    events = (site.upgrade(1) / "events").read_bytes()
    for log_offset, events_offset in [
        (0, 0),
        (17, 0),
        (300_001, events.index(b"\n") + 1),
        (len(log), len(events)),
    ]:
        frames = site.follow(1, log_offset, events_offset)
        assert b"".join(data for kind, _, data in frames if kind == "L") == log[log_offset:]
        assert b"".join(data for kind, _, data in frames if kind == "E") == events[events_offset:]
        assert max(len(data) for _, _, data in frames) <= 262144
        assert frames[-1] == ("D", 0, b"completed\n")


def test_a_follower_sends_what_comes_and_only_whole_events(site: Site) -> None:
    site.values["BACKUP_COMMAND"] = "echo half way; " + WAIT_FOR_GO
    site.launch()
    with subprocess.Popen(
        ["sh", "-c", host_command("follow")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as follower:
        assert follower.stdin
        assert follower.stdout
        follower.stdin.write(lines(str(site.path), 1, 0, 0))
        follower.stdin.close()
        wait_until(lambda: "half way" in site.log())
        with (site.upgrade(1) / "events").open("ab") as events:
            events.write(b"1.0 torn")
        seen = b""
        while b"half way" not in seen:
            seen += os.read(follower.stdout.fileno(), 65536)
        with (site.upgrade(1) / "events").open("ab") as events:
            events.write(b" apart\n")
        (site.path / "go").touch()
        seen += follower.stdout.read()
    frames = read_frames(seen)
    pieces = [data for kind, _, data in frames if kind == "E"]
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert b"".join(pieces) == (site.upgrade(1) / "events").read_bytes()
    assert b"1.0 torn apart\n" in b"".join(pieces)


def test_a_follower_ends_by_itself_when_nobody_reads(site: Site) -> None:
    """Also where the SSH server has its processes ignore broken pipes."""
    site.values["BACKUP_COMMAND"] = WAIT_FOR_GO
    site.launch()
    with subprocess.Popen(
        ["sh", "-c", host_command("follow")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        restore_signals=False,
    ) as follower:
        assert follower.stdin
        assert follower.stdout
        follower.stdin.write(lines(str(site.path), 1, 0, 0))
        follower.stdin.close()
        seen = b""
        while b"start prepare 4 backup" not in seen:
            seen += os.read(follower.stdout.fileno(), 65536)
        follower.stdout.close()
        assert follower.wait(10) != 0
    (site.path / "go").touch()
    site.wait_for_end()


def test_the_next_upgrade_may_begin_as_soon_as_the_result_stands(site: Site) -> None:
    site.launch(1)
    wait_until(lambda: site.result(1) is not None)
    assert site.launch(2).stdout == b"begun\n"
    site.wait_for_end(2)
    assert site.verdict(2).ending is Ending.ALREADY_THERE


def test_where_nothing_is_to_follow_its_traces_have_vanished(site: Site) -> None:
    assert site.follow() == [("V", 0, b"")]


def test_the_same_number_sent_twice_at_once_is_not_taken_for_another_upgrade(site: Site) -> None:
    """U1: the first holds the lock a moment before its directory stands."""
    site.work.mkdir()
    (site.work / "upgrades").mkdir()
    with (site.work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        threading.Timer(0.5, site.upgrade(1).mkdir).start()
        assert site.launch().stdout == b"already-begun\n"
        assert site.launch(2).stdout.startswith(f"locked {account()}, process {os.getpid()}: ".encode())


def test_who_holds_a_site_s_lock_is_said(any_shell_site: Site) -> None:
    """Such as a deployment of another system, which takes the lock as docs/recipes.md tells."""
    site = any_shell_site
    site.work.mkdir()
    (site.work / "upgrades").mkdir()
    deployment = subprocess.Popen(["flock", ".releasemgr/lock", "sh", "-c", WAIT_FOR_GO], cwd=site.path)
    try:
        wait_until(lambda: site.launch(7).stdout.startswith(b"locked "))
        said = site.launch(8).stdout.decode()
        assert said.startswith(f"locked {account()}, process {deployment.pid}: flock .releasemgr/lock sh -c n=0;")
        assert "\n" not in said.removesuffix("\n")
    finally:
        site.let_go()
        deployment.wait(10)


def account() -> str:
    return subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout.strip()


def receive(site: Site, path: Path, sha256: str, data: bytes) -> "subprocess.CompletedProcess[bytes]":
    return site.run("receive", lines(sha256, path.stat().st_size) + data)


def test_an_artifact_is_taken_once_and_only_whole(any_shell_site: Site) -> None:
    site = any_shell_site
    path, sha256 = Path(site.values["ARTIFACT"]), site.values["ARTIFACT_SHA256"]
    cached = site.path.parent / ".releasemgr" / "artifacts" / sha256
    data = path.read_bytes()
    assert receive(site, path, sha256, b"x" * len(data)).returncode == 1
    assert list(cached.parent.iterdir()) == []
    answer = receive(site, path, sha256, data)
    assert answer.stdout.decode() == f"send 0\nhave {cached}\n"
    assert receive(site, path, sha256, b"").stdout.decode() == f"have {cached}\n"
    cached.write_bytes(b"x" * len(data))
    assert receive(site, path, sha256, data).stdout.decode() == f"send 0\nhave {cached}\n"
    assert cached.read_bytes() == data


def test_an_artifact_whose_sending_broke_off_is_gone_on_with(any_shell_site: Site) -> None:
    """A slice of minutes, or a poor link, must not begin a large one from its start for ever."""
    site = any_shell_site
    path, sha256 = Path(site.values["ARTIFACT"]), site.values["ARTIFACT_SHA256"]
    cached = site.path.parent / ".releasemgr" / "artifacts" / sha256
    data = path.read_bytes()
    assert receive(site, path, sha256, data[:40]).returncode == 1
    assert not cached.exists()
    with (site.path.parent / ".releasemgr" / "receiving").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert receive(site, path, sha256, data[:50]).stdout == b"send 0\n"
    assert [file.name for file in cached.parent.iterdir()] == [f"arriving.{sha256}"]
    answer = receive(site, path, sha256, data[40:])
    assert answer.stdout.decode() == f"send 40\nhave {cached}\n"
    assert cached.read_bytes() == data


def test_shellcheck_has_nothing_to_say() -> None:
    scripts = [str(path) for path in sorted(SHIPPED.glob("*/*.sh"))]
    assert len(scripts) > 15
    shellcheck = Path(sys.executable).parent / "shellcheck"
    answer = subprocess.run([shellcheck, "--shell=sh", *scripts], capture_output=True, text=True, check=False)
    assert (answer.stdout, answer.returncode) == ("", 0)


def test_no_script_has_windows_line_ends() -> None:
    for path in SHIPPED.rglob("*.sh"):
        assert b"\r" not in path.read_bytes(), path


# Secrets (U8).

SECRETS = {"TOKEN": b"a b\n\nc'$x \xff\n", "KEY": b"-----BEGIN\nend"}


def with_secrets(site: Site, number: int = 1) -> None:
    bundle = build_bundle(load_recipe("symlink"), site.values, SECRETS)
    answer = site.run("launch", lines(str(site.path), number, FAR_AHEAD, len(bundle)) + bundle)
    assert answer.stdout == b"begun\n", answer
    site.wait_for_end(number)


def test_u8_secrets_of_any_lines_are_in_the_environment_of_steps_and_in_no_file(any_shell_site: Site) -> None:
    site = any_shell_site
    site.values["BACKUP_COMMAND"] = 'printf "%s" "$TOKEN" >"$SITE_PATH/token"; printf "%s" "$KEY" >"$SITE_PATH/key"'
    site.values["MIGRATE_COMMAND"] = '[ ! -e "$BUNDLE/secrets" ]'
    with_secrets(site)
    assert site.verdict().ending is Ending.SUCCEEDED, site.log()
    assert (site.path / "token").read_bytes() == SECRETS["TOKEN"]
    assert (site.path / "key").read_bytes() == SECRETS["KEY"]
    assert not [path for path in site.work.rglob("*") if path.is_file() and b"BEGIN" in path.read_bytes()]


def test_u8_a_way_back_that_is_run_again_is_given_its_secrets_again(any_shell_site: Site) -> None:
    site = any_shell_site
    site.values["MIGRATE_COMMAND"] = "false"
    site.values["MIGRATE_UNDO_COMMAND"] = '[ "$TOKEN" = new-one ]'
    with_secrets(site)
    assert site.verdict().ending is Ending.NEEDS_A_PERSON
    ground = Ground(str(site.path), 1)
    assert site.run("back", back_request(ground, 1, None)).stdout == b"no-secrets\n"
    assert site.result() is not None
    request = back_request(ground, 1, build_secrets({"TOKEN": b"new-one"}))
    cut = site.run("back", request[:-5000])
    assert (cut.stdout, b"did not arrive whole" in cut.stderr) == (b"", True)
    assert site.run("back", request).stdout == b"begun\n"
    site.wait_for_end()
    assert site.verdict().ending is Ending.ROLLED_BACK, site.log()
    assert site.run("back", back_request(ground, 1, None)).stdout == b"already-begun\n"
    assert not list(site.work.glob("incoming.*"))
    assert not [path for path in site.work.rglob("*") if path.is_file() and path.read_bytes() == b"new-one"]
