"""A recipe: the ordered steps of an upgrade and the ordered way back, read from a TOML file."""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import cast

from upgrades.exceptions import RecipeInvalid

SHIPPED = Path(__file__).parent
FILE_NAME = "recipe.toml"
STEP_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
SCRIPT_NAME = re.compile(r"[a-z][a-z0-9-]*\.sh")
LINE = re.compile(r"[^\x00-\x1f\x7f]*")
LONGEST_STEP = 24 * 60 * 60


class Phase(StrEnum):
    """In the order in which they run; what a failure means differs by phase."""

    CHECK = "check"
    """Nothing has been touched yet: a failure blocks the upgrade."""
    PREPARE = "prepare"
    """The running version is not touched: a failure ends clean, after the way back."""
    CHANGE = "change"
    """A failure begins the way back."""
    VERIFY = "verify"
    """A failure begins the way back."""
    FINISH = "finish"
    """The upgrade has succeeded: a failure is a warning."""
    BACK = "back"
    """Steps of the way back; not written in a recipe's steps."""


FORWARD = [Phase.CHECK, Phase.PREPARE, Phase.CHANGE, Phase.VERIFY, Phase.FINISH]
UNTIL_CHANGED = (Phase.CHECK, Phase.PREPARE, Phase.CHANGE)
KEYS = {
    "title", "version", "version_command", "way_down", "usual_minutes", "point_of_no_return", "steps", "way_back",
}  # fmt: skip
VERSION_LINE = "version-command"
"""The script made of the recipe's `version_command`; like that of a step, none of a folder's is called so."""


@dataclass(frozen=True)
class Step:
    name: str
    title: str
    phase: Phase
    run: str
    """A script of the recipe: a file of its folder, or made of the step's one line."""
    timeout: int
    """Seconds."""
    undoes: str | None = None
    """Only of a step of the way back: it runs when the step of this name had begun."""


@dataclass(frozen=True)
class Recipe:
    name: str
    title: str
    version_script: str
    steps: tuple[Step, ...]
    way_back: tuple[Step, ...]
    scripts: Mapping[str, bytes]
    """Every script of the folder by name, also those that only others read, and the lines kept in the recipe itself."""
    way_down: bool = False
    """Whether its steps also lead to an older version, when DIRECTION is down (T4)."""
    usually: timedelta | None = None
    """How long an upgrade takes where the site's past does not tell (P6)."""
    point_of_no_return: str | None = None
    """The last step before which an upgrade can still be stopped (R9); None: before every one."""

    @property
    def version_program(self) -> bytes:
        return self.scripts[self.version_script]


def load_recipe(name: str, folders: Sequence[Path] = ()) -> Recipe:
    """A recipe in one of the folders wins over the shipped one of that name. Raises RecipeInvalid."""
    if not STEP_NAME.fullmatch(name):
        raise RecipeInvalid(f"“{name}” is no name of a recipe: lower-case letters, digits and hyphens.")
    for folder in [*folders, SHIPPED]:
        if (folder / name / FILE_NAME).is_file():
            return _Reader(folder / name / FILE_NAME).recipe()
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


class _Reader:
    """Reads one file; every complaint names the file and the key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.scripts = {script.name: script.read_bytes() for script in sorted(path.parent.glob("*.sh"))}

    def recipe(self) -> Recipe:
        table = self._table()
        self._only_keys(table, KEYS, "")
        steps = tuple(self._steps(table))
        recipe = Recipe(
            name=self.path.parent.name,
            title=self._text(table, "title", ""),
            version_script=self._program(table, ("version", "version_command"), "", VERSION_LINE),
            steps=steps,
            way_back=tuple(self._way_back(table, {step.name for step in steps})),
            scripts=self.scripts,
            way_down=self._flag(table, "way_down"),
            usually=self._minutes(table, "usual_minutes"),
            point_of_no_return=self._point_of_no_return(table, steps),
        )
        self._names_differ(recipe)
        self._phases_are_in_order(recipe)
        return recipe

    def _table(self) -> Mapping[str, object]:
        try:
            return tomllib.loads(self.path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RecipeInvalid(f"{self.path}: {error}") from error

    def _steps(self, table: Mapping[str, object]) -> list[Step]:
        rows = self._rows(table, "steps")
        if not rows:
            raise self._wrong("steps", "a recipe has at least one step")
        return [self._step(row, f"steps[{place}]") for place, row in enumerate(rows, 1)]

    def _step(self, row: Mapping[str, object], at: str) -> Step:
        self._only_keys(row, {"name", "title", "phase", "run", "command", "timeout"}, at)
        name = self._name(row, at)
        return Step(
            name=name,
            title=self._text(row, "title", at),
            phase=self._phase(row, at),
            run=self._program(row, ("run", "command"), at, f"{name}.command"),
            timeout=self._timeout(row, at),
        )

    def _way_back(self, table: Mapping[str, object], steps: set[str]) -> list[Step]:
        rows = self._rows(table, "way_back")
        return [self._undo(row, f"way_back[{place}]", steps) for place, row in enumerate(rows, 1)]

    def _undo(self, row: Mapping[str, object], at: str, steps: set[str]) -> Step:
        self._only_keys(row, {"name", "title", "undoes", "run", "command", "timeout"}, at)
        undoes = self._text(row, "undoes", at)
        if undoes not in steps:
            raise self._wrong(f"{at}.undoes", f"there is no step “{undoes}”")
        name = self._name(row, at)
        return Step(
            name=name,
            title=self._text(row, "title", at),
            phase=Phase.BACK,
            run=self._program(row, ("run", "command"), at, f"{name}.command"),
            timeout=self._timeout(row, at),
            undoes=undoes,
        )

    def _rows(self, table: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
        rows = table.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._wrong(key, f"written as [[{key}]] tables")
        return cast(list[Mapping[str, object]], rows)

    def _only_keys(self, table: Mapping[str, object], known: set[str], at: str) -> None:
        for key in table:
            if key not in known:
                raise self._wrong(_join(at, key), f"unknown key; known are {', '.join(sorted(known))}")

    def _text(self, table: Mapping[str, object], key: str, at: str) -> str:
        value = table.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self._wrong(_join(at, key), "a text is needed")
        return value

    def _name(self, table: Mapping[str, object], at: str) -> str:
        name = self._text(table, "name", at)
        if not STEP_NAME.fullmatch(name):
            raise self._wrong(f"{at}.name", f"“{name}”: lower-case letters, digits and hyphens, at most 40")
        return name

    def _phase(self, table: Mapping[str, object], at: str) -> Phase:
        word = self._text(table, "phase", at)
        if word not in FORWARD:
            raise self._wrong(f"{at}.phase", f"“{word}” is none of {', '.join(FORWARD)}")
        return Phase(word)

    def _program(self, table: Mapping[str, object], keys: tuple[str, str], at: str, name: str) -> str:
        """The script that the first key names, or one of that name, made of the line under the second."""
        script, line = keys
        if (script in table) == (line in table):
            raise self._wrong(_join(at, script), f"either this, a script, or {line}, one line of shell")
        if script in table:
            return self._script(table, script, at)
        self.scripts[name] = self._line(table, line, at)
        return name

    def _line(self, table: Mapping[str, object], key: str, at: str) -> bytes:
        text = self._text(table, key, at)
        if not LINE.fullmatch(text):
            raise self._wrong(_join(at, key), "one line; what needs more is a script of its own")
        return f"{text}\n".encode()

    def _script(self, table: Mapping[str, object], key: str, at: str) -> str:
        name = self._text(table, key, at)
        if not SCRIPT_NAME.fullmatch(name):
            raise self._wrong(_join(at, key), f"“{name}” is no name of a script, such as unpack.sh")
        if name not in self.scripts:
            raise self._wrong(_join(at, key), f"there is no file {name} beside it")
        if b"\r" in self.scripts[name]:
            raise self._wrong(_join(at, key), f"{name} has Windows line ends, which no shell reads")
        return name

    def _timeout(self, table: Mapping[str, object], at: str) -> int:
        seconds = table.get("timeout")
        if type(seconds) is not int or not 1 <= seconds <= LONGEST_STEP:
            raise self._wrong(f"{at}.timeout", f"whole seconds from 1 to {LONGEST_STEP}")
        return seconds

    def _flag(self, table: Mapping[str, object], key: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def _minutes(self, table: Mapping[str, object], key: str) -> timedelta | None:
        value = table.get(key)
        if value is None:
            return None
        if type(value) is not int or not 1 <= value <= LONGEST_STEP // 60:
            raise self._wrong(key, f"whole minutes from 1 to {LONGEST_STEP // 60}")
        return timedelta(minutes=value)

    def _point_of_no_return(self, table: Mapping[str, object], steps: Sequence[Step]) -> str | None:
        """Where none is named, the first step that changes what runs."""
        if "point_of_no_return" not in table:
            return next((step.name for step in steps if step.phase not in (Phase.CHECK, Phase.PREPARE)), None)
        name = self._text(table, "point_of_no_return", "")
        named = next((step for step in steps if step.name == name), None)
        if named is None:
            raise self._wrong("point_of_no_return", f"there is no step “{name}”")
        if named.phase not in UNTIL_CHANGED:
            raise self._wrong("point_of_no_return", f"“{name}” ({named.phase}) comes after what is changed")
        return name

    def _names_differ(self, recipe: Recipe) -> None:
        counts = Counter(step.name for step in [*recipe.steps, *recipe.way_back])
        for name, count in counts.items():
            if count > 1:
                raise self._wrong("name", f"“{name}” is used {count} times")

    def _phases_are_in_order(self, recipe: Recipe) -> None:
        for before, after in pairwise(recipe.steps):
            if FORWARD.index(before.phase) > FORWARD.index(after.phase):
                raise self._wrong(
                    "steps", f"“{after.name}” ({after.phase}) comes after “{before.name}” ({before.phase})"
                )

    def _wrong(self, key: str, complaint: str) -> RecipeInvalid:
        return RecipeInvalid(f"{self.path}: {key}: {complaint}.")


def _join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key
