"""A state's value, label, colour and icon stay together."""

import pickle

import pytest
from django.db import models
from django.utils.translation import gettext_lazy as _

from releasemgr.lib.choices import Colour, StateChoices


class Light(StateChoices):
    RUNNING = "running", Colour.RUN, "loader-circle", _("Running")
    HALTED = "halted", Colour.BAD, "octagon-x", _("Halted")


def test_a_member_is_its_value_and_knows_how_it_looks() -> None:
    light = Light("halted")

    assert light is Light.HALTED
    assert (light, light.value, str(light)) == ("halted", "halted", "halted")
    assert (str(light.label), light.colour, light.icon) == ("Halted", Colour.BAD, "octagon-x")


def test_django_sees_plain_choices() -> None:
    assert [(value, str(label)) for value, label in Light.choices] == [
        ("running", "Running"),
        ("halted", "Halted"),
    ]
    assert [str(label) for label in Light.labels] == ["Running", "Halted"]
    assert Light.values == ["running", "halted"]
    assert models.CharField(choices=Light).flatchoices == Light.choices


def test_a_member_survives_the_queue() -> None:
    assert pickle.loads(pickle.dumps(Light.RUNNING)) is Light.RUNNING  # noqa: S301 - our own bytes


def test_a_member_without_a_colour_is_refused_at_import() -> None:
    with pytest.raises(ValueError, match="not a valid Colour"):

        class Odd(StateChoices):
            ODD = "odd", _("Odd")
