"""What a host's thread needs to know of an upgrade, gathered from rows while the database is at hand."""

from django.conf import settings
from django.utils.translation import gettext as _

from builds.models import Build
from builds.versions import key_of, parse_version
from instances.models import Instance
from instances.services import installation_number, mark_of
from upgrades.assignment import Assignment, VersionQuestion
from upgrades.choices import UpgradeState
from upgrades.contact import Ground
from upgrades.exceptions import RecipeInvalid
from upgrades.models import Upgrade
from upgrades.recipes.reading import load_recipe
from upgrades.recipes.recipe import Kind, Recipe
from upgrades.services.addresses import address_of
from upgrades.services.fabfiles import ground_of, has_begun_here, values_here, with_approved_key
from upgrades.services.logs import log_size
from upgrades.services.secrets import secrets_in_hand

KEEP_RELEASES = 3


def assignment_for(upgrade: Upgrade, *, taken_over: bool) -> Assignment:
    """`taken_over` says that another handed it out before, and that it may have begun since.

    Raises RecipeInvalid where it is certainly not begun and the site's recipe cannot be used, and SecretUnusable.
    """
    site, installation = upgrade.instance, installation_number()
    recipe = recipe_as_it_was(upgrade) if taken_over else _recipe_for(site, upgrade.recipe)
    secrets = secrets_in_hand(upgrade, recipe, taken_over=taken_over)
    begun = upgrade.state in (UpgradeState.RUNNING, UpgradeState.ROLLING_BACK)
    return Assignment(
        number=upgrade.pk,
        begun=begun,
        in_doubt=taken_over and not begun,
        ground=Ground(ground_of(site, recipe), upgrade.pk),
        question=VersionQuestion(site_values(site, recipe, installation), recipe.version_program),
        recipe=with_approved_key(recipe, address_of(site.host)),
        values=upgrade_values(site, recipe, installation, upgrade.from_version, upgrade.build)
        | {"UPGRADE": str(upgrade.pk)},
        artifact=upgrade.build.artifact_path,
        sha256=upgrade.build.sha256,
        from_key=upgrade.instance.reported_key or "",
        to_key=upgrade.build.version_key,
        log_offset=max(0, log_size(upgrade) - secrets.hidden.reach),
        events_offset=len(upgrade.journal),
        back=upgrade.backs,
        secrets=secrets,
    )


def recipe_as_it_was(upgrade: Upgrade) -> Recipe:
    """What runs has its copy of a recipe that was broken here since: it is watched all the same, where it runs."""
    name = upgrade.recipe
    try:
        return load_recipe(name, settings.RECIPE_DIRS)
    except RecipeInvalid:
        kind = Kind.FABFILE if has_begun_here(upgrade.instance, upgrade.pk) else Kind.HOST
        return Recipe(name, name, "unknown", (), (), {"unknown": b"", "known_hosts": b""}, kind=kind)


def place_of_log(upgrade: Upgrade) -> str:
    """Where all that it printed lies, for a person: the machine, and the file on it."""
    site, recipe = upgrade.instance, recipe_as_it_was(upgrade)
    machine = site.host.name if recipe.kind is Kind.HOST else _("the dashboard’s machine")
    return f"{machine}: {ground_of(site, recipe)}/.releasemgr/upgrades/{upgrade.pk}/log"


def _recipe_for(instance: Instance, name: str) -> Recipe:
    """Raises RecipeInvalid, also where the site has values that the recipe does not know."""
    recipe = load_recipe(name, settings.RECIPE_DIRS)
    refuse_unknown_values(instance, recipe)
    return recipe


def refuse_unknown_values(instance: Instance, recipe: Recipe) -> None:
    """Raises RecipeInvalid."""
    if unknown := sorted(instance.own_values.keys() - recipe.values.keys()):
        known = f"it knows {', '.join(recipe.values)}" if recipe.values else "it knows none"
        raise RecipeInvalid(f"{instance} sets {', '.join(unknown)} for the recipe “{recipe.name}”, but {known}.")


def question_for(instance: Instance, installation: str) -> VersionQuestion:
    """How the site is asked for its version. `installation` is our own number. Raises RecipeInvalid."""
    recipe = _recipe_for(instance, instance.recipe)
    return VersionQuestion(site_values(instance, recipe, installation), recipe.version_program)


def site_values(instance: Instance, recipe: Recipe, installation: str) -> dict[str, str]:
    """The environment of every script that runs for this site: what is its own comes before what is the recipe's.

    A value of the recipe that is empty is left out: many a program takes an empty variable for a setting.
    """
    ours, own = _site_values(instance, installation), instance.own_values
    values = {name: own.get(name, value) for name, value in recipe.values.items()}
    return ours | {name: value for name, value in values.items() if value and not ours.get(name)}


def _site_values(instance: Instance, installation: str) -> dict[str, str]:
    return {
        "SITE": instance.slug,
        "HOST": instance.host.name,
        "SITE_PATH": instance.path,
        "SITE_MARK": mark_of(instance, installation),
        "SITE_MARK_OVER": instance.mark_given_up,
        "HEALTH_URL": instance.health_url,
        "HEALTH_TIMEOUT": str(instance.health_timeout_s),
        "VERSION_URL": instance.version_url,
        "VERSION_COMMAND": instance.version_command,
        "BACKUP_COMMAND": instance.backup_command,
        "MIGRATE_COMMAND": instance.migrate_command,
        "MIGRATE_UNDO_COMMAND": instance.migrate_undo_command,
        "RESTART_COMMAND": instance.restart_command,
        "MIN_FREE_MB": str(instance.min_free_mb),
        "KEEP_RELEASES": str(KEEP_RELEASES),
    }


def upgrade_values(
    instance: Instance, recipe: Recipe, installation: str, from_version: str, to: Build
) -> dict[str, str]:  # fmt: skip
    """The environment of every step of an upgrade, but for its number, and the artefact, whose place its host tells."""
    return {
        **site_values(instance, recipe, installation),
        **recipe.fixed,
        **values_here(address_of(instance.host), recipe),
        "DIRECTION": "down" if to.version_key < (key_of(from_version) or "") else "up",
        "FROM_VERSION": from_version,
        "TO_VERSION": to.version,
        "TO_VERSION_CANONICAL": str(parse_version(to.version)),
        "ARTIFACT_SHA256": to.sha256,
    }
