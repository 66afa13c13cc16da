"""The words for sites."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from instances.pins import PinEnd
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


class HostState(StateChoices):
    """How a host stands, derived from its row; see Host.state."""

    ANSWERING = "answering", Colour.OK, "circle-check", _("Answering")
    NOT_ANSWERING = "not_answering", Colour.BAD, "unplug", _("Not answering")
    KEY_CHANGED = "key_changed", Colour.BAD, "key-round", _("Key changed")
    KEY_NOT_APPROVED = "key_not_approved", Colour.BAD, "key-round", _("Key not approved")
    NOT_CONTACTED = "not_contacted", Colour.IDLE, "circle-dashed", _("Not contacted yet")
    DISABLED = "disabled", Colour.HOLD, "circle-pause", _("Switched off")


NEEDS_A_LOOK = (HostState.NOT_ANSWERING, HostState.KEY_CHANGED, HostState.KEY_NOT_APPROVED)
