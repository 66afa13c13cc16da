"""Choices that carry how they look: a label, a colour and an icon beside the value."""

from enum import StrEnum
from typing import Self

from django.db import models


class Colour(StrEnum):
    """What a state means to the reader. Each has its tokens at the top of releasemgr.css."""

    OK = "ok"  # done, passed
    RUN = "run"  # will happen, is happening
    WARN = "warn"  # look, but the site is up
    BAD = "bad"  # broken or blocked
    HOLD = "hold"  # a person decided this
    IDLE = "idle"  # nothing to do, or a rule decided


class StateChoices(models.TextChoices):
    """Members are written `RUNNING = "running", Colour.RUN, "loader-circle", _("Running")`.

    The label stands last, where Django looks for it. The icon is a Lucide name, or "" for a word alone.
    """

    colour: Colour
    icon: str

    # The defaults are for type checkers, which read Status("running") as a call of this.
    def __new__(cls, value: str, colour: str = "", icon: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.colour = Colour(colour)
        member.icon = icon
        return member
