"""Reads a recipe that names a task of the team's own fabfile. Its steps run on the dashboard's machine."""

import re
from pathlib import Path

from upgrades.recipes.recipe import Kind, Phase, Recipe, Step
from upgrades.recipes.recipe_file import RecipeFile, Table

FOLDER = Path(__file__).parent / "fabfile"
KEYS = {
    "kind", "title", "version", "version_command", "way_down", "usual_minutes", "fabfile", "python", "task",
    "rollback_task", "known_hosts", "timeout", "parameters", "values", "secrets",
}  # fmt: skip
PARAMETERS = ("version", "site", "path", "host", "artifact")
TASK = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
OPTION = re.compile(r"-H|--[a-z][a-z0-9-]*")
SITE_VERSION = "site-version"
"""The script by which the site is asked for its version, among those of the steps."""


def read_fabfile_recipe(file: RecipeFile, table: Table) -> Recipe:
    file.only_keys(table, KEYS, "")
    version, timeout = file.version_program(table), file.timeout(table, "")
    scripts = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.is_file()}
    return Recipe(
        name=file.path.parent.name,
        title=file.text(table, "title", ""),
        kind=Kind.FABFILE,
        version_script=version,
        runner_version="fab-version.sh",
        steps=(
            Step("check", "Check the fabfile", Phase.CHECK, "fab-check.sh", 120),
            Step("deploy", "Run the task", Phase.CHANGE, "fab-task.sh", timeout),
            Step("health", "Health check", Phase.VERIFY, "fab-health.sh", 3700),
            Step("prune", "Remove old logs", Phase.FINISH, "remove-old-upgrades.sh", 60),
        ),
        way_back=(Step("rollback", "Run the rollback task", Phase.BACK, "fab-rollback.sh", timeout, "deploy"),),
        scripts=file.scripts | scripts | {SITE_VERSION: file.scripts.get(version, b"")} | _known_hosts(file, table),
        values=file.values(table),
        secrets=file.secrets(table),
        fixed=_fixed(file, table),
        way_down=file.flag(table, "way_down"),
        usually=file.minutes(table, "usual_minutes"),
        point_of_no_return="deploy",
    )


def _fixed(file: RecipeFile, table: Table) -> dict[str, str]:
    """What runs on the dashboard's machine is for its recipe alone to say, and not for who may edit a site."""
    return {
        "FAB_FILE": _absolute(file, table, "fabfile"),
        "FAB_PYTHON": _absolute(file, table, "python"),
        "FAB_TASK": _task(file, table, "task"),
        "FAB_ROLLBACK_TASK": _task(file, table, "rollback_task") if "rollback_task" in table else "",
        "FAB_PARAMETERS": _parameters(file, table),
    }


def _absolute(file: RecipeFile, table: Table, key: str) -> str:
    path = file.text(table, key, "")
    if path and not Path(path).is_absolute():
        file.complain(key, "an absolute path on the dashboard's machine")
    return path


def _task(file: RecipeFile, table: Table, key: str) -> str:
    name = file.text(table, key, "")
    if name and not TASK.fullmatch(name):
        file.complain(key, f"“{name}” is no name of a task")
    return name


def _parameters(file: RecipeFile, table: Table) -> str:
    """Pairs such as `version=--version`, with a blank between."""
    given = table.get("parameters")
    if not isinstance(given, dict) or "version" not in given:
        file.complain("parameters", 'written as a [parameters] table, with version = "--version" or the like')
        return ""
    for name, option in given.items():
        if name not in PARAMETERS:
            file.complain(f"parameters.{name}", f"unknown; known are {', '.join(PARAMETERS)}")
        elif not isinstance(option, str) or not OPTION.fullmatch(option):
            file.complain(f"parameters.{name}", "a long option of the task, such as --site, or -H for the host")
    return " ".join(f"{name}={option}" for name, option in given.items())


def _known_hosts(file: RecipeFile, table: Table) -> dict[str, bytes]:
    """Keys of further hosts that a task connects to, such as a gateway; the site's own is added to them."""
    if "known_hosts" not in table:
        return {"known_hosts": b""}
    path = Path(_absolute(file, table, "known_hosts"))
    if path.is_file():
        return {"known_hosts": path.read_bytes().rstrip() + b"\n"}
    file.complain("known_hosts", f"there is no file {path}")
    return {}
