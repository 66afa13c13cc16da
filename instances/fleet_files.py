"""Reads fleet files, CSV or JSON, into entries that know where they stand. Nothing here looks at the database.

docs/import.md describes both forms. Every fault is collected; FleetInvalid carries all of them.
"""

import csv
import difflib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instances.exceptions import FleetInvalid

CUSTOMER_KEYS = ("slug", "name", "identity")
HOST_KEYS = ("name", "address", "port", "user", "host_key", "max_parallel", "identity", "jump", "max_connections")
SITE_KEYS = (
    "slug", "customer", "host", "kind", "path", "url", "recipe", "recipe_values", "target", "health_url",
    "health_timeout_s",
    "version_url", "version_command", "backup_command", "migrate_command", "migrate_undo_command", "restart_command",
    "min_free_mb", "tags", "window",
)  # fmt: skip
KEYS = {"customers": CUSTOMER_KEYS, "hosts": HOST_KEYS, "sites": SITE_KEYS}
NEEDED = {"customers": ("slug",), "hosts": ("name",), "sites": ("slug", "customer", "host", "kind", "path")}
NUMBERS = {"port", "max_parallel", "max_connections", "health_timeout_s", "min_free_mb"}

# The columns of a CSV file that belong to a site's customer or host, with the keys that they stand for.
CUSTOMER_COLUMNS = {"customer": "slug", "customer_name": "name", "customer_identity": "identity"}
HOST_COLUMNS = {
    "host": "name", "host_address": "address", "host_port": "port", "host_user": "user", "host_key": "host_key",
    "host_max_parallel": "max_parallel", "host_identity": "identity",
    "host_jump": "jump", "host_max_connections": "max_connections",
}  # fmt: skip
COLUMNS = tuple(dict.fromkeys([*SITE_KEYS, *CUSTOMER_COLUMNS, *HOST_COLUMNS]))

SAVE_AS = "Save the file as UTF-8 and import it again."
Value = str | int


@dataclass
class Entry:
    """One customer, host or site of a file. A key that is absent says nothing."""

    place: str
    values: dict[str, Value]
    columns: dict[str, str] = field(default_factory=dict)

    def where(self, key: str = "") -> str:
        """“line 3, host_port” in a CSV file, “hosts[2].port” in a JSON file."""
        if self.place.startswith("line"):
            return f"{self.place}, {self.columns.get(key, key)}" if key else self.place
        return f"{self.place}.{key}" if key else self.place


@dataclass
class FleetFile:
    customers: list[Entry] = field(default_factory=list)
    hosts: list[Entry] = field(default_factory=list)
    sites: list[Entry] = field(default_factory=list)


def read_fleet(path: Path) -> FleetFile:
    """Raises FleetInvalid with every fault that can be seen without the database."""
    readers = {".csv": _read_csv, ".json": _read_json}
    if path.suffix.lower() not in readers:
        raise FleetInvalid([f"{path.name} ends neither in .csv nor in .json."])
    errors: list[str] = []
    fleet = readers[path.suffix.lower()](_text_of(path), errors)
    errors += _repeated(fleet.customers, "slug") + _repeated(fleet.hosts, "name") + _repeated(fleet.sites, "slug")
    if errors:
        raise FleetInvalid(errors)
    return fleet


def _text_of(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FleetInvalid([f"{path} cannot be read: {error.strerror}."]) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FleetInvalid([f"line {line}: the byte 0x{data[error.start]:02x} is not UTF-8. {SAVE_AS}"]) from error
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise FleetInvalid([f"line {line}: contains a NUL character. {SAVE_AS}"])
    return text


def _repeated(entries: list[Entry], key: str) -> list[str]:
    first: dict[Value, Entry] = {}
    errors = []
    for entry in entries:
        name = entry.values.get(key, "")
        if name in first:
            errors.append(f"{entry.where(key)}: {name} is in the file already ({first[name].where()}).")
        elif name:
            first[name] = entry
    return errors


def _unknown(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"“{name}” is not known." + (f" Is it {near[0]}?" if near else f" Known are {', '.join(known)}.")


# JSON


def _read_json(text: str, errors: list[str]) -> FleetFile:
    try:
        data = json.loads(text, object_pairs_hook=_no_key_twice)
    except json.JSONDecodeError as error:
        raise FleetInvalid([f"line {error.lineno}, column {error.colno}: this is not JSON: {error.msg}."]) from error
    except RecursionError as error:
        raise FleetInvalid(["The file is nested too deeply."]) from error
    except KeyError as error:
        raise FleetInvalid([f"The key “{error.args[0]}” is written twice in one object."]) from error
    if not isinstance(data, dict):
        raise FleetInvalid(["The file has to hold one JSON object with customers, hosts and sites."])
    errors += [f"{name}: {_unknown(name, tuple(KEYS))}" for name in data if name not in KEYS]
    return FleetFile(**{name: _json_entries(name, data.get(name, []), errors) for name in KEYS})


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise KeyError(key)
        seen[key] = value
    return seen


def _json_entries(name: str, rows: object, errors: list[str]) -> list[Entry]:
    if not isinstance(rows, list):
        errors.append(f"{name}: has to be a list.")
        return []
    entries = []
    for number, row in enumerate(rows):
        place = f"{name}[{number}]"
        if not isinstance(row, dict):
            errors.append(f"{place}: has to be an object.")
            continue
        entries.append(Entry(place, dict(_json_values(place, row, KEYS[name], errors))))
        errors += [f"{place}.{key}: is missing." for key in NEEDED[name] if not row.get(key)]
    return entries


def _json_values(
    place: str, row: dict[str, Any], known: tuple[str, ...], errors: list[str]
) -> Iterator[tuple[str, Value]]:
    for key, value in row.items():
        if key not in known:
            errors.append(f"{place}.{key}: {_unknown(key, known)}")
        elif key in NUMBERS and (isinstance(value, bool) or not isinstance(value, int)):
            errors.append(f"{place}.{key}: has to be a whole number.")
        elif key not in NUMBERS and not isinstance(value, str):
            errors.append(f"{place}.{key}: has to be text, in quotation marks.")
        elif isinstance(value, str) and not _is_text(value):
            errors.append(f"{place}.{key}: holds characters that are not text.")
        else:
            yield key, value.strip() if isinstance(value, str) else value


def _is_text(value: str) -> bool:
    """Half of a surrogate pair, which JSON may hold, cannot be stored."""
    return value.encode("utf-8", "ignore").decode() == value and "\x00" not in value


# CSV


def _read_csv(text: str, errors: list[str]) -> FleetFile:
    rows = _csv_rows(text)
    _line, head = next(rows, (1, []))
    head = [name.strip().lower() for name in head]
    _check_head(head)
    fleet = FleetFile()
    merged: dict[tuple[str, str], Entry] = {}
    for line, cells in rows:
        if len(cells) != len(head):
            errors.append(f"line {line}: has {len(cells)} cells, the first line has {len(head)}.")
            continue
        row = {name: cell.strip() for name, cell in zip(head, cells, strict=True) if cell.strip()}
        errors += [f"line {line}, {name}: is missing." for name in NEEDED["sites"] if name not in row]
        place = f"line {line}"
        fleet.sites.append(Entry(place, {key: row[key] for key in SITE_KEYS if key in row}))
        _merge(_part(place, row, CUSTOMER_COLUMNS), "slug", fleet.customers, merged, errors)
        _merge(_part(place, row, HOST_COLUMNS), "name", fleet.hosts, merged, errors)
    return fleet


def _csv_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, with the number of the line on which it begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise FleetInvalid([f"line {line}: this is not CSV: {error}."]) from error


def _delimiter(text: str) -> str:
    """What most separates the first line: a comma, or what spreadsheets of other languages write."""
    first = text.lstrip("\r\n").split("\n", 1)[0]
    return max(",;\t", key=first.count)


def _check_head(head: list[str]) -> None:
    errors = [f"line 1, {name or 'an empty name'}: {_unknown(name, COLUMNS)}" for name in head if name not in COLUMNS]
    errors += [f"line 1, {name}: the column is there twice." for name in COLUMNS if head.count(name) > 1]
    errors += [f"line 1, {name}: the column is missing." for name in NEEDED["sites"] if name not in head]
    if errors:
        raise FleetInvalid(errors)


def _part(place: str, row: dict[str, str], columns: dict[str, str]) -> Entry:
    values: dict[str, Value] = {key: row[column] for column, key in columns.items() if column in row}
    return Entry(place, values, {key: column for column, key in columns.items()})


def _merge(
    entry: Entry, key: str, entries: list[Entry], merged: dict[tuple[str, str], Entry], errors: list[str]
) -> None:
    """Several lines may say something of one customer or host, if they agree."""
    name = str(entry.values.get(key, ""))
    if not name:
        return
    first = merged.setdefault((key, name), entry)
    if first is entry:
        entries.append(entry)
    for name, value in entry.values.items():
        if first.values.setdefault(name, value) != value:
            errors.append(f"{entry.where(name)}: {value} here, but {first.values[name]} in {first.place}.")
