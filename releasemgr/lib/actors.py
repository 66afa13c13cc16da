"""Who did something, and from where: every change is recorded with both."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import models
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class Origin(models.TextChoices):
    PAGE = "page", _("page")
    COMMAND = "command", _("command line")
    IMPORT = "import", _("import")
    AUTOMATIC = "automatic", _("automatic")


@dataclass(frozen=True)
class Actor:
    """`user` is None for a command and for what the product does by itself."""

    origin: Origin
    user: "User | None" = None


def name_of(user: "User | None", origin: str) -> str:
    """Who did it, for the screen: the person's name, else where it came from."""
    if user is None:
        return str(Origin(origin).label)
    return user.get_full_name() or user.get_username()


COMMAND = Actor(Origin.COMMAND)
IMPORT = Actor(Origin.IMPORT)
AUTOMATIC = Actor(Origin.AUTOMATIC)
