"""What commands print of holds and freezes with --json. docs/commands.md names the keys: they do not change."""

from typing import Any

from instances.models import Freeze, Hold


def hold_shape(hold: Hold) -> dict[str, Any]:
    return {
        "hold": hold.pk,
        "site": hold.instance.slug,
        "starts_at": hold.starts_at,
        "ends_at": hold.ends_at,
        "ended_at": hold.ended_at,
        "reason": hold.reason,
    }


def freeze_shape(freeze: Freeze) -> dict[str, Any]:
    return {
        "freeze": freeze.pk,
        "name": freeze.name,
        "scope": freeze.scope,
        "customer": freeze.customer.slug if freeze.customer else None,
        "tag": freeze.tag.name if freeze.tag else None,
        "starts_at": freeze.starts_at,
        "ends_at": freeze.ends_at,
        "repeats": freeze.repeats,
        "zone": freeze.zone,
        "ended_at": freeze.ended_at,
        "reason": freeze.reason,
    }
