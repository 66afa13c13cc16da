"""That a person switched the nights off, in words (P5)."""

from datetime import datetime

from django.utils.translation import gettext as _

from releasemgr.lib import words
from releasemgr.lib.actors import Origin, name_of
from upgrades.models import Policy


def nights_off_words(policy: Policy, now: datetime) -> str:
    """Since when, by whom and why; empty while they are on."""
    if policy.nights_off_since is None:
        return ""
    by = policy.nights_off_by
    said = {
        "since": words.moment_of(policy.nights_off_since, now),
        "who": name_of(by, Origin.PAGE) if by else _("the command line"),
        "reason": policy.nights_off_reason,
    }
    return _("Since %(since)s, by %(who)s: “%(reason)s”.") % said
