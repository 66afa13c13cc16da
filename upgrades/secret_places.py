"""Where the secrets that recipes name are found: in files or variables of the dashboard's machine (U8)."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from upgrades.exceptions import SecretUnusable
from upgrades.log_masks import SHORTEST, can_be_hidden

PREFIX = "RELEASEMGR_RECIPE_SECRET_"
LARGEST = 64 * 1024  # bytes: it becomes a variable of an environment


def find_secrets(names: Iterable[str], site: str, folder: Path, environment: Mapping[str, str]) -> dict[str, bytes]:
    """By name: the site's own file, else everybody's, else a variable. Raises SecretUnusable."""
    found = {name: _find(name, site, folder, environment) for name in names}
    if missing := [name for name, value in found.items() if value is None]:
        raise SecretUnusable(
            f"{', '.join(missing)} cannot be found. Write it into a file of that name in {folder / site} for this "
            f"site, or in {folder} for all, or set {PREFIX}{missing[0]} for the workers."
        )
    return {name: value for name, value in found.items() if value is not None}


def _find(name: str, site: str, folder: Path, environment: Mapping[str, str]) -> bytes | None:
    for file in (folder / site / name, folder / name):
        if file.exists():
            return _checked(name, _read(file), str(file))
    variable = f"{PREFIX}{name}"
    given = environment.get(variable, "")
    return _checked(name, given.encode(errors="surrogateescape"), variable) if given else None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SecretUnusable(f"{file} cannot be read: {error.strerror}.") from None


def _checked(name: str, value: bytes, place: str) -> bytes:
    """Without the line end that an editor leaves."""
    value = value.removesuffix(b"\n").removesuffix(b"\r")
    if b"\0" in value or len(value) > LARGEST:
        raise SecretUnusable(f"{place} does not hold a text of at most {LARGEST // 1024} KiB for {name}.")
    if not can_be_hidden(value):
        raise SecretUnusable(f"{place} has no line of {SHORTEST} characters, so {name} could not be hidden in a log.")
    return value
