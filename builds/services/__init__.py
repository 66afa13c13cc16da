"""The verbs for builds. Pages, commands and the night call these and nothing else."""

from builds.services.artifacts import archive_build, quarantine_build, register_build, sha256_of
from builds.services.channels import ensure_channels, set_channel_policy
from builds.services.facts import (
    build_named,
    channel_policies,
    facts_of,
    gather_builds,
    judge_promotion,
    one_decision_at_a_time,
)
from builds.services.problems import (
    acknowledge_problem,
    change_problem,
    dismiss_problem,
    fix_problem,
    problem_numbered,
    reopen_problem,
    report_problem,
)
from builds.services.promotions import announce_eligible, eligible_promotions, promote_automatically, promote_build
from builds.services.smoke import report_smoke
from builds.services.stepping_stones import mark_stepping_stone, unmark_stepping_stone
from builds.services.withdrawals import UNANSWERED, Unanswered, withdraw_build

__all__ = [
    "UNANSWERED",
    "Unanswered",
    "acknowledge_problem",
    "announce_eligible",
    "archive_build",
    "build_named",
    "change_problem",
    "channel_policies",
    "dismiss_problem",
    "eligible_promotions",
    "ensure_channels",
    "facts_of",
    "fix_problem",
    "gather_builds",
    "judge_promotion",
    "mark_stepping_stone",
    "one_decision_at_a_time",
    "problem_numbered",
    "promote_automatically",
    "promote_build",
    "quarantine_build",
    "register_build",
    "reopen_problem",
    "report_problem",
    "report_smoke",
    "set_channel_policy",
    "sha256_of",
    "unmark_stepping_stone",
    "withdraw_build",
]
