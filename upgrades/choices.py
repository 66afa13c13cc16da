"""The words for runs and upgrades: states, outcomes, and the groups that the rules speak of."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from releasemgr.lib.choices import Colour, StateChoices
from upgrades.halting import HaltCode
from upgrades.waves import WaveKind


class RunKind(models.TextChoices):
    NIGHTLY = "nightly", _("night")
    MANUAL = "manual", _("manual run")
    RETRY = "retry", _("retry")


class UpgradeState(StateChoices):
    """U1, in order. An upgrade that has ended has one outcome beside it."""

    WAITING = "waiting", Colour.IDLE, "clock", _("Waiting")
    STARTING = "starting", Colour.RUN, "loader-circle", _("Starting")
    RUNNING = "running", Colour.RUN, "loader-circle", _("Running")
    ROLLING_BACK = "rolling_back", Colour.WARN, "undo-2", _("Rolling back")
    ENDED = "ended", Colour.IDLE, "circle-check", _("Ended")


BEGUN = (UpgradeState.STARTING, UpgradeState.RUNNING, UpgradeState.ROLLING_BACK)
ACTIVE = (UpgradeState.WAITING, *BEGUN)
TRANSITIONS = {
    UpgradeState.WAITING: (UpgradeState.STARTING, UpgradeState.ENDED),
    UpgradeState.STARTING: (UpgradeState.WAITING, UpgradeState.RUNNING, UpgradeState.ENDED),
    UpgradeState.RUNNING: (UpgradeState.ROLLING_BACK, UpgradeState.ENDED),
    UpgradeState.ROLLING_BACK: (UpgradeState.ENDED,),
    UpgradeState.ENDED: (),  # but for one that needs a person, who has its way back run again: see services.ends
}


class Outcome(StateChoices):
    """How an upgrade ended (U2)."""

    SUCCEEDED = "succeeded", Colour.OK, "circle-check", _("Succeeded")
    ALREADY_THERE = "already_there", Colour.OK, "circle-check", _("Already there")
    ROLLED_BACK = "rolled_back", Colour.WARN, "undo-2", _("Rolled back")
    FAILED_CLEAN = "failed_clean", Colour.BAD, "circle-x", _("Failed, nothing changed")
    BLOCKED = "blocked", Colour.BAD, "ban", _("Blocked")
    NEEDS_A_PERSON = "needs_a_person", Colour.BAD, "octagon-x", _("Needs a person")
    CANCELLED = "cancelled", Colour.IDLE, "circle-slash", _("Cancelled")
    SKIPPED = "skipped", Colour.IDLE, "circle-minus", _("Skipped")
    NOT_STARTED = "not_started", Colour.IDLE, "circle-dashed", _("Not started")


GOOD = (Outcome.SUCCEEDED, Outcome.ALREADY_THERE)
UNTOUCHED = (Outcome.SKIPPED, Outcome.NOT_STARTED)
FAILED = (Outcome.ROLLED_BACK, Outcome.FAILED_CLEAN, Outcome.BLOCKED, Outcome.NEEDS_A_PERSON)
BROKE = (Outcome.ROLLED_BACK, Outcome.FAILED_CLEAN, Outcome.NEEDS_A_PERSON)
"""What counts as failed where a run is judged, and against a build: one that was blocked says nothing of it (P5)."""


class EndCode(models.TextChoices):
    """What decided the outcome; `sentences` words it together with its values."""

    DONE = "done"
    ALREADY_THERE = "already_there"
    STEP_FAILED = "step_failed"
    STEP_TIMED_OUT = "step_timed_out"
    OTHER_VERSION = "other_version"
    WAY_BACK_FAILED = "way_back_failed"
    WRONG_VERSION = "wrong_version"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    LINGERS = "lingers"
    GIVEN_UP = "given_up"
    SENT_BACK = "sent_back"
    NOT_SENT_BACK = "not_sent_back"
    RUNNER_GONE = "runner_gone"
    RESULT_UNREADABLE = "result_unreadable"
    UNREACHABLE = "unreachable"
    HOST_KEY = "host_key"
    SIGN_IN = "sign_in"
    KEY_REFUSED = "key_refused"
    JUMP_HOST = "jump_host"
    SITE_LOCKED = "site_locked"
    OTHER_SITE = "other_site"
    VERSION_UNREADABLE = "version_unreadable"
    START_FAILED = "start_failed"
    ARTIFACT_DAMAGED = "artifact_damaged"
    RECIPE_INVALID = "recipe_invalid"
    SECRET_UNUSABLE = "secret_unusable"  # noqa: S105 - a word
    DRIFT = "drift"
    REPLANNED = "replanned"
    TIME_OVER = "time_over"
    RUN_HALTED = "run_halted"
    RUN_ENDED = "run_ended"
    PATH_ENDED = "path_ended"


CONNECTION_TROUBLE = (
    EndCode.UNREACHABLE, EndCode.HOST_KEY, EndCode.SIGN_IN, EndCode.KEY_REFUSED, EndCode.JUMP_HOST,
    EndCode.OTHER_SITE,
)  # fmt: skip
"""The site itself was not reached. Ends after which the same build is tried again on the same site by itself (P11)."""

SHARED_TROUBLE = (EndCode.KEY_REFUSED, EndCode.JUMP_HOST)
"""Ends by a trouble of a key or of another host, which many sites share."""


EXCUSED = (EndCode.STOPPED, EndCode.CANCELLED)
"""Ends for which neither the site nor the build is to blame: they count for no halt (P5)."""

PARKING = (*FAILED, Outcome.CANCELLED)
"""After these the same build is not tried again on the same site by itself (P11), but for some codes."""

PARKS_NOTHING = (EndCode.STOPPED,)


class StepState(StateChoices):
    WAITING = "waiting", Colour.IDLE, "circle-dashed", _("not started")
    RUNNING = "running", Colour.RUN, "loader-circle", _("running")
    SUCCEEDED = "succeeded", Colour.OK, "circle-check", _("done")
    FAILED = "failed", Colour.BAD, "circle-x", _("failed")
    WARNED = "warned", Colour.WARN, "triangle-alert", _("failed, which does not matter here")


class RunState(StateChoices):
    """Derived from a run's stamps; see Run.state."""

    RUNNING = "running", Colour.RUN, "loader-circle", _("Running")
    ENDED = "ended", Colour.OK, "circle-check", _("Ended")
    WITH_FAILURES = "with_failures", Colour.WARN, "triangle-alert", _("Ended with failures")
    HALTED = "halted", Colour.BAD, "octagon-x", _("Halted")
    MISSED = "missed", Colour.BAD, "circle-x", _("Missed")
    SWITCHED_OFF = "switched_off", Colour.HOLD, "circle-pause", _("Nights were switched off")


class HaltChoice(models.TextChoices):
    """Why a run was halted, for the database; `sentences` words it with its values."""

    CANARY = HaltCode.CANARY
    SHARE = HaltCode.SHARE
    SAME_FAILURE = HaltCode.SAME_FAILURE
    UNREACHABLE = HaltCode.UNREACHABLE
    PERSON = HaltCode.PERSON


class HaltEnd(models.TextChoices):
    """What became of a halt."""

    RESUMED = "resumed", _("resumed")
    ENDED = "ended", _("ended by a person")
    RUN_OVER = "run_over", _("the run was over")


class WaveChoice(models.TextChoices):
    TEST = WaveKind.TEST, _("test sites")
    CANARY = WaveKind.CANARY, _("canaries of the live sites")
    REST = WaveKind.REST, _("live sites")
