"""The operators' pages say what the program does."""

import ast
import re
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from releasemgr.lib.commands import VerbCommand
from releasemgr.lib.env import Env

BASE = Path(__file__).parent.parent
APPS = ("builds", "instances", "upgrades", "releasemgr")
CONFIGURE = (BASE / "docs" / "configure.md").read_text()
INSTALL = (BASE / "docs" / "install.md").read_text()
COMMANDS = (BASE / "docs" / "commands.md").read_text()
PAGES = [BASE / "README.md", *sorted((BASE / "docs").glob("*.md"))]
READERS = {name for name in vars(Env) if not name.startswith("_")} | {"get"}


def settings_read() -> set[str]:
    """The names that the settings, and the modules they call, read from the environment."""
    files = [BASE / "releasemgr" / "settings.py", *(BASE / "releasemgr" / "lib").glob("*.py")]
    return {name for file in files for name in names_read(ast.parse(file.read_text()))}


def names_read(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=attr), args=[ast.Constant(value=str(name)), *_]):
                if attr in READERS and re.fullmatch(r"RELEASEMGR_[A-Z_]+|DATABASE_URL", name):
                    names.add(name)
    return names


def settings_explained() -> set[str]:
    return set(re.findall(r"^\| `([A-Z_]+)` \|", CONFIGURE, re.MULTILINE))


def test_every_setting_is_explained_and_every_explained_one_exists() -> None:
    assert settings_explained() == settings_read()
    assert {"DATABASE_URL", "RELEASEMGR_SECRET_KEY", "RELEASEMGR_VAR"} <= settings_read()


def test_the_install_page_uses_settings_that_exist() -> None:
    used = set(re.findall(r"^ *([A-Z_]+)=", INSTALL, re.MULTILINE))
    assert used
    assert used <= settings_explained()


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_every_command_named_exists(document: Path) -> None:
    named = set(re.findall(r"manage\.py ([a-z_]+)", document.read_text()))
    assert named <= set(get_commands())


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_every_file_that_a_page_links_to_is_there(document: Path) -> None:
    linked = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [name for name in linked if not (document.parent / name).exists()] == []


def test_the_readme_names_every_step_of_the_way_to_own_hosts() -> None:
    readme = (BASE / "README.md").read_text()
    steps = re.findall(r"^(\d+)\. ", readme.partition("your own hosts")[2], re.MULTILINE)
    assert [int(step) for step in steps] == list(range(1, 11))
    targets = set(re.findall(r"make ([a-z]+)", readme))
    assert targets <= set(re.findall(r"^([a-z]+):", (BASE / "Makefile").read_text(), re.MULTILINE))


def test_the_options_of_serve_are_explained() -> None:
    parser = load_command_class("releasemgr", "serve").create_parser("manage.py", "serve")
    common = set(BaseCommand().create_parser("", "")._option_string_actions)
    own = {option for option in parser._option_string_actions if option.startswith("--")} - common
    explained = set(re.findall(r"`(--[a-z-]+)`", INSTALL))
    assert own == explained


def test_every_verb_is_explained_with_each_of_its_options() -> None:
    rows = re.findall(r"^\| `manage\.py (\w+) ?(.*?)` \|", COMMANDS, re.MULTILINE)
    lines = dict(rows)
    assert len(lines) == len(rows)
    verbs = {name: load_command_class(app, name) for name, app in get_commands().items() if app in APPS}
    verbs = {name: command for name, command in verbs.items() if isinstance(command, VerbCommand)}
    assert set(lines) == set(verbs)
    for name, command in verbs.items():
        parser = command.create_parser("manage.py", name)
        common = set(BaseCommand().create_parser("", "")._option_string_actions) - {"--version"}
        own = {option for option in parser._option_string_actions if option.startswith("--")} - common - {"--json"}
        written = set(re.findall(r"--[a-z-]+", lines[name]))
        assert written | {"--version"} == own | {"--version"}, name
