"""What an upgrade by a team's own fabfile needs beside what every other has: it runs on the dashboard's machine."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from django.conf import settings

from instances.models import Instance
from releasemgr.lib.identities import KeyFile
from upgrades.contact import HostAddress
from upgrades.recipes.recipe import Kind, Recipe


def ground_of(instance: Instance, recipe: Recipe) -> str:
    """The folder in which the site's upgrades run, and of which the lock is: on its host, or here."""
    return instance.path if recipe.kind is Kind.HOST else str(_folder_here(instance))


def has_begun_here(instance: Instance, number: int) -> bool:
    return (_folder_here(instance) / ".releasemgr" / "upgrades" / str(number)).exists()


def _folder_here(instance: Instance) -> Path:
    """By its number: its name may change while something runs."""
    return settings.VAR_DIR / "fabfile" / str(instance.pk)


def values_here(address: HostAddress, recipe: Recipe) -> Mapping[str, str]:
    if recipe.kind is Kind.HOST:
        return {}
    place = settings.SSH_IDENTITIES.get(address.identity)
    return {
        "FAB_HOME": str(settings.BASE_DIR),
        "FAB_OURS": sys.executable,
        "FAB_HOST": f"{address.user}@{address.address}:{address.port}",
        "FAB_ADDRESS": json.dumps(asdict(address)),
        "FAB_KEY_FILE": str(place.path if isinstance(place, KeyFile) else settings.SSH_KEY_FILE),
    }


def with_approved_key(recipe: Recipe, address: HostAddress) -> Recipe:
    """U6: the fabfile's connections know the host by its address and by its name here."""
    if recipe.kind is Kind.HOST:
        return recipe
    names = ",".join(dict.fromkeys(_known_as(name, address.port) for name in (address.address, address.name)))
    approved = f"{names} {address.host_key}\n".encode()
    return replace(recipe, scripts={**recipe.scripts, "known_hosts": recipe.scripts["known_hosts"] + approved})


def _known_as(name: str, port: int) -> str:
    return name if port == 22 else f"[{name}]:{port}"
