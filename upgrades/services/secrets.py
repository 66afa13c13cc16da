"""The secrets of an upgrade: what its host is given, and what is hidden of what it prints (U8)."""

import os
from collections.abc import Mapping

from django.conf import settings
from django.utils.crypto import salted_hmac

from builds.versions import parse_version
from instances.models import Instance
from upgrades.assignment import SecretsInHand
from upgrades.exceptions import SecretUnusable
from upgrades.log_masks import Secrets
from upgrades.models import Upgrade
from upgrades.recipes.recipe import Recipe
from upgrades.secret_places import find_secrets


def secrets_of(recipe: Recipe, site: Instance) -> dict[str, bytes]:
    """As they are now. Raises SecretUnusable."""
    return find_secrets(recipe.secrets, site.slug, settings.SECRETS_DIR, os.environ)


def secrets_in_hand(upgrade: Upgrade, recipe: Recipe, *, taken_over: bool) -> SecretsInHand:
    """Raises SecretUnusable only where nothing has begun.

    Where others were given to its host than are found now, nobody knows what to hide in what it prints: everything.
    """
    try:
        values = secrets_of(recipe, upgrade.instance)
    except SecretUnusable as error:
        if not taken_over:
            raise
        return SecretsInHand({}, _everything(upgrade), upgrade.secrets_digest, str(error))
    digest = _digest(values)
    if taken_over and upgrade.secrets_digest not in ("", digest):
        return SecretsInHand(values, _everything(upgrade), upgrade.secrets_digest)
    return SecretsInHand(values, Secrets(values.values()), digest)


def _everything(upgrade: Upgrade) -> Secrets:
    """But for the two versions by which its end is judged."""
    to = upgrade.build.version
    return Secrets(everything=True, versions=(upgrade.from_version, to, str(parse_version(to))))


def note_given(upgrade: Upgrade, in_hand: SecretsInHand) -> None:
    """Before its host is given any."""
    if upgrade.secrets_digest != in_hand.digest:
        upgrade.secrets_digest = in_hand.digest
        upgrade.save(update_fields=["secrets_digest"])


def _digest(values: Mapping[str, bytes]) -> str:
    """Keyed, so that nobody finds a secret by trying; empty for none."""
    if not values:
        return ""
    told = "\n".join(f"{name} {values[name].hex()}" for name in sorted(values))
    return salted_hmac("upgrades.secrets", told, algorithm="sha256").hexdigest()
