"""What upgrades need: hosts that let us in, artefacts, recipes and time zones that can be read."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.conf import settings
from django.db.models import Count, Q

from builds.maturity import channel_heads
from builds.models import Build
from builds.services import gather_builds
from instances.choices import HostState
from instances.models import Freeze, Host, Instance, SiteWindow
from instances.windows import zone_named
from releasemgr.doctor.findings import Finding, Level, error, named, ok, warning
from upgrades.exceptions import RecipeInvalid, SecretUnusable
from upgrades.models import Upgrade
from upgrades.recipes.reading import FILE_NAME, load_recipe
from upgrades.recipes.recipe import Recipe
from upgrades.services.secrets import secrets_of

UNWELL = {
    HostState.KEY_CHANGED: (
        Level.ERROR, "These hosts offer another key than the approved one, so nothing runs there",
        "Compare both fingerprints on the host's page before you approve the new one.",
    ),
    HostState.KEY_NOT_APPROVED: (
        Level.WARNING, "These hosts have no approved key, so nothing runs there",
        "Compare the fingerprint and approve it on the host's page.",
    ),
    HostState.NOT_ANSWERING: (
        Level.WARNING, "These hosts did not answer when they were last asked", "The host's page says why.",
    ),
}  # fmt: skip


def hosts() -> Iterator[Finding]:
    """As they were when they were last asked."""
    enabled = list(Host.objects.filter(enabled=True))
    well = True
    for state, (level, said, do) in UNWELL.items():
        found = [host for host in enabled if host.state is state]
        if found:
            well = False
            yield Finding(level, f"{said}: {named(found)}.", do)
    if well:
        yield ok(f"Hosts: {len(enabled)}. None has a key that nobody approved, and none failed when last asked.")


def artefacts() -> Iterator[Finding]:
    """Those of builds that a site may go to: by its size, since reading thousands of files would take too long."""
    builds = list(_in_use())
    missing = [build for build in builds if not build.artifact_path.is_file()]
    other = [build for build in builds if build not in missing and not _has_its_size(build)]
    again = "Register the same artefact under that version again: manage.py register_build."
    if missing:
        yield error(f"The artefacts of these builds are missing in {settings.ARTIFACT_DIR}: {named(missing)}.", again)
    if other:
        yield error(f"The artefacts of these builds have another size than registered: {named(other)}.", again)
    if not missing and not other:
        yield ok(f"Builds in use: {len(builds)}. The artefact of each is there, with its size.")


def _in_use() -> Iterator[Build]:
    heads = {head.id for head in channel_heads(gather_builds().values()).values() if head}
    active = Upgrade.objects.active().values("build")
    wanted = Q(pk__in=heads) | Q(pinned_instances__isnull=False) | Q(pk__in=active) | Q(stepping_stone=True)
    builds = Build.objects.filter(wanted, archived_at=None).defer("changelog").distinct()
    return iter(builds.order_by("version_key"))


def _has_its_size(build: Build) -> bool:
    return build.artifact_path.stat().st_size == build.artifact_size


def recipes() -> Iterator[Finding]:
    """Those of sites, and whatever else lies in the folders of RELEASEMGR_RECIPES."""
    sites = dict(Instance.objects.order_by().values_list("recipe").annotate(sites=Count("pk")))
    folders = settings.RECIPE_DIRS
    names = sites.keys() | {file.parent.name for folder in folders for file in folder.glob(f"*/{FILE_NAME}")}
    well = True
    for folder in folders:
        if not folder.is_dir():
            well = False
            yield error(f"The folder {folder} of RELEASEMGR_RECIPES is not there.", "Correct the setting, or make it.")
    for name in sorted(names):
        try:
            load_recipe(name, folders)
        except RecipeInvalid as refused:
            well = False
            make = error if name in sites else warning
            said = f"The recipe “{name}” (sites that use it: {sites.get(name, 0)}) cannot be read: {refused}"
            yield make(said, "See docs/recipes.md.")
    if well:
        yield ok(f"Recipes: {len(names)}. Each can be read.")


def secrets() -> Iterator[Finding]:
    """Whether this machine has those that the recipes of sites name; none of them is said. One query."""
    sites: dict[str, list[Instance]] = defaultdict(list)
    for site in Instance.objects.select_related("customer", "host").order_by("slug"):
        sites[site.recipe].append(site)
    well, named_by = True, 0
    for name, users in sorted(sites.items()):
        recipe = _recipe_named(name)
        named_by += bool(recipe and recipe.secrets)
        if recipe and (refusals := list(_refusals(recipe, users))):
            well = False
            blocked, (_site, why) = [site for site, _why in refusals], refusals[0]
            yield error(f"Upgrades of these sites would be blocked: {named(blocked)}. {why}", "See docs/recipes.md.")
    if read_by_others := [path for path in settings.SECRETS_DIR.rglob("*") if _may_be_read_by_others(path)]:
        well = False
        do = f"chmod -R go= {settings.SECRETS_DIR}"
        yield warning(f"Others on this machine may read these secrets: {named(read_by_others)}.", do)
    if well:
        yield ok(f"Recipes of sites that name secrets: {named_by}. Each secret is there.")


def _recipe_named(name: str) -> Recipe | None:
    """None for one that cannot be read, which another check says."""
    try:
        return load_recipe(name, settings.RECIPE_DIRS)
    except RecipeInvalid:
        return None


def _refusals(recipe: Recipe, sites: Iterable[Instance]) -> Iterator[tuple[Instance, SecretUnusable]]:
    for site in sites:
        try:
            secrets_of(recipe, site)
        except SecretUnusable as refused:
            yield site, refused


def _may_be_read_by_others(path: Path) -> bool:
    return path.is_file() and bool(path.stat().st_mode & 0o077)


def time_zones_in_use() -> Iterator[Finding]:
    names = {*SiteWindow.objects.values_list("zone", flat=True), *Freeze.objects.values_list("zone", flat=True)}
    unknown = []
    for name in sorted(names):
        try:
            zone_named(name)
        except ValueError:
            unknown.append(name)
    if unknown:
        yield error(
            f"Windows or freezes use time zones without data on this machine: {named(unknown)}.",
            "Install the system's package tzdata, or choose other zones.",
        )
        return
    yield ok(f"Zones of windows and freezes: {len(names)}. Each is known.")
