"""Looks a recipe over before a night does: its file, its scripts, its way back."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upgrades.recipes.reading import read_recipe
from upgrades.recipes.recipe import Kind, Phase, Recipe
from upgrades.recipes.toml_lines import line_of

LEFT_OUT = "SC1017,SC1090,SC1091,SC2154"
"""Windows line ends, which have a word of ours, and files that are read on the host, with the variables set there."""
PATIENCE = 60  # seconds for shellcheck


@dataclass(frozen=True)
class Finding:
    """With an error a recipe cannot be used; the rest are warnings."""

    file: Path
    line: int | None
    error: bool
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        return f"{place}: {'error' if self.error else 'warning'}: {self.text}"


def find_shellcheck() -> str | None:
    """The program beside our Python, or on the path; None where it is not installed."""
    return shutil.which("shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


def look_over(path: Path, shellcheck: str | None) -> tuple[Recipe | None, list[Finding]]:
    """The recipe, None where it cannot be used, and what there is to say of it, by file and line."""
    recipe, complaints = read_recipe(path)
    found = [Finding(path, one.line, True, str(one)) for one in complaints]
    if recipe:
        found += _line_ends(path)
        found += _without_way_back(path, recipe)
        found += _without_rollback_task(path, recipe)
    if shellcheck:
        found += _shell(path, recipe, shellcheck)
    return recipe, sorted(found, key=lambda one: (one.file != path, one.file, one.line or 0))


def _line_ends(path: Path) -> Iterator[Finding]:
    """Of scripts that no step names: they travel along, and another may read them."""
    for script in sorted(path.parent.glob("*.sh")):
        if b"\r" in script.read_bytes():
            yield Finding(script, None, False, "It has Windows line ends, which no shell reads.")


def _without_way_back(path: Path, recipe: Recipe) -> Iterator[Finding]:
    undone = {step.undoes for step in recipe.way_back}
    for place, step in enumerate(recipe.steps, 1):
        if step.phase is Phase.CHANGE and step.name not in undone:
            line = line_of(path.read_text(encoding="utf-8"), f"steps[{place}]")
            yield Finding(path, line, False, f"steps[{place}]: no step of the way back undoes “{step.name}”.")


def _without_rollback_task(path: Path, recipe: Recipe) -> Iterator[Finding]:
    if recipe.kind is Kind.FABFILE and not recipe.fixed["FAB_ROLLBACK_TASK"]:
        yield Finding(path, None, False, "rollback_task: without one, whatever fails needs a person.")


def _shell(path: Path, recipe: Recipe | None, shellcheck: str) -> Iterator[Finding]:
    scripts = [str(script) for script in sorted(path.parent.glob("*.sh"))]
    for said in _ask(shellcheck, scripts, b"") if scripts else ():
        yield _of_shellcheck(Path(said["file"]), said["line"], said, "")
    for key, line in _lines_of(recipe) if recipe else ():
        number = line_of(path.read_text(encoding="utf-8"), key)
        for said in _ask(shellcheck, ["-"], line):
            yield _of_shellcheck(path, number, said, f"{key}: ")


def _lines_of(recipe: Recipe) -> Iterator[tuple[str, bytes]]:
    """The lines of shell that stand in the recipe itself, by their key."""
    kept = {"version_command": recipe.version_script}
    for key, steps in (("steps", recipe.steps), ("way_back", recipe.way_back)):
        kept |= {f"{key}[{place}].command": step.run for place, step in enumerate(steps, 1)}
    for key, name in kept.items():
        if not name.endswith(".sh"):
            yield key, recipe.scripts[name]


def _ask(shellcheck: str, files: list[str], text: bytes) -> list[dict[str, Any]]:
    command = [shellcheck, "--shell=sh", "--format=json1", f"--exclude={LEFT_OUT}", "--", *files]
    answer = subprocess.run(command, input=text, capture_output=True, timeout=PATIENCE, check=False)  # noqa: S603
    comments: list[dict[str, Any]] = json.loads(answer.stdout)["comments"]
    return comments


def _of_shellcheck(file: Path, line: int | None, said: dict[str, Any], at: str) -> Finding:
    return Finding(file, line, said["level"] == "error", f"{at}SC{said['code']}: {said['message']}")
