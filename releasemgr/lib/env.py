"""Reads settings from the environment, strictly: a bad value stops the start and names the setting."""

import os
from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from django.core.exceptions import ImproperlyConfigured

YES = {"1", "true", "yes", "on"}
NO = {"0", "false", "no", "off"}


class Env:
    """The settings of one process. `source` is os.environ, or a mapping in tests.

    Every reader raises ImproperlyConfigured, with the setting's name and what it accepts.
    """

    def __init__(self, source: Mapping[str, str] | None = None) -> None:
        self.source = os.environ if source is None else source

    def text(self, name: str, default: str | None = None) -> str:
        value = self.source.get(name, "").strip() or default
        if value is None:
            raise ImproperlyConfigured(f"{name} is not set. It has no default.")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.text(name, "yes" if default else "no").lower()
        if value not in YES | NO:
            raise ImproperlyConfigured(f"{name} is “{value}”. It takes yes or no.")
        return value in YES

    def number(self, name: str, default: int, *, least: int = 0, most: int = 2**31 - 1) -> int:
        value = self.text(name, str(default))
        try:
            number = int(value)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise ImproperlyConfigured(f"{name} is “{value}”. It takes a whole number from {least} to {most}.")
        return number

    def words(self, name: str, default: str = "") -> list[str]:
        """A list written with commas."""
        return [word.strip() for word in self.text(name, default).split(",") if word.strip()]

    def path(self, name: str, default: Path) -> Path:
        return Path(self.text(name, str(default))).expanduser().resolve()

    def zone(self, name: str, default: str) -> str:
        value = self.text(name, default)
        if value not in available_timezones():
            raise ImproperlyConfigured(f"{name} is “{value}”. It takes an IANA time zone, such as Europe/London.")
        return ZoneInfo(value).key
