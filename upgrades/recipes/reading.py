"""Finds recipes and reads their files: all that is wrong in one is told at once, each with its key and line."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import cast

from upgrades.exceptions import RecipeInvalid
from upgrades.recipes.commands import VALUE_NAME
from upgrades.recipes.recipe import FORWARD, STEP_NAME, UNTIL_CHANGED, Phase, Recipe, Step
from upgrades.recipes.toml_lines import line_of, line_of_error

SHIPPED = Path(__file__).parent
SHARED = SHIPPED / "shared"
"""Scripts for every recipe; one of the same name beside a recipe wins."""
FILE_NAME = "recipe.toml"
SCRIPT_NAME = re.compile(r"[a-z][a-z0-9-]*\.sh")
LINE = re.compile(r"[^\x00-\x1f\x7f]*")
LONGEST_STEP = 24 * 60 * 60
KEYS = {
    "title", "version", "version_command", "way_down", "usual_minutes", "point_of_no_return", "values", "steps",
    "way_back",
}  # fmt: skip
STEP_KEYS = {"name", "title", "phase", "run", "command", "timeout"}
UNDO_KEYS = {"name", "title", "undoes", "run", "command", "timeout"}
GIVEN = {
    "SITE", "HOST", "SITE_PATH", "UPGRADE", "DIRECTION", "FROM_VERSION", "TO_VERSION", "TO_VERSION_CANONICAL",
    "VERSION_BEFORE", "ARTIFACT", "ARTIFACT_SHA256", "STEP_DIR", "BUNDLE",
}  # fmt: skip
"""Values that no recipe can set."""
VERSION_LINE = "version-command"
"""The script made of the recipe's `version_command`; like that of a step, none of a folder's is called so."""
Table = Mapping[str, object]


@dataclass(frozen=True)
class Complaint:
    """What is wrong in a recipe's file; `key` is empty where the whole file is meant."""

    key: str
    text: str
    line: int | None

    def __str__(self) -> str:
        return f"{self.key}: {self.text}." if self.key else self.text


def load_recipe(name: str, folders: Sequence[Path] = ()) -> Recipe:
    """A recipe in one of the folders wins over the shipped one of that name. Raises RecipeInvalid."""
    path = find_recipe(name, folders)
    recipe, complaints = read_recipe(path)
    if recipe is None:
        more = f" And {len(complaints) - 1} more." if complaints[1:] else ""
        raise RecipeInvalid(f"{path}: {complaints[0]}{more}")
    return recipe


def find_recipe(name: str, folders: Sequence[Path] = ()) -> Path:
    """The file of a recipe. Raises RecipeInvalid."""
    if not STEP_NAME.fullmatch(name):
        raise RecipeInvalid(f"“{name}” is no name of a recipe: lower-case letters, digits and hyphens.")
    for folder in [*folders, SHIPPED]:
        if (folder / name / FILE_NAME).is_file():
            return folder / name / FILE_NAME
    looked_in = ", ".join(str(folder) for folder in [*folders, SHIPPED])
    raise RecipeInvalid(f"There is no recipe “{name}” in {looked_in}.")


def known_recipes(folders: Sequence[Path] = ()) -> list[Recipe]:
    """Every recipe that can be read, by name."""
    files = [file for folder in [*folders, SHIPPED] for file in folder.glob(f"*/{FILE_NAME}")]
    found = {}
    for name in sorted({file.parent.name for file in files}):
        with suppress(RecipeInvalid):
            found[name] = load_recipe(name, folders)
    return list(found.values())


def read_recipe(path: Path) -> tuple[Recipe | None, list[Complaint]]:
    """The recipe, or all that is wrong with it, by line."""
    reader = _Reader(path)
    recipe = reader.read()
    complaints = sorted(reader.complaints, key=lambda one: one.line or 0)
    return None if complaints else recipe, complaints


class _Reader:
    """Reads one file to its end. What is wrong becomes a complaint, and something harmless stands in for it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = ""
        self.scripts = _scripts_in(SHARED) | _scripts_in(path.parent)
        self.complaints: list[Complaint] = []

    def read(self) -> Recipe | None:
        table = self._table()
        return None if table is None else self._recipe(table)

    def _table(self) -> Table | None:
        try:
            self.text = self.path.read_text(encoding="utf-8")
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            self.complaints.append(Complaint("", f"{error}.", line_of_error(self.text, str(error))))
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            self.complaints.append(Complaint("", f"It is not UTF-8: {error}.", line))
        except OSError as error:
            self.complaints.append(Complaint("", f"It cannot be read: {error.strerror}.", None))
        return None

    def _recipe(self, table: Table) -> Recipe:
        self._only_keys(table, KEYS, "")
        steps = tuple(self._steps(table))
        recipe = Recipe(
            name=self.path.parent.name,
            title=self._text(table, "title", ""),
            version_script=self._program(table, ("version", "version_command"), "", VERSION_LINE),
            steps=steps,
            way_back=tuple(self._way_back(table, {step.name for step in steps})),
            scripts=self.scripts,
            values=self._values(table),
            way_down=self._flag(table, "way_down"),
            usually=self._minutes(table, "usual_minutes"),
            point_of_no_return=self._point_of_no_return(table, steps),
        )
        self._names_differ(recipe)
        self._phases_are_in_order(recipe)
        return recipe

    def _steps(self, table: Table) -> list[Step]:
        if table.get("steps", []) == []:
            self._complain("steps", "a recipe has at least one step")
        return [self._step(row, f"steps[{place}]") for place, row in enumerate(self._rows(table, "steps"), 1)]

    def _step(self, row: Table, at: str) -> Step:
        self._only_keys(row, STEP_KEYS, at)
        name = self._name(row, at)
        return Step(
            name=name,
            title=self._text(row, "title", at),
            phase=self._phase(row, at),
            run=self._program(row, ("run", "command"), at, f"{name}.command"),
            timeout=self._timeout(row, at),
        )

    def _way_back(self, table: Table, steps: set[str]) -> list[Step]:
        rows = self._rows(table, "way_back")
        return [self._undo(row, f"way_back[{place}]", steps) for place, row in enumerate(rows, 1)]

    def _undo(self, row: Table, at: str, steps: set[str]) -> Step:
        self._only_keys(row, UNDO_KEYS, at)
        name, undoes = self._name(row, at), self._text(row, "undoes", at)
        if undoes and undoes not in steps:
            self._complain(f"{at}.undoes", f"there is no step “{undoes}”")
        return Step(
            name=name,
            title=self._text(row, "title", at),
            phase=Phase.BACK,
            run=self._program(row, ("run", "command"), at, f"{name}.command"),
            timeout=self._timeout(row, at),
            undoes=undoes,
        )

    def _values(self, table: Table) -> dict[str, str]:
        values = table.get("values", {})
        if not isinstance(values, dict):
            self._complain("values", "written as a [values] table")
            return {}
        for name in values:
            if not VALUE_NAME.fullmatch(name):
                self._complain(f"values.{name}", "capital letters, digits and underscores")
            elif name in GIVEN:
                self._complain(f"values.{name}", "has a meaning of its own already")
        return {name: self._value(values[name], f"values.{name}") for name in values}

    def _value(self, value: object, at: str) -> str:
        if isinstance(value, str) and LINE.fullmatch(value):
            return value
        self._complain(at, "a text of one line; empty where there is no default")
        return ""

    def _rows(self, table: Table, key: str) -> list[Table]:
        rows = table.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self._complain(key, f"written as [[{key}]] tables")
            return []
        return cast(list[Table], rows)

    def _only_keys(self, table: Table, known: set[str], at: str) -> None:
        for key in table:
            if key not in known:
                self._complain(_join(at, key), f"unknown key; known are {', '.join(sorted(known))}")

    def _text(self, table: Table, key: str, at: str) -> str:
        value = table.get(key)
        if isinstance(value, str) and value.strip():
            return value
        self._complain(_join(at, key), "a text is needed")
        return ""

    def _name(self, table: Table, at: str) -> str:
        name = self._text(table, "name", at)
        if name and not STEP_NAME.fullmatch(name):
            self._complain(f"{at}.name", f"“{name}”: lower-case letters, digits and hyphens, at most 40")
        return name

    def _phase(self, table: Table, at: str) -> Phase:
        word = self._text(table, "phase", at)
        if word in FORWARD:
            return Phase(word)
        if word:
            self._complain(f"{at}.phase", f"“{word}” is none of {', '.join(FORWARD)}")
        return Phase.BACK

    def _program(self, table: Table, keys: tuple[str, str], at: str, name: str) -> str:
        """The script that the first key names, or one of that name, made of the line under the second."""
        script, line = keys
        if (script in table) == (line in table):
            self._complain(_join(at, script), f"either this, a script, or {line}, one line of shell")
        elif script in table:
            return self._script(table, script, at)
        else:
            self.scripts[name] = self._line(table, line, at)
        return name

    def _line(self, table: Table, key: str, at: str) -> bytes:
        text = self._text(table, key, at)
        if not LINE.fullmatch(text):
            self._complain(_join(at, key), "one line; what needs more is a script of its own")
        return f"{text}\n".encode()

    def _script(self, table: Table, key: str, at: str) -> str:
        name = self._text(table, key, at)
        if name and not SCRIPT_NAME.fullmatch(name):
            self._complain(_join(at, key), f"“{name}” is no name of a script, such as unpack.sh")
        elif name and name not in self.scripts:
            self._complain(_join(at, key), f"there is no file {name} beside it, nor a shared one")
        elif b"\r" in self.scripts.get(name, b""):
            self._complain(_join(at, key), f"{name} has Windows line ends, which no shell reads")
        return name

    def _timeout(self, table: Table, at: str) -> int:
        return self._number(table, "timeout", at, f"whole seconds from 1 to {LONGEST_STEP}", LONGEST_STEP)

    def _minutes(self, table: Table, key: str) -> timedelta | None:
        if key not in table:
            return None
        most = LONGEST_STEP // 60
        return timedelta(minutes=self._number(table, key, "", f"whole minutes from 1 to {most}", most))

    def _number(self, table: Table, key: str, at: str, wanted: str, most: int) -> int:
        value = table.get(key)
        if type(value) is int and 1 <= value <= most:
            return value
        self._complain(_join(at, key), wanted)
        return 1

    def _flag(self, table: Table, key: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            self._complain(key, "true or false")
        return value is True

    def _point_of_no_return(self, table: Table, steps: Sequence[Step]) -> str | None:
        """Where none is named, the first step that changes what runs."""
        if "point_of_no_return" not in table:
            return next((step.name for step in steps if step.phase not in (Phase.CHECK, Phase.PREPARE)), None)
        name = self._text(table, "point_of_no_return", "")
        named = next((step for step in steps if step.name == name), None)
        if name and named is None:
            self._complain("point_of_no_return", f"there is no step “{name}”")
        elif named and named.phase not in (*UNTIL_CHANGED, Phase.BACK):
            self._complain("point_of_no_return", f"“{name}” ({named.phase}) comes after what is changed")
        return name

    def _names_differ(self, recipe: Recipe) -> None:
        seen: set[str] = set()
        for key, rows in (("steps", recipe.steps), ("way_back", recipe.way_back)):
            for place, step in enumerate(rows, 1):
                if step.name in seen:
                    self._complain(f"{key}[{place}].name", f"“{step.name}” is the name of a step already")
                seen |= {step.name} - {""}

    def _phases_are_in_order(self, recipe: Recipe) -> None:
        """A phase that is none, which BACK stands in for, was complained of already."""
        known = [(place, step) for place, step in enumerate(recipe.steps, 1) if step.phase in FORWARD]
        for (_, before), (place, after) in pairwise(known):
            if FORWARD.index(before.phase) > FORWARD.index(after.phase):
                self._complain(
                    f"steps[{place}].phase",
                    f"“{after.name}” ({after.phase}) comes after “{before.name}” ({before.phase})",
                )

    def _complain(self, key: str, text: str) -> None:
        self.complaints.append(Complaint(key, text, line_of(self.text, key)))


def _scripts_in(folder: Path) -> dict[str, bytes]:
    return {script.name: script.read_bytes() for script in sorted(folder.glob("*.sh"))}


def _join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key
