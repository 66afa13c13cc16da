"""The words for sites."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from releasemgr.lib.choices import Colour, StateChoices


class Kind(models.TextChoices):
    LIVE = "live", _("LIVE")
    TEST = "test", _("TEST")


class HostState(StateChoices):
    """How a host stands, derived from its row; see Host.state."""

    ANSWERING = "answering", Colour.OK, "circle-check", _("Answering")
    NOT_ANSWERING = "not_answering", Colour.BAD, "unplug", _("Not answering")
    KEY_CHANGED = "key_changed", Colour.BAD, "key-round", _("Key changed")
    KEY_NOT_APPROVED = "key_not_approved", Colour.BAD, "key-round", _("Key not approved")
    NOT_CONTACTED = "not_contacted", Colour.IDLE, "circle-dashed", _("Not contacted yet")
    DISABLED = "disabled", Colour.HOLD, "circle-pause", _("Switched off")


NEEDS_A_LOOK = (HostState.NOT_ANSWERING, HostState.KEY_CHANGED, HostState.KEY_NOT_APPROVED)
