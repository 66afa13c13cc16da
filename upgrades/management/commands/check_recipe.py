from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from instances.exceptions import InstanceError
from instances.services import site_named
from releasemgr.lib import clock
from releasemgr.lib.commands import Answer, VerbCommand, table
from upgrades.exceptions import RecipeInvalid
from upgrades.recipes.check import Finding, find_shellcheck, look_over
from upgrades.recipes.reading import FILE_NAME, find_recipe
from upgrades.recipes.recipe import Recipe, Step
from upgrades.services.rehearsals import Rehearsal, rehearse

NO_SHELLCHECK = "shellcheck is not installed here, so nothing was said of the shell."
BY_THE_RUNNER = "The runner adds UPGRADE, ARTIFACT, VERSION_BEFORE, STEP_DIR and BUNDLE."


class Command(VerbCommand):
    help = "Looks a recipe over: its file, its shell, its way back. Can show what an upgrade of a site would run."
    refusals = (RecipeInvalid, InstanceError)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("recipe", metavar="RECIPE", help="Its name, its folder or its recipe.toml.")
        parser.add_argument(
            "--dry-run", metavar="SITE", help="Shows what an upgrade of this site would run, and touches nothing."
        )

    def answer(self, **options: Any) -> Answer:
        path, shellcheck = _file(options["recipe"]), find_shellcheck()
        recipe, findings = look_over(path, shellcheck)
        told = [str(one) for one in findings] + ([] if shellcheck else [NO_SHELLCHECK])
        if recipe is None or any(one.error for one in findings):
            raise CommandError("\n".join(told))
        data = {
            "recipe": recipe.name,
            "file": path,
            "warnings": [_finding_shape(one) for one in findings],
            "shellcheck": bool(shellcheck),
        }
        text = "\n".join([*told, f"{path} can be used."])
        if options["dry_run"] is None:
            return Answer(data, text)
        rehearsal = rehearse(site_named(options["dry_run"]), recipe, clock.now())
        return Answer(data | {"dry_run": _shape(recipe, rehearsal)}, f"{text}\n\n{_text(recipe, rehearsal)}")


def _file(given: str) -> Path:
    """Raises RecipeInvalid."""
    path = Path(given)
    if "/" not in given and path.suffix != ".toml":
        return find_recipe(given, settings.RECIPE_DIRS)
    path = path.resolve()
    return path / FILE_NAME if path.is_dir() else path


def _finding_shape(finding: Finding) -> dict[str, Any]:
    return {"file": finding.file, "line": finding.line, "text": finding.text}


def _shape(recipe: Recipe, rehearsal: Rehearsal) -> dict[str, Any]:
    return {
        "site": rehearsal.site.slug,
        "from": rehearsal.site.reported_version,
        "to": rehearsal.to.version if rehearsal.to else None,
        "environment": rehearsal.environment,
        "secrets": list(recipe.secrets),
        "secrets_fault": rehearsal.fault or None,
        "steps": [_step_shape(step, rehearsal) for step in recipe.steps],
        "way_back": [_step_shape(step, rehearsal) | {"undoes": step.undoes} for step in recipe.way_back],
    }


def _step_shape(step: Step, rehearsal: Rehearsal) -> dict[str, Any]:
    line = rehearsal.lines.get(step.name)
    return {
        "name": step.name,
        "title": step.title,
        "phase": step.phase,
        "timeout_s": step.timeout,
        "run": None if line else step.run,
        "command": line,
    }


def _text(recipe: Recipe, rehearsal: Rehearsal) -> str:
    site, to = rehearsal.site, rehearsal.to
    way = f"{site.reported_version or 'an unknown version'} → {to.version if to else 'no build'}"
    environment = [f"  {name}={value}" for name, value in rehearsal.environment.items()]
    parts = [
        f"{site}, {way}. Nothing was touched.",
        "\n".join(["Environment of every step:", *environment, BY_THE_RUNNER]),
        *([f"It would be blocked: {rehearsal.fault}"] if rehearsal.fault else []),
        f"Steps:\n{_steps(recipe.steps, rehearsal)}",
    ]
    if back := recipe.way_back:
        parts.append(f"Way back, in this order, each if what it undoes had begun:\n{_steps(back, rehearsal)}")
    return "\n\n".join(parts)


def _steps(steps: Sequence[Step], rehearsal: Rehearsal) -> str:
    rows = [
        [step.name, step.undoes or step.phase, f"{step.timeout} s", rehearsal.lines.get(step.name, step.run)]
        for step in steps
    ]
    return table(["Step", "Undoes" if steps[0].undoes else "Phase", "Limit", "Runs"], rows)
