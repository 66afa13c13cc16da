"""Everything that one upgrade needs on its host, as one archive."""

import io
import tarfile
from collections.abc import Mapping

from upgrades.recipes.commands import host_script, lines, value_lines
from upgrades.recipes.recipe import Recipe


def build_bundle(recipe: Recipe, values: Mapping[str, str], secrets: Mapping[str, bytes] | None = None) -> bytes:
    """The same recipe and values give the same bytes. Raises ValueError for a value that cannot travel."""
    files = {
        "run.sh": host_script("run"),
        "compare.sh": host_script("compare"),
        "groups.sh": host_script("groups"),
        "holder.sh": host_script("holder"),
        "mark.sh": host_script("mark"),
        "version.sh": recipe.scripts[recipe.runner_version or recipe.version_script],
        "env": value_lines(values),
        "plan": _plan(recipe),
        "no-return": lines(recipe.point_of_no_return or ""),
        **{f"steps/{name}": script for name, script in recipe.scripts.items()},
    }
    return _archive(files | _secret_files(secrets or {}))


def build_secrets(secrets: Mapping[str, bytes]) -> bytes:
    """What a way back needs that runs again; empty for none."""
    return _archive(_secret_files(secrets)) if secrets else b""


def _secret_files(secrets: Mapping[str, bytes]) -> dict[str, bytes]:
    """Each in a file of its own, of any number of lines: in no command line and in no file that stays (U8)."""
    return {f"secrets/{name}": value for name, value in secrets.items()}


def _archive(files: Mapping[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(files):
            tar.addfile(_entry(name, len(files[name])), io.BytesIO(files[name]))
    return archive.getvalue()


def _plan(recipe: Recipe) -> bytes:
    """One line a step: phase, position, name, time limit, script, and the step that it undoes."""
    rows = [*enumerate(recipe.steps, 1), *enumerate(recipe.way_back, 1)]
    return "".join(
        f"{step.phase} {position} {step.name} {step.timeout} {step.run} {step.undoes or '-'}\n"
        for position, step in rows
    ).encode()


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = 0o600
    return entry
