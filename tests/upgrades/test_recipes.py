"""Recipes, their bundle, the journal and the verdict: all without a shell."""

import io
import re
import tarfile
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upgrades.exceptions import RecipeInvalid
from upgrades.recipes.bundle import build_bundle, build_secrets
from upgrades.recipes.commands import host_command, lines, value_lines
from upgrades.recipes.journal import (
    Event,
    Journal,
    StepEnded,
    StepStarted,
    Stopped,
    Unreadable,
    UpgradeBegun,
    VersionMissing,
    VersionRead,
    WayBackBegun,
    read_event,
)
from upgrades.recipes.reading import known_recipes, load_recipe, read_recipe
from upgrades.recipes.recipe import FORWARD, Kind, Phase, Recipe
from upgrades.recipes.recipe_file import SHARED, Complaint
from upgrades.recipes.toml_lines import line_of
from upgrades.recipes.verdict import Detail, Ending, Remains, judge, same_version

GOOD = """\
title = "Ours"
version = "version.sh"

[[steps]]
name = "stop"
title = "Stop"
phase = "change"
run = "stop.sh"
timeout = 60

[[way_back]]
name = "start"
title = "Start again"
undoes = "stop"
run = "start.sh"
timeout = 60
"""
SECOND = """
[[steps]]
name = "{name}"
title = "Second"
phase = "{phase}"
run = "stop.sh"
timeout = 60
"""


def write_recipe(folder: Path, text: str, name: str = "ours") -> Path:
    (folder / name).mkdir()
    (folder / name / "recipe.toml").write_text(text, encoding="utf-8")
    for script in ("version.sh", "stop.sh", "start.sh"):
        (folder / name / script).write_text("true\n")
    return folder / name / "recipe.toml"


def test_the_shipped_recipe_has_its_steps_in_order() -> None:
    recipe = load_recipe("symlink")
    assert [step.name for step in recipe.steps] == [
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
    places = [FORWARD.index(step.phase) for step in recipe.steps]
    assert places == sorted(places)
    assert [step.undoes for step in recipe.way_back] == ["switch", "migrate", "restart", "unpack"]
    assert {step.phase for step in recipe.way_back} == {Phase.BACK}


def test_a_team_s_own_recipe_is_read_from_its_folder(tmp_path: Path) -> None:
    write_recipe(tmp_path, GOOD)
    recipe = load_recipe("ours", [tmp_path])
    assert (recipe.name, recipe.title, recipe.version_program) == ("ours", "Ours", b"true\n")
    assert [step.timeout for step in recipe.steps] == [60]


def test_a_team_s_own_recipe_wins_over_the_shipped_one(tmp_path: Path) -> None:
    write_recipe(tmp_path, GOOD, "symlink")
    assert load_recipe("symlink", [tmp_path]).title == "Ours"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('title = "Ours"', "", "title: a text is needed"),
        ('title = "Ours"', 'title = "Ours"\nauthor = "me"', "author: unknown key"),
        ('title = "Ours"', "title = [", "Invalid"),
        ('phase = "change"', 'phase = "deploy"', "steps[1].phase: “deploy” is none of check, prepare"),
        ('phase = "change"', 'phase = "back"', "steps[1].phase: “back” is none of"),
        ('phase = "change"', 'phase = "change"\nretries = 3', "steps[1].retries: unknown key"),
        ('run = "stop.sh"', 'run = "halt.sh"', "steps[1].run: there is no file halt.sh beside it"),
        ('run = "stop.sh"', 'run = "../stop.sh"', "steps[1].run: “../stop.sh” is no name of a script"),
        ('version = "version.sh"', 'version = "v.sh"', "version: there is no file v.sh beside it"),
        ('run = "stop.sh"\ntimeout = 60', 'run = "stop.sh"\ntimeout = 0', "steps[1].timeout: whole seconds"),
        ('run = "stop.sh"', "", "steps[1].run: either this, a script, or command, one line of shell"),
        ('run = "stop.sh"', 'run = "stop.sh"\ncommand = "true"', "steps[1].run: either this, a script, or command"),
        ('run = "stop.sh"', 'command = " "', "steps[1].command: a text is needed"),
        ('run = "stop.sh"', 'command = "a\\nb"', "steps[1].command: one line; what needs more is a script"),
        ('run = "stop.sh"', 'command = """a\nb"""', "steps[1].command: one line"),
        ('run = "start.sh"', 'command = "a\\r"', "way_back[1].command: one line"),
        ('version = "version.sh"', "", "version: either this, a script, or version_command, one line of shell"),
        ('version = "version.sh"', 'version_command = "\\u0000"', "version_command: one line"),
        (
            'run = "stop.sh"\ntimeout = 60',
            'run = "stop.sh"\ntimeout = true',
            "steps[1].timeout: whole seconds",
        ),
        ('run = "stop.sh"\ntimeout = 60', 'run = "stop.sh"', "steps[1].timeout: whole seconds"),
        ('name = "stop"', 'name = "Stop it"', "steps[1].name: “Stop it”"),
        ('undoes = "stop"', 'undoes = "halt"', "way_back[1].undoes: there is no step “halt”"),
        ('name = "start"', 'name = "stop"', "way_back[1].name: “stop” is the name of a step already"),
        ("\n\n", '\npoint_of_no_return = "halt"\n\n', "point_of_no_return: there is no step “halt”"),
        ("\n\n", "\npoint_of_no_return = 6\n\n", "point_of_no_return: a text is needed"),
        (
            "\n\n",
            '\npoint_of_no_return = "look"\n\n' + SECOND.format(name="look", phase="verify") + "\n",
            "point_of_no_return: “look” (verify) comes after what is changed",
        ),
        ("[[way_back]]", "[way_back]", "way_back: written as [[way_back]] tables"),
        ("\n\n", "\nvalues = 1\n\n", "values: written as a [values] table"),
        ("[[way_back]]", '[values]\npackage = "a"\n[[way_back]]', "values.package: capital letters, digits"),
        ("[[way_back]]", "[values]\nA = 1\n[[way_back]]", "values.A: a text of one line"),
        ("[[way_back]]", '[values]\nA = "b\\n"\n[[way_back]]', "values.A: a text of one line"),
        ("[[way_back]]", '[values]\nSITE = "a"\n[[way_back]]', "values.SITE: has a meaning of its own already"),
        (
            "[[way_back]]",
            SECOND.format(name="stop", phase="change") + "[[way_back]]",
            "steps[2].name: “stop” is the name of a step already",
        ),
        (
            "[[way_back]]",
            SECOND.format(name="look", phase="check") + "[[way_back]]",
            "steps[2].phase: “look” (check) comes after “stop” (change)",
        ),
    ],
)
def test_an_invalid_recipe_names_the_file_and_the_key(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in GOOD
    path = write_recipe(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(RecipeInvalid) as caught:
        load_recipe("ours", [tmp_path])
    assert str(caught.value).startswith(f"{path}: ")
    assert complaint in str(caught.value)


FAULTY = """\
title = ""
author = "me"

[[steps]]
name = "stop"
title = '''
phase = "never"
[[steps]] ''' # a text of several lines, with what looks like keys in it
phase = "deploy"
run = "stop.sh"
timeout = 60

[[ steps ]]
name = "Stop it"
title = "Stop"
phase = "check"
command = "true"
run = "stop.sh"

[[way_back]]
name = "stop"
title = "Start again"
undoes = "halt"
run = "start.sh"
timeout = "60"
"""


def test_all_that_is_wrong_in_a_recipe_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, FAULTY)
    recipe, complaints = read_recipe(path)
    assert recipe is None
    assert [(one.line, one.key) for one in complaints] == [
        (None, "version"),
        (1, "title"),
        (2, "author"),
        (9, "steps[1].phase"),
        (13, "steps[2].timeout"),
        (14, "steps[2].name"),
        (18, "steps[2].run"),
        (21, "way_back[1].name"),
        (23, "way_back[1].undoes"),
        (25, "way_back[1].timeout"),
    ]
    with pytest.raises(RecipeInvalid, match=r"recipe\.toml: version: either .*\. And 9 more\.$"):
        load_recipe("ours", [tmp_path])


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('title = "Ours"\n\nversion = [\n\n', 3, "Invalid value (at end of document)."),
        ('title = "Ours"\ntitle = "Mine"\n', 2, "Cannot overwrite a value (at line 2, column 15)."),
        ('title = "Ours"\n\ufffd', 2, "Invalid statement (at line 2, column 1)."),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = write_recipe(tmp_path, text)
    assert read_recipe(path) == (None, [Complaint("", said, line)])


def test_a_file_that_is_no_text_or_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, GOOD)
    path.write_bytes(b'title = "Ours"\n# \xff\n')
    [complaint] = read_recipe(path)[1]
    assert (complaint.line, complaint.text[:16]) == (2, "It is not UTF-8:")
    path.unlink()
    path.mkdir()
    assert read_recipe(path)[1] == [Complaint("", "It cannot be read: Is a directory.", None)]


def test_a_key_that_stands_in_no_line_of_its_own_is_told_at_its_table(tmp_path: Path) -> None:
    """Of a list written in one line, too."""
    assert line_of('[[steps]]\nname = "a"\n', "steps[1].phase") == 1
    assert line_of('\nsteps = [{name = "a"}]\n', "steps[1].phase") == 2
    assert line_of('title = \'it is \\\'\nversion = "\\"\\"\\""\nsteps = 1\n', "steps") == 3
    assert line_of("", "steps[1].phase") is None


LINES = (
    GOOD.replace('version = "version.sh"', """version_command = 'cat "VERSION"'""")
    .replace('run = "stop.sh"', "command = 'systemctl stop \"acme@$SITE\" # ü'")
    .replace('run = "start.sh"', """command = 'systemctl start "acme@$SITE"'""")
)


def test_one_line_of_shell_stands_in_the_recipe_itself_and_travels_as_a_script(tmp_path: Path) -> None:
    write_recipe(tmp_path, LINES)
    recipe = load_recipe("ours", [tmp_path])
    assert [recipe.scripts[step.run].decode() for step in (*recipe.steps, *recipe.way_back)] == [
        'systemctl stop "acme@$SITE" # ü\n',
        'systemctl start "acme@$SITE"\n',
    ]
    files = files_of(build_bundle(recipe, {}))
    assert files["version.sh"] == recipe.version_program == b'cat "VERSION"\n'
    assert files["plan"].decode().splitlines() == [
        "change 1 stop 60 stop.command -",
        "back 1 start 60 start.command stop",
    ]
    assert files["steps/start.command"] == b'systemctl start "acme@$SITE"\n'


FABFILE = """\
kind = "fabfile"
title = "Our fabfile"
version = "version.sh"
fabfile = "/srv/deploy/fabfile.py"
python = "/srv/deploy/.venv/bin/python"
task = "deploy"
rollback_task = "ops.rollback"
timeout = 60

[parameters]
host = "-H"
version = "--version"
"""


def test_a_recipe_may_name_a_task_of_a_fabfile_whose_steps_run_here(tmp_path: Path) -> None:
    write_recipe(tmp_path, FABFILE)
    recipe = load_recipe("ours", [tmp_path])
    assert recipe.kind is Kind.FABFILE
    assert [(step.phase, step.name) for step in recipe.steps] == [
        (Phase.CHECK, "check"), (Phase.CHANGE, "deploy"), (Phase.VERIFY, "health"), (Phase.FINISH, "prune"),
    ]  # fmt: skip
    assert [(step.name, step.undoes) for step in recipe.way_back] == [("rollback", "deploy")]
    assert recipe.point_of_no_return == "deploy"
    assert recipe.fixed == {
        "FAB_FILE": "/srv/deploy/fabfile.py",
        "FAB_PYTHON": "/srv/deploy/.venv/bin/python",
        "FAB_TASK": "deploy",
        "FAB_ROLLBACK_TASK": "ops.rollback",
        "FAB_PARAMETERS": "host=-H version=--version",
    }
    files = files_of(build_bundle(recipe, {}))
    assert files["steps/site-version"] == recipe.version_program == b"true\n"
    assert files["version.sh"] == files["steps/fab-version.sh"] != recipe.version_program


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"fabfile"', '"fabric"', "kind: one of host, fabfile"),
        ("/srv/deploy/f", "f", "fabfile: an absolute path on the dashboard's machine"),
        ('python = "/srv/deploy/.venv/bin/python"', "", "python: a text is needed"),
        ('"deploy"', '"deploy; rm"', "task: “deploy; rm” is no name of a task"),
        ('"ops.rollback"', '"-x"', "rollback_task: “-x” is no name of a task"),
        ("timeout = 60", 'timeout = 60\nknown_hosts = "/nowhere"', "known_hosts: there is no file /nowhere"),
        ("timeout = 60", 'timeout = 60\nsteps = "a"', "steps: unknown key"),
        ("timeout = 60", "", "timeout: whole seconds"),
        ("[parameters]", "[values]", "parameters: written as a [parameters] table"),
        ('\nversion = "--version"', "", "parameters: written as a [parameters] table, with version"),
        ('host = "-H"', 'server = "-H"', "parameters.server: unknown; known are version, site, path, host, artifact"),
        ('host = "-H"', 'host = "$(x)"', "parameters.host: a long option of the task, such as --site, or -H"),
    ],
)
def test_an_invalid_recipe_of_a_fabfile_names_the_key(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in FABFILE
    path = write_recipe(tmp_path, FABFILE.replace(old, new, 1))
    assert [one for one in read_recipe(path)[1] if str(one).startswith(complaint)]


@pytest.mark.parametrize(
    ("more", "phase", "point"),
    [
        ('point_of_no_return = "stop"\n', "prepare", "stop"),
        ("", "prepare", "second"),
        ("", "check", "second"),
        ("", "change", "stop"),
    ],
)
def test_the_point_of_no_return_is_the_named_step_or_the_first_that_changes(
    tmp_path: Path, more: str, phase: str, point: str
) -> None:
    """R9."""
    text = more + GOOD.replace('phase = "change"', f'phase = "{phase}"')
    second = SECOND.format(name="second", phase="change")
    write_recipe(tmp_path, text.replace("[[way_back]]", second + "\n[[way_back]]"))
    recipe = load_recipe("ours", [tmp_path])
    assert recipe.point_of_no_return == point
    assert load_recipe("symlink").point_of_no_return == "switch"


def test_what_only_prepares_can_be_stopped_before_every_step(tmp_path: Path) -> None:
    """R9."""
    write_recipe(tmp_path, GOOD.replace('phase = "change"', 'phase = "prepare"'))
    assert load_recipe("ours", [tmp_path]).point_of_no_return is None


def test_a_recipe_needs_a_step(tmp_path: Path) -> None:
    write_recipe(tmp_path, GOOD.partition("[[")[0])
    with pytest.raises(RecipeInvalid, match="steps: a recipe has at least one step"):
        load_recipe("ours", [tmp_path])


def test_windows_line_ends_are_refused(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, GOOD)
    (path.parent / "stop.sh").write_bytes(b"true\r\n")
    with pytest.raises(RecipeInvalid, match=r"stop\.sh has Windows line ends"):
        load_recipe("ours", [tmp_path])


@pytest.mark.parametrize("name", ["nowhere", "../symlink", "", "host"])
def test_an_unknown_recipe_is_said_to_be_unknown(name: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeInvalid, match=f"“{name}”"):
        load_recipe(name, [tmp_path])


def test_a_bundle_holds_the_plan_the_values_and_every_script() -> None:
    recipe = load_recipe("symlink")
    files = files_of(build_bundle(recipe, {"SITE": "Ä ' $x", "HOST": ""}))
    assert files["env"] == "HOST=\nSITE=Ä ' $x\n".encode()
    assert files["plan"].decode().splitlines()[5] == "change 6 switch 60 switch.sh -"
    assert files["plan"].decode().splitlines()[10] == "back 1 switch-back 60 switch-back.sh switch"
    assert files["no-return"] == b"switch\n"
    assert {"run.sh", "compare.sh", "version.sh", "steps/hook.sh", "steps/unpack.sh"} <= set(files)


def files_of(bundle: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(bundle)) as tar:
        return {entry.name: _content(tar, entry) for entry in tar}


def _content(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(entry)
    assert file
    return file.read()


DOCS = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")


def test_the_recipe_in_the_documentation_is_one(tmp_path: Path) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL)
    write_recipe(tmp_path, example)
    assert [step.undoes for step in load_recipe("ours", [tmp_path]).way_back] == ["stop"]


@pytest.mark.parametrize("recipe", known_recipes(), ids=lambda recipe: recipe.name)
def test_the_documentation_tells_each_step_and_each_value_of_a_shipped_recipe(recipe: Recipe) -> None:
    section = DOCS.partition(f"\n## The {recipe.name} recipe\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\| ([a-z-]+) \| ([a-z]+) \| ", section, re.MULTILINE)
    assert told == [("step", "phase"), *((step.name, step.phase) for step in recipe.steps)]
    values = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    assert re.findall(r"`([A-Z_]+)`", " ".join(values)) == list(recipe.values)


def test_the_documentation_tells_each_shared_script() -> None:
    section = DOCS.partition("`upgrades/recipes/shared`.\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    assert set(re.findall(r"`([a-z-]+\.sh)`", " ".join(rows))) == {path.name for path in SHARED.glob("*.sh")}


def test_a_script_beside_a_recipe_wins_over_the_shared_one(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, GOOD.replace("stop.sh", "health.sh"))
    shared = load_recipe("ours", [tmp_path]).scripts["health.sh"]
    assert shared == (SHARED / "health.sh").read_bytes()
    (path.parent / "health.sh").write_text("true\n")
    assert load_recipe("ours", [tmp_path]).scripts["health.sh"] == b"true\n"


def test_the_same_upgrade_gives_the_same_bundle() -> None:
    recipe = load_recipe("symlink")
    assert build_bundle(recipe, {"A": "1", "B": "2"}) == build_bundle(recipe, {"B": "2", "A": "1"})


@pytest.mark.parametrize("value", ["one\ntwo", "nul\0"])
def test_a_value_of_several_lines_is_refused_by_name(value: str) -> None:
    with pytest.raises(ValueError, match="BACKUP_COMMAND has a line end or a NUL in it"):
        build_bundle(load_recipe("symlink"), {"BACKUP_COMMAND": value})
    with pytest.raises(ValueError, match="line end"):
        lines(value)


@pytest.mark.parametrize("name", ["path", "A B", "A=B", "", "1A", "A\n"])
def test_a_value_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a value"):
        value_lines({name: "x"})


def test_host_commands_are_constant_texts() -> None:
    for name in ("launch", "follow", "inspect", "stop", "version", "receive"):
        assert host_command(name).startswith("sh -c '#")
        assert len(host_command(name)) < 10_000


AT = "1795469913.25"
WHEN = datetime(2026, 11, 23, 21, 38, 33, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("upgrade 7 1.0 5.0.0-beta.2 5.0b2", UpgradeBegun(WHEN, 7, "1.0", "5.0.0-beta.2", "5.0b2")),
        ("upgrade 7 - 1.1 -", UpgradeBegun(WHEN, 7, "", "1.1", "")),
        ("start change 5 migrate 254", StepStarted(WHEN, Phase.CHANGE, 5, "migrate", 254)),
        ("end change 5 migrate 0 305", StepEnded(WHEN, Phase.CHANGE, 5, "migrate", 0, 305, False)),
        ("end back 1 undo 124 9 timed-out", StepEnded(WHEN, Phase.BACK, 1, "undo", 124, 9, True)),
        ("version after it's v1.1  (ü) ", VersionRead(WHEN, "after", "it's v1.1  (ü)")),
        ("no-version before cat: no such file", VersionMissing(WHEN, "before", "cat: no such file")),
        ("no-version before", VersionMissing(WHEN, "before", "")),
        ("way-back-begins", WayBackBegun(WHEN)),
        ("stopped change 6 switch", Stopped(WHEN, Phase.CHANGE, 6, "switch", False)),
        ("cancelled prepare 3 unpack", Stopped(WHEN, Phase.PREPARE, 3, "unpack", True)),
    ],
)
def test_each_event_is_read(line: str, event: Event) -> None:
    assert read_event(f"{AT} {line}".encode()) == event


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"noon start change 5 migrate 254",
        b"nan start change 5 migrate 254",
        b"99999999999999999999 way-back-begins",
        b"1.0 dance",
        b"1.0 start change five migrate 254",
        b"1.0 start lunch 5 migrate 254",
        b"1.0 start change 5 migrate",
        b"1.0 end change 5 migrate 0 305 slowly",
        b"1.0 version later 1.0",
        b"1.0 version after",
        b"1.0 way-back-begins now",
        b"1.0 stopped change switch",
        b"1.0 stopped lunch 6 switch",
        b"1.0 cancelled lunch 6 switch",
        b"\xff\xfe",
    ],
)
def test_a_line_that_is_no_event_is_kept_as_such(line: bytes) -> None:
    assert read_event(line) == Unreadable(line)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_journal(data: bytes) -> None:
    assert len(Journal().feed(data)) == data.count(b"\n")


@given(st.lists(st.integers(min_value=0, max_value=120), max_size=5))
def test_pieces_of_any_size_give_the_same_events(cuts: list[int]) -> None:
    story = f"{AT} start check 1 check 0\n{AT} end check 1 check 0 69\n{AT} version after 1.0\n{AT} way".encode()
    places = [0, *sorted(min(cut, len(story)) for cut in cuts), len(story)]
    journal = Journal()
    events = [event for start, end in pairwise(places) for event in journal.feed(story[start:end])]
    assert events == Journal().feed(story)
    assert len(events) == 3


def story(*told: str) -> list[Event]:
    return Journal().feed("".join(f"{AT} {line}\n" for line in told).encode())


BEGUN = "upgrade 7 1.0 1.1 -"
PREPARED = [
    "start check 1 check 0",
    "end check 1 check 0 9",
    "start prepare 2 unpack 9",
    "end prepare 2 unpack 0 9",
]
CHANGED = ["start change 3 switch 9", "end change 3 switch 0 9"]
MIGRATED = ["start change 3 migrate 9", "end change 3 migrate 0 9"]
SWITCH_FAILED = ["start change 3 switch 9", "end change 3 switch 1 9", "way-back-begins"]
WENT_BACK = ["start back 1 switch-back 9", "end back 1 switch-back 0 9"]
BACK_FAILED = ["start back 1 switch-back 9", "end back 1 switch-back 2 9"]
STOPPED = "stopped change 3 switch"
OLD, NEW = "version after 1.0", "version after v1.1.0"


@pytest.mark.parametrize(
    ("told", "result", "ending", "detail", "failed_step"),
    [
        ([*PREPARED, *CHANGED, NEW], "completed", Ending.SUCCEEDED, Detail.NOTHING, None),
        (
            [*PREPARED, *CHANGED, NEW, "end finish 4 prune 3 9"],
            "completed",
            Ending.SUCCEEDED,
            Detail.STEP_FAILED,
            "prune",
        ),
        ([*PREPARED, *CHANGED, OLD], "completed", Ending.NEEDS_A_PERSON, Detail.OTHER_VERSION, None),
        ([*PREPARED, *CHANGED], "completed", Ending.NEEDS_A_PERSON, Detail.OTHER_VERSION, None),
        (["end check 1 check 1 9"], "failed check check", Ending.BLOCKED, Detail.STEP_FAILED, "check"),
        (
            ["end check 1 check 124 9 timed-out"],
            "failed check check",
            Ending.BLOCKED,
            Detail.STEP_TIMED_OUT,
            "check",
        ),
        (
            ["end prepare 2 unpack 1 9", OLD],
            "failed prepare unpack",
            Ending.FAILED_CLEAN,
            Detail.STEP_FAILED,
            "unpack",
        ),
        (
            ["end prepare 2 unpack 1 9", "no-version after x"],
            "failed prepare unpack",
            Ending.NEEDS_A_PERSON,
            Detail.OLD_VERSION_NOT_BACK,
            "unpack",
        ),
        (
            [*PREPARED, *SWITCH_FAILED, *WENT_BACK, OLD],
            "failed change switch",
            Ending.ROLLED_BACK,
            Detail.STEP_FAILED,
            "switch",
        ),
        (
            [*PREPARED, *SWITCH_FAILED, *WENT_BACK, NEW],
            "failed change switch",
            Ending.NEEDS_A_PERSON,
            Detail.OLD_VERSION_NOT_BACK,
            "switch",
        ),
        (
            [*PREPARED, *SWITCH_FAILED, *BACK_FAILED, OLD],
            "failed change switch",
            Ending.NEEDS_A_PERSON,
            Detail.WAY_BACK_FAILED,
            "switch",
        ),
        (
            [*PREPARED, *CHANGED, "version after 9", "way-back-begins", *WENT_BACK, OLD],
            "failed verify -",
            Ending.ROLLED_BACK,
            Detail.OTHER_VERSION,
            None,
        ),
        ([*PREPARED], None, Ending.FAILED_CLEAN, Detail.RUNNER_GONE, "unpack"),
        ([], None, Ending.FAILED_CLEAN, Detail.RUNNER_GONE, None),
        ([*PREPARED, "start change 3 switch 9"], None, Ending.NEEDS_A_PERSON, Detail.RUNNER_GONE, "switch"),
        (
            [*PREPARED, *SWITCH_FAILED, *WENT_BACK, OLD],
            None,
            Ending.NEEDS_A_PERSON,
            Detail.RUNNER_GONE,
            "switch-back",
        ),
        ([*PREPARED, *CHANGED, NEW], "", Ending.NEEDS_A_PERSON, Detail.RESULT_UNREADABLE, None),
        (
            [*PREPARED, *CHANGED, NEW],
            "failed lunch soup",
            Ending.NEEDS_A_PERSON,
            Detail.RESULT_UNREADABLE,
            None,
        ),
        ([], "already-there", Ending.NEEDS_A_PERSON, Detail.RESULT_UNREADABLE, None),
        (["stopped check 1 check"], "stopped check check", Ending.FAILED_CLEAN, Detail.STOPPED, "check"),
        (
            [*PREPARED[:2], "stopped prepare 2 unpack"],
            "stopped prepare unpack",
            Ending.FAILED_CLEAN,
            Detail.STOPPED,
            "unpack",
        ),
        ([*PREPARED, STOPPED, *WENT_BACK, OLD], "stopped change switch", Ending.FAILED_CLEAN, Detail.STOPPED, "switch"),
        (
            [*PREPARED, *MIGRATED, STOPPED, *WENT_BACK, OLD],
            "stopped change switch",
            Ending.ROLLED_BACK,
            Detail.STOPPED,
            "switch",
        ),
        (
            [*PREPARED, STOPPED, *WENT_BACK, NEW],
            "stopped change switch",
            Ending.NEEDS_A_PERSON,
            Detail.OLD_VERSION_NOT_BACK,
            "switch-back",
        ),
        (
            [*PREPARED, STOPPED, *BACK_FAILED, OLD],
            "stopped change switch",
            Ending.NEEDS_A_PERSON,
            Detail.WAY_BACK_FAILED,
            "switch-back",
        ),
        ([*PREPARED, STOPPED], None, Ending.FAILED_CLEAN, Detail.RUNNER_GONE, "unpack"),
        ([*PREPARED], "stopped change switch", Ending.NEEDS_A_PERSON, Detail.RESULT_UNREADABLE, None),
    ],
)
def test_the_verdict_follows_from_the_story(
    told: list[str], result: str | None, ending: Ending, detail: Detail, failed_step: str | None
) -> None:
    """U2, U5, U10, R9"""
    verdict = judge(story(BEGUN, "version before 1.0", *told), Remains("1.0", "1.0") if result is None else result)
    assert (verdict.ending, verdict.detail, verdict.failed_step) == (ending, detail, failed_step)
    assert verdict.version_before == "1.0"


@pytest.mark.parametrize("remains", [Remains("1.0", "1.1"), Remains("1.0", None), Remains("1.0", "1.0", whole=False)])
def test_a_runner_that_is_gone_failed_clean_only_where_the_site_says_so_and_all_was_heard(remains: Remains) -> None:
    """U2: unknown is never called unchanged."""
    assert judge(story(BEGUN, "version before 1.0", *PREPARED), remains).ending is Ending.NEEDS_A_PERSON
    assert judge([], Remains("1.0", "1.0")).ending is Ending.FAILED_CLEAN


def test_a_site_that_was_there_before_is_already_there() -> None:
    verdict = judge(story(BEGUN, "version before 1.1"), "already-there\n")
    assert (verdict.ending, verdict.version_before) == (Ending.ALREADY_THERE, "1.1")


def test_the_canonical_spelling_counts() -> None:
    """U10"""
    told = story("upgrade 7 1.0 5.0.0-beta.2 5.0b2", "version before 1.0", "version after 5.0b2")
    assert judge(told, "completed").ending is Ending.SUCCEEDED


def test_no_story_at_all_is_no_success() -> None:
    assert judge([], "completed").ending is Ending.NEEDS_A_PERSON


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1.0", "v1", True),
        (" 4.2.107\n", "4.2.107", True),
        ("V2.0.0", "2", True),
        ("10", "1", False),
        ("1.10", "1.1", False),
        ("1.0.1", "1.1", False),
        ("", "", False),
        (None, None, False),
        ("1.0", None, False),
    ],
)
def test_versions_are_compared_as_on_the_host(one: str | None, other: str | None, same: bool) -> None:
    assert same_version(one, other) is same


# Secrets.


def test_u8_a_recipe_names_its_secrets_and_they_travel_each_in_a_file_of_its_own(tmp_path: Path) -> None:
    write_recipe(tmp_path, f'secrets = ["REGISTRY_TOKEN"]\n{GOOD}')
    recipe = load_recipe("ours", [tmp_path])
    assert recipe.secrets == ("REGISTRY_TOKEN",)
    files = files_of(build_bundle(recipe, {"SITE": "x"}, {"REGISTRY_TOKEN": b"zwei\nlines"}))
    assert files.pop("secrets/REGISTRY_TOKEN") == b"zwei\nlines"
    assert not any(b"zwei" in content for content in files.values())
    assert files_of(build_secrets({"REGISTRY_TOKEN": b"x"})) == {"secrets/REGISTRY_TOKEN": b"x"}
    assert build_secrets({}) == b""
    with tarfile.open(fileobj=io.BytesIO(build_secrets({"REGISTRY_TOKEN": b"x"}))) as tar:
        assert [entry.mode for entry in tar] == [0o600]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('"TOKEN"', 'a list of names, such as ["REGISTRY_TOKEN"]'),
        ("[1]", 'a list of names, such as ["REGISTRY_TOKEN"]'),
        ('["token"]', "“token”: capital letters, digits and underscores"),
        ('["SITE_PATH"]', "“SITE_PATH” has a meaning of its own already"),
        ('["RESTART_COMMAND"]', "“RESTART_COMMAND” has a meaning of its own already"),
        ('["FAB_HOST"]', "“FAB_HOST” has a meaning of its own already"),
        ('["PACKAGE"]', "“PACKAGE” has a meaning of its own already"),
        ('["TOKEN", "TOKEN"]', "“TOKEN” has a meaning of its own already"),
    ],
)
def test_u8_what_is_no_name_of_a_secret_is_told_with_its_line(tmp_path: Path, written: str, said: str) -> None:
    path = write_recipe(tmp_path, f'# ours\nsecrets = {written}\n{GOOD}\n[values]\nPACKAGE = "acme"\n')
    assert read_recipe(path) == (None, [Complaint("secrets", said, 2)])
