"""Finds recipes and reads their files: all that is wrong in one is told at once, each with its key and line."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from upgrades.exceptions import RecipeInvalid
from upgrades.recipes.fabfile_recipe import read_fabfile_recipe
from upgrades.recipes.host_recipe import read_host_recipe
from upgrades.recipes.recipe import STEP_NAME, Kind, Recipe
from upgrades.recipes.recipe_file import SHIPPED, Complaint, RecipeFile, Table

FILE_NAME = "recipe.toml"


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
    file = RecipeFile(path)
    table = file.table()
    recipe = None if table is None else _recipe(file, table)
    complaints = sorted(file.complaints, key=lambda one: one.line or 0)
    return None if complaints else recipe, complaints


def _recipe(file: RecipeFile, table: Table) -> Recipe | None:
    match table.get("kind", Kind.HOST):
        case Kind.HOST:
            return read_host_recipe(file, table)
        case Kind.FABFILE:
            return read_fabfile_recipe(file, table)
        case _:
            file.complain("kind", f"one of {', '.join(Kind)}")
            return None
