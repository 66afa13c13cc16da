"""What commands print of holds, freezes, windows with --json. docs/commands.md names the keys: they do not change."""

from collections.abc import Iterable
from typing import Any

from instances.models import Freeze, Hold, Instance
from instances.window_text import format_window
from instances.windows import Window


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


def windows_shape(site: Instance | None, windows: Iterable[Window]) -> dict[str, Any]:
    """`site` is null for the default ones."""
    return {"site": site.slug if site else None, "windows": [format_window(window) for window in windows]}
