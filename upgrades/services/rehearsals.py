"""What an upgrade of a site would run, told without touching anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from builds.models import Build
from instances.models import Instance
from instances.services import installation_number
from upgrades.exceptions import SecretUnusable
from upgrades.recipes.masks import HIDDEN, masked, masked_text
from upgrades.recipes.recipe import Recipe, Step
from upgrades.services.assignments import refuse_unknown_values, site_values, upgrade_values
from upgrades.services.planning import decide_site, next_night
from upgrades.services.secrets import secrets_of


@dataclass(frozen=True)
class Rehearsal:
    """What looks like a secret is masked in it."""

    site: Instance
    to: Build | None
    """Where the next night takes it, by its target and over its stepping stones; None where there is no build."""
    environment: Mapping[str, str]
    """Of every step alike; the runner adds what only it knows."""
    lines: Mapping[str, str]
    """The steps, by name, that are one line of shell in the recipe itself."""
    fault: str = ""
    """Why the secrets of the recipe cannot be given; empty where they can."""


def rehearse(site: Instance, recipe: Recipe, now: datetime) -> Rehearsal:
    """With this recipe, whatever the site has. Raises RecipeInvalid where it does not know the site's values."""
    refuse_unknown_values(site, recipe)
    decision = decide_site(site, next_night(now))
    facts = decision.legs[0] if decision.legs else decision.to
    to = Build.objects.get(pk=facts.id) if facts else None
    ours = installation_number()
    values = upgrade_values(site, recipe, ours, site.reported_version, to) if to else site_values(site, recipe, ours)
    return Rehearsal(
        site=site,
        to=to,
        environment={name: masked(name, values[name]) for name in sorted(values)}
        | dict.fromkeys(recipe.secrets, HIDDEN),
        fault=_fault(recipe, site),
        lines={step.name: _shown(recipe, step) for step in (*recipe.steps, *recipe.way_back) if not _is_script(step)},
    )


def _fault(recipe: Recipe, site: Instance) -> str:
    try:
        secrets_of(recipe, site)
    except SecretUnusable as error:
        return str(error)
    return ""


def _is_script(step: Step) -> bool:
    return step.run.endswith(".sh")


def _shown(recipe: Recipe, step: Step) -> str:
    return masked_text(recipe.scripts[step.run].decode().strip())
