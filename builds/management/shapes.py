"""What the commands print of builds with --json: keys that scripts may rely on (docs/commands.md)."""

from typing import Any

from builds.models import Build, Promotion


def build_shape(build: Build) -> dict[str, Any]:
    return {
        "version": build.version,
        "channel": build.stage.name.lower(),
        "channel_since": build.channel_since,
        "smoke": str(build.smoke),
        "commit": build.commit,
        "sha256": build.sha256,
        "size": build.artifact_size,
        "registered_at": build.registered_at,
        "withdrawn_at": build.withdrawn_at,
        "withdrawn_reason": build.withdrawn_reason,
    }


def promotion_shape(promotion: Promotion | None) -> dict[str, Any] | None:
    """None for a candidate that never moved."""
    if promotion is None:
        return None
    return {
        "from": str(promotion.get_from_maturity_display()),
        "to": str(promotion.get_to_maturity_display()),
        "at": promotion.at,
        "by": promotion.by.get_username() if promotion.by else None,
        "origin": promotion.origin,
        "reason": promotion.reason,
    }
