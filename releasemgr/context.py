"""What the shell around every page shows. Nothing is queried unless a template asks."""

from functools import cached_property
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest
from django.urls import get_script_prefix
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from releasemgr import __version__
from releasemgr.choices import Theme
from releasemgr.lib import clock
from releasemgr.models import Profile, profile_of
from releasemgr.pages.engine import EngineBar, engine_bar
from releasemgr.pages.shell import Badge, News, news


class Section(NamedTuple):
    """A place in the side navigation; `key` follows g, `paths` are those of its pages."""

    key: str
    label: str | Promise
    icon: str
    paths: tuple[str, ...]


class Entry(NamedTuple):
    key: str
    label: str | Promise
    icon: str
    url: str
    current: bool
    badge: Badge | None


SECTIONS = (
    Section("o", _("Overview"), "house", ("",)),
    Section("s", _("Sites"), "app-window", ("sites/", "customers/", "views/")),
    Section("b", _("Builds"), "package", ("builds/",)),
    Section("r", _("Nightly runs"), "moon", ("runs/", "upgrades/")),
    Section("c", _("Calendar"), "calendar-days", ("calendar/", "freezes/")),
    Section("h", _("Hosts"), "server", ("hosts/",)),
    Section("p", _("Problems"), "bug", ("problems/",)),
    Section("a", _("Activity"), "history", ("activity/",)),
)

SETTINGS = (
    Section("", _("Schedule and waves"), "calendar-cog", ("settings/schedule/",)),
    Section("", _("Shared resources"), "gauge", ("settings/limits/",)),
    Section("", _("Promotion gates"), "sliders-horizontal", ("settings/gates/",)),
)
"""The entries below the heading Settings. No key leads there."""


class Shell:
    version = __version__

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.root = get_script_prefix()

    @cached_property
    def user(self) -> User | AnonymousUser:
        """Nobody, for a request that was refused before anyone asked who it is."""
        user: User | AnonymousUser = getattr(self.request, "user", AnonymousUser())
        return user

    @property
    def vendor(self) -> str:
        """Empty when nobody has set a name of their own."""
        return "" if settings.VENDOR_NAME == "releasemgr" else settings.VENDOR_NAME

    @property
    def search_url(self) -> str:
        return f"{self.root}search/"

    @property
    def navigation(self) -> list[Entry]:
        badges = self.news.badges if self.news else {}
        return [
            Entry(key, label, icon, self.root + paths[0], self._shows(paths), badges.get(key))
            for key, label, icon, paths in SECTIONS
        ]

    @property
    def settings_navigation(self) -> list[Entry]:
        return [
            Entry(key, label, icon, self.root + paths[0], self._shows(paths), None)
            for key, label, icon, paths in SETTINGS
        ]

    @cached_property
    def news(self) -> News | None:
        """None for whoever may not see the fleet."""
        return news(clock.now(), self.request) if self.user.has_perm("upgrades.view_run") else None

    @cached_property
    def engine_bar(self) -> EngineBar | None:
        """For everyone who is signed in, and never from a cache: it goes as soon as a worker answers."""
        return engine_bar() if self.user.is_authenticated else None

    def _shows(self, paths: tuple[str, ...]) -> bool:
        here = self.request.path.removeprefix(self.root)
        return here == "" if paths == ("",) else here.startswith(paths)

    @cached_property
    def profile(self) -> Profile:
        return profile_of(self.user) if self.user.is_authenticated else Profile()

    @property
    def theme_choice(self) -> Theme:
        return Theme(self.profile.theme)

    @property
    def theme(self) -> str:
        """For data-bs-theme: light, dark, or empty for the system's."""
        return "" if self.theme_choice is Theme.SYSTEM else self.theme_choice.value

    @property
    def single_keys(self) -> bool:
        return self.profile.single_keys

    @property
    def name(self) -> str:
        return self.user.get_full_name() or self.user.get_username() if self.user.is_authenticated else ""

    @property
    def initials(self) -> str:
        words = self.name.split() or [""]
        return (words[0][:1] + (words[-1][:1] if len(words) > 1 else "")).upper()


def shell(request: HttpRequest) -> dict[str, Shell]:
    return {"shell": Shell(request)}
