"""What the commands print of builds with --json: keys that scripts may rely on (docs/commands.md)."""

from typing import Any

from builds.models import Acknowledgement, Build, Channel, Problem, Promotion


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
        "stepping_stone": build.stepping_stone,
        "archived_at": build.archived_at,
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
        "overrides": [
            {"gate": row.gate, "problem": row.problem_id, "text": row.text, "reason": row.reason}
            for row in promotion.overrides.all()
        ],
    }


def problem_shape(problem: Problem) -> dict[str, Any]:
    return {
        "number": problem.pk,
        "name": problem.name,
        "severity": str(problem.severity),
        "state": str(problem.state),
        "title": problem.title,
        "url": problem.url,
        "first_affected": problem.first_affected.version,
        "fixed_in": problem.fixed_in.version if problem.fixed_in else None,
        "opened_at": problem.opened_at,
        "dismissed_at": problem.dismissed_at,
        "dismissed_reason": problem.dismissed_reason,
    }


def acknowledgement_shape(accepted: Acknowledgement) -> dict[str, Any]:
    return {
        "build": accepted.build.version,
        "severity": str(accepted.severity),
        "at": accepted.at,
        "by": accepted.by.get_username() if accepted.by else None,
        "origin": accepted.origin,
        "reason": accepted.reason,
    }


def channel_shape(channel: Channel) -> dict[str, Any]:
    """The soak time in seconds."""
    return {"channel": channel.name, "soak": channel.soak, "automatic": channel.automatic}
