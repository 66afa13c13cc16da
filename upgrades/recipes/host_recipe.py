"""Reads a recipe whose steps run on the site's host."""

from collections.abc import Sequence
from itertools import pairwise

from upgrades.recipes.recipe import FORWARD, STEP_NAME, UNTIL_CHANGED, Phase, Recipe, Step
from upgrades.recipes.recipe_file import RecipeFile, Table

KEYS = {
    "kind", "title", "version", "version_command", "way_down", "usual_minutes", "point_of_no_return", "values",
    "secrets", "steps", "way_back",
}  # fmt: skip
STEP_KEYS = {"name", "title", "phase", "run", "command", "timeout"}
UNDO_KEYS = {"name", "title", "undoes", "run", "command", "timeout"}


def read_host_recipe(file: RecipeFile, table: Table) -> Recipe:
    return _Reader(file).recipe(table)


class _Reader:
    def __init__(self, file: RecipeFile) -> None:
        self.file = file

    def recipe(self, table: Table) -> Recipe:
        self.file.only_keys(table, KEYS, "")
        steps = tuple(self._steps(table))
        recipe = Recipe(
            name=self.file.path.parent.name,
            title=self.file.text(table, "title", ""),
            version_script=self.file.version_program(table),
            steps=steps,
            way_back=tuple(self._way_back(table, {step.name for step in steps})),
            scripts=self.file.scripts,
            values=self.file.values(table),
            secrets=self.file.secrets(table),
            way_down=self.file.flag(table, "way_down"),
            usually=self.file.minutes(table, "usual_minutes"),
            point_of_no_return=self._point_of_no_return(table, steps),
        )
        self._names_differ(recipe)
        self._phases_are_in_order(recipe)
        return recipe

    def _steps(self, table: Table) -> list[Step]:
        if table.get("steps", []) == []:
            self.file.complain("steps", "a recipe has at least one step")
        return [self._step(row, f"steps[{place}]") for place, row in enumerate(self.file.rows(table, "steps"), 1)]

    def _step(self, row: Table, at: str) -> Step:
        self.file.only_keys(row, STEP_KEYS, at)
        name = self._name(row, at)
        return Step(
            name=name,
            title=self.file.text(row, "title", at),
            phase=self._phase(row, at),
            run=self.file.program(row, ("run", "command"), at, f"{name}.command"),
            timeout=self.file.timeout(row, at),
        )

    def _way_back(self, table: Table, steps: set[str]) -> list[Step]:
        rows = self.file.rows(table, "way_back")
        return [self._undo(row, f"way_back[{place}]", steps) for place, row in enumerate(rows, 1)]

    def _undo(self, row: Table, at: str, steps: set[str]) -> Step:
        self.file.only_keys(row, UNDO_KEYS, at)
        name, undoes = self._name(row, at), self.file.text(row, "undoes", at)
        if undoes and undoes not in steps:
            self.file.complain(f"{at}.undoes", f"there is no step “{undoes}”")
        return Step(
            name=name,
            title=self.file.text(row, "title", at),
            phase=Phase.BACK,
            run=self.file.program(row, ("run", "command"), at, f"{name}.command"),
            timeout=self.file.timeout(row, at),
            undoes=undoes,
        )

    def _name(self, table: Table, at: str) -> str:
        name = self.file.text(table, "name", at)
        if name and not STEP_NAME.fullmatch(name):
            self.file.complain(f"{at}.name", f"“{name}”: lower-case letters, digits and hyphens, at most 40")
        return name

    def _phase(self, table: Table, at: str) -> Phase:
        word = self.file.text(table, "phase", at)
        if word in FORWARD:
            return Phase(word)
        if word:
            self.file.complain(f"{at}.phase", f"“{word}” is none of {', '.join(FORWARD)}")
        return Phase.BACK

    def _point_of_no_return(self, table: Table, steps: Sequence[Step]) -> str | None:
        """Where none is named, the first step that changes what runs."""
        if "point_of_no_return" not in table:
            return next((step.name for step in steps if step.phase not in (Phase.CHECK, Phase.PREPARE)), None)
        name = self.file.text(table, "point_of_no_return", "")
        named = next((step for step in steps if step.name == name), None)
        if name and named is None:
            self.file.complain("point_of_no_return", f"there is no step “{name}”")
        elif named and named.phase not in (*UNTIL_CHANGED, Phase.BACK):
            self.file.complain("point_of_no_return", f"“{name}” ({named.phase}) comes after what is changed")
        return name

    def _names_differ(self, recipe: Recipe) -> None:
        seen: set[str] = set()
        for key, rows in (("steps", recipe.steps), ("way_back", recipe.way_back)):
            for place, step in enumerate(rows, 1):
                if step.name in seen:
                    self.file.complain(f"{key}[{place}].name", f"“{step.name}” is the name of a step already")
                seen |= {step.name} - {""}

    def _phases_are_in_order(self, recipe: Recipe) -> None:
        """A phase that is none, which BACK stands in for, was complained of already."""
        known = [(place, step) for place, step in enumerate(recipe.steps, 1) if step.phase in FORWARD]
        for (_, before), (place, after) in pairwise(known):
            if FORWARD.index(before.phase) > FORWARD.index(after.phase):
                self.file.complain(
                    f"steps[{place}].phase",
                    f"“{after.name}” ({after.phase}) comes after “{before.name}” ({before.phase})",
                )
