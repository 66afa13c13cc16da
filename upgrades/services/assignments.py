"""What a host's thread needs to know of an upgrade, gathered from rows while the database is at hand."""

from django.conf import settings
from django.db.models import F, Max
from django.db.models.functions import Length

from builds.versions import key_of, parse_version
from instances.models import Instance
from instances.services import installation_number, mark_of
from upgrades.assignment import Assignment, VersionQuestion
from upgrades.choices import UpgradeState
from upgrades.contact import Ground
from upgrades.exceptions import RecipeInvalid
from upgrades.models import LogChunk, Upgrade
from upgrades.recipes.recipe import Recipe, load_recipe

KEEP_RELEASES = 3


def assignment_for(upgrade: Upgrade, *, taken_over: bool) -> Assignment:
    """`taken_over` says that another handed it out before, and that it may have begun since.

    Raises RecipeInvalid where it is certainly not begun and the site's recipe cannot be used.
    """
    recipe = _recipe_as_it_was(upgrade.recipe) if taken_over else load_recipe(upgrade.recipe, settings.RECIPE_DIRS)
    installation = installation_number()
    begun = upgrade.state in (UpgradeState.RUNNING, UpgradeState.ROLLING_BACK)
    return Assignment(
        number=upgrade.pk,
        begun=begun,
        in_doubt=taken_over and not begun,
        ground=Ground(upgrade.instance.path, upgrade.pk),
        question=VersionQuestion(site_values(upgrade.instance, installation), recipe.version_program),
        recipe=recipe,
        values=_values(upgrade, installation),
        artifact=upgrade.build.artifact_path,
        sha256=upgrade.build.sha256,
        from_key=upgrade.instance.reported_key or "",
        to_key=upgrade.build.version_key,
        log_offset=log_size(upgrade),
        events_offset=len(upgrade.journal),
    )


def _recipe_as_it_was(name: str) -> Recipe:
    """The host has its copy of a recipe that was broken here since: what runs there is watched all the same."""
    try:
        return load_recipe(name, settings.RECIPE_DIRS)
    except RecipeInvalid:
        return Recipe(name, name, "unknown", (), (), {"unknown": b""})


def question_for(instance: Instance, installation: str) -> VersionQuestion:
    """How the site is asked for its version. `installation` is our own number. Raises RecipeInvalid."""
    recipe = load_recipe(instance.recipe, settings.RECIPE_DIRS)
    return VersionQuestion(site_values(instance, installation), recipe.version_program)


def log_size(upgrade: Upgrade) -> int:
    """How many bytes of its log are kept."""
    ends = LogChunk.objects.filter(upgrade=upgrade).annotate(end=F("offset") + Length("data"))
    return ends.aggregate(size=Max("end"))["size"] or 0


def site_values(instance: Instance, installation: str) -> dict[str, str]:
    """The environment of every script that runs for this site."""
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


def _values(upgrade: Upgrade, installation: str) -> dict[str, str]:
    return site_values(upgrade.instance, installation) | {
        "UPGRADE": str(upgrade.pk),
        "DIRECTION": "down" if upgrade.build.version_key < (key_of(upgrade.from_version) or "") else "up",
        "FROM_VERSION": upgrade.from_version,
        "TO_VERSION": upgrade.build.version,
        "TO_VERSION_CANONICAL": str(parse_version(upgrade.build.version)),
        "ARTIFACT_SHA256": upgrade.build.sha256,
    }
