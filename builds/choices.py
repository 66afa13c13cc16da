"""The words for builds: channels and smoke tests."""

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from builds.maturity import CHANNELS, GateCode, Maturity, Severity
from releasemgr.lib.choices import Colour, StateChoices


class ChannelName(models.TextChoices):
    """From least to most mature (R4). The value is the channel's primary key."""

    ALPHA = "alpha", _("alpha")
    BETA = "beta", _("beta")
    RELEASE = "release", _("release")
    STABLE = "stable", _("stable")


class MaturityChoice(models.IntegerChoices):
    """The same order for the database, with the words for the screen."""

    CANDIDATE = Maturity.CANDIDATE, _("candidate")
    ALPHA = Maturity.ALPHA, _("alpha")
    BETA = Maturity.BETA, _("beta")
    RELEASE = Maturity.RELEASE, _("release")
    STABLE = Maturity.STABLE, _("stable")


class Smoke(StateChoices):
    """What the smoke test reported last (R3). Only PASSED is passed."""

    PENDING = "pending", Colour.IDLE, "clock", _("Waiting")
    RUNNING = "running", Colour.RUN, "loader-circle", _("Running")
    PASSED = "passed", Colour.OK, "circle-check", _("Passed")
    FAILED = "failed", Colour.BAD, "circle-x", _("Failed")
    VOID = "void", Colour.BAD, "circle-x", _("Void")

    @property
    def words(self) -> Promise:
        """The same where it stands alone, without a heading."""
        return SMOKE_WORDS[self]


SMOKE_WORDS = {
    Smoke.PENDING: _("Waits for smoke tests"),
    Smoke.RUNNING: _("Smoke tests running"),
    Smoke.PASSED: _("Smoke tests passed"),
    Smoke.FAILED: _("Smoke tests failed"),
    Smoke.VOID: _("Smoke tests void"),
}


class SeverityChoice(StateChoices):
    """How bad a known problem is (R7)."""

    BLOCKER = Severity.BLOCKER.value, Colour.BAD, "bug", _("blocker")
    MINOR = Severity.MINOR.value, Colour.WARN, "triangle-alert", _("minor")


class ProblemState(StateChoices):
    """Where a known problem stands. One that is fixed still affects the builds before its fix (R7)."""

    OPEN = "open", Colour.BAD, "bug", _("Open")
    FIXED = "fixed", Colour.OK, "circle-check", _("Fixed")
    DISMISSED = "dismissed", Colour.IDLE, "circle-minus", _("Dismissed")


class GateChoice(models.TextChoices):
    """The gates that can be overridden (R8)."""

    SOAK = GateCode.SOAK.value, _("soak time")
    NO_BLOCKERS = GateCode.NO_BLOCKERS.value, _("no open blocker")
    ACKNOWLEDGED = GateCode.ACKNOWLEDGED.value, _("problems acknowledged")


DEFAULT_SOAK_DAYS = {channel.channel: 14 if channel is Maturity.STABLE else 0 for channel in CHANNELS}
