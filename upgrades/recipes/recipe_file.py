"""A recipe's file: reads its keys one by one, and keeps a complaint of each that is not as it should be."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast

from upgrades.recipes.commands import VALUE_NAME
from upgrades.recipes.toml_lines import line_of, line_of_error

SHIPPED = Path(__file__).parent
SHARED = SHIPPED / "shared"
"""Scripts for every recipe; one of the same name beside a recipe wins."""
SCRIPT_NAME = re.compile(r"[a-z][a-z0-9-]*\.sh")
LINE = re.compile(r"[^\x00-\x1f\x7f]*")
LONGEST_STEP = 24 * 60 * 60
GIVEN = {
    "SITE", "HOST", "SITE_PATH", "UPGRADE", "DIRECTION", "FROM_VERSION", "TO_VERSION", "TO_VERSION_CANONICAL",
    "VERSION_BEFORE", "ARTIFACT", "ARTIFACT_SHA256", "STEP_DIR", "BUNDLE",
}  # fmt: skip
"""Values that no recipe can set."""
OF_SITES = {
    "SITE_MARK", "SITE_MARK_OVER", "HEALTH_URL", "HEALTH_TIMEOUT", "VERSION_URL", "VERSION_COMMAND", "BACKUP_COMMAND",
    "MIGRATE_COMMAND", "MIGRATE_UNDO_COMMAND", "RESTART_COMMAND", "MIN_FREE_MB", "KEEP_RELEASES",
}  # fmt: skip
"""Values that everyone who sees a site sees."""
OURS = ("FAB_", "LC_", "LD_", "PYTHON")
"""What the names begin with that the runner sets, or that change how its programs run."""
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


class RecipeFile:
    """What is wrong becomes a complaint, and something harmless stands in for it, so that all of it is read.

    `at` is the table that a key is in, as in `steps[2]`; empty for the whole file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = ""
        self.scripts = scripts_in(SHARED) | scripts_in(path.parent)
        self.complaints: list[Complaint] = []

    def table(self) -> Table | None:
        try:
            self.source = self.path.read_text(encoding="utf-8")
            return tomllib.loads(self.source)
        except tomllib.TOMLDecodeError as error:
            self.complaints.append(Complaint("", f"{error}.", line_of_error(self.source, str(error))))
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            self.complaints.append(Complaint("", f"It is not UTF-8: {error}.", line))
        except OSError as error:
            self.complaints.append(Complaint("", f"It cannot be read: {error.strerror}.", None))
        return None

    def rows(self, table: Table, key: str) -> list[Table]:
        rows = table.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self.complain(key, f"written as [[{key}]] tables")
            return []
        return cast(list[Table], rows)

    def only_keys(self, table: Table, known: set[str], at: str) -> None:
        for key in table:
            if key not in known:
                self.complain(join(at, key), f"unknown key; known are {', '.join(sorted(known))}")

    def text(self, table: Table, key: str, at: str) -> str:
        value = table.get(key)
        if isinstance(value, str) and value.strip():
            return value
        self.complain(join(at, key), "a text is needed")
        return ""

    def program(self, table: Table, keys: tuple[str, str], at: str, name: str) -> str:
        """The script that the first key names, or one of that name, made of the line under the second."""
        script, line = keys
        if (script in table) == (line in table):
            self.complain(join(at, script), f"either this, a script, or {line}, one line of shell")
        elif script in table:
            return self._script(table, script, at)
        else:
            self.scripts[name] = self._line(table, line, at)
        return name

    def number(self, table: Table, key: str, at: str, wanted: str, most: int) -> int:
        value = table.get(key)
        if type(value) is int and 1 <= value <= most:
            return value
        self.complain(join(at, key), wanted)
        return 1

    def flag(self, table: Table, key: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            self.complain(key, "true or false")
        return value is True

    def values(self, table: Table) -> dict[str, str]:
        values = table.get("values", {})
        if not isinstance(values, dict):
            self.complain("values", "written as a [values] table")
            return {}
        for name in values:
            if not VALUE_NAME.fullmatch(name):
                self.complain(f"values.{name}", "capital letters, digits and underscores")
            elif name in GIVEN:
                self.complain(f"values.{name}", "has a meaning of its own already")
        return {name: self._value(values[name], f"values.{name}") for name in values}

    def secrets(self, table: Table) -> tuple[str, ...]:
        names = table.get("secrets", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.complain("secrets", 'a list of names, such as ["REGISTRY_TOKEN"]')
            return ()
        values = table.get("values")
        taken = GIVEN | OF_SITES | (set(values) if isinstance(values, dict) else set())
        for name in dict.fromkeys(names):
            if not VALUE_NAME.fullmatch(name):
                self.complain("secrets", f"“{name}”: capital letters, digits and underscores")
            elif name in taken or name.startswith(OURS) or names.count(name) > 1:
                self.complain("secrets", f"“{name}” has a meaning of its own already")
        return tuple(names)

    def complain(self, key: str, text: str) -> None:
        self.complaints.append(Complaint(key, text, line_of(self.source, key)))

    def timeout(self, table: Table, at: str) -> int:
        return self.number(table, "timeout", at, f"whole seconds from 1 to {LONGEST_STEP}", LONGEST_STEP)

    def minutes(self, table: Table, key: str) -> timedelta | None:
        if key not in table:
            return None
        most = LONGEST_STEP // 60
        return timedelta(minutes=self.number(table, key, "", f"whole minutes from 1 to {most}", most))

    def version_program(self, table: Table) -> str:
        """The script that tells the version."""
        return self.program(table, ("version", "version_command"), "", VERSION_LINE)

    def _line(self, table: Table, key: str, at: str) -> bytes:
        text = self.text(table, key, at)
        if not LINE.fullmatch(text):
            self.complain(join(at, key), "one line; what needs more is a script of its own")
        return f"{text}\n".encode()

    def _script(self, table: Table, key: str, at: str) -> str:
        name = self.text(table, key, at)
        if name and not SCRIPT_NAME.fullmatch(name):
            self.complain(join(at, key), f"“{name}” is no name of a script, such as unpack.sh")
        elif name and name not in self.scripts:
            self.complain(join(at, key), f"there is no file {name} beside it, nor a shared one")
        elif b"\r" in self.scripts.get(name, b""):
            self.complain(join(at, key), f"{name} has Windows line ends, which no shell reads")
        return name

    def _value(self, value: object, at: str) -> str:
        if isinstance(value, str) and LINE.fullmatch(value):
            return value
        self.complain(at, "a text of one line; empty where there is no default")
        return ""


def join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def scripts_in(folder: Path) -> dict[str, bytes]:
    return {script.name: script.read_bytes() for script in sorted(folder.glob("*.sh"))}
