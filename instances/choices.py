"""The words for sites."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from instances.pins import PinEnd
from instances.repeats import Repeat
from releasemgr.lib.choices import Colour, StateChoices


class Kind(models.TextChoices):
    LIVE = "live", _("LIVE")
    TEST = "test", _("TEST")


class PinEndChoice(models.TextChoices):
    """How a pin ends (T2), as the database keeps it."""

    NEVER = PinEnd.NEVER.value, _("never")
    ON_DATE = PinEnd.ON_DATE.value, _("on a date")
    CAUGHT_UP = PinEnd.CAUGHT_UP.value, _("when its channel catches up")


class FreezeScope(models.TextChoices):
    """Which sites a freeze leaves alone (P8)."""

    ALL = "all", _("all sites")
    LIVE = "live", _("all live sites")
    TEST = "test", _("all test sites")
    CUSTOMER = "customer", _("the sites of a customer")
    TAG = "tag", _("the sites with a tag")


class RepeatChoice(models.TextChoices):
    """How a freeze comes again, as a person chooses it."""

    ONCE = Repeat.ONCE.value, _("Once")
    WEEKLY = Repeat.WEEKLY.value, _("Every week on…")
    MONTH_END = Repeat.MONTH_END.value, _("At each month end")
    MONTH_DAY = Repeat.MONTH_DAY.value, _("Each month on day…")
    YEARLY = Repeat.YEARLY.value, _("Every year, such as each December")
    RULE = Repeat.RULE.value, _("By a rule of iCalendar…")


class FreezeState(StateChoices):
    """How a freeze stands, derived from its row; see Freeze.state."""

    RUNNING = "running", Colour.HOLD, "snowflake", _("Frozen")
    COMING = "coming", Colour.IDLE, "clock", _("Coming")
    OVER = "over", Colour.IDLE, "circle-minus", _("Over")


class HostState(StateChoices):
    """How a host stands, derived from its row; see Host.state."""

    ANSWERING = "answering", Colour.OK, "circle-check", _("Answering")
    NOT_ANSWERING = "not_answering", Colour.BAD, "unplug", _("Not answering")
    KEY_CHANGED = "key_changed", Colour.BAD, "key-round", _("Key changed")
    KEY_NOT_APPROVED = "key_not_approved", Colour.BAD, "key-round", _("Key not approved")
    NOT_CONTACTED = "not_contacted", Colour.IDLE, "circle-dashed", _("Not contacted yet")
    DISABLED = "disabled", Colour.HOLD, "circle-pause", _("Switched off")


NEEDS_A_LOOK = (HostState.NOT_ANSWERING, HostState.KEY_CHANGED, HostState.KEY_NOT_APPROVED)
