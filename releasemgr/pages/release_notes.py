"""Release notes between two versions: what a site gets on its way to a build, or loses on its way back."""

from dataclasses import dataclass
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from builds.exceptions import BuildError, UnknownBuild
from builds.models import Build
from builds.services import build_named
from builds.versions import key_of_named
from releasemgr.lib.markdown import rendered
from releasemgr.lib.permission import needs

PER_PAGE = 20
OPEN = 5
UNKNOWN, INVALID = 404, 422


@dataclass(frozen=True)
class Note:
    """One build's changelog. `changelog` is rendered when it is asked for, and empty where it came without one."""

    build: Build

    @property
    def changelog(self) -> SafeString:
        return rendered(self.build.changelog)


@dataclass(frozen=True)
class ReleaseNotes:
    """Newest first. When `going_back`, what is in them is lost. `total` also counts those beyond the limit."""

    notes: list[Note]
    total: int
    going_back: bool

    @property
    def sentence(self) -> str:
        """How many builds there are in between, and which way it goes."""
        if not self.total:
            return _("No build lies between them.")
        if self.going_back:
            return ngettext(
                "Going back loses what %(n)d build brought.", "Going back loses what %(n)d builds brought.", self.total
            ) % {"n": self.total}
        return ngettext(
            "What %(n)d build brings, newest first.", "What %(n)d builds bring, newest first.", self.total
        ) % {"n": self.total}  # fmt: skip


def release_notes(current_key: str, target_key: str, *, limit: int) -> ReleaseNotes:
    """Of every build after the current version up to and including the target (or the other way round, going back).

    The current version need not be a registered build. One query, two where there are more than `limit`.
    """
    between = Build.objects.between(current_key, target_key)
    builds = list(between[: limit + 1])
    total = between.count() if len(builds) > limit else len(builds)
    return ReleaseNotes([Note(build) for build in builds[:limit]], total, target_key < current_key)


@require_safe
@needs("builds.view_build")
def build_changes(request: HttpRequest) -> HttpResponse:
    """`?from=4.2.1&to=4.2.7`. Without them it asks for them."""
    asked = {name: request.GET.get(name, "").strip() for name in ("from", "to")}
    context: dict[str, Any] = {"current": asked["from"], "target": asked["to"], "open": OPEN}
    status = 200
    if any(asked.values()):
        try:
            context |= _between(request, asked["from"], asked["to"])
        except BuildError as refused:
            context["refused"] = str(refused)
            status = UNKNOWN if isinstance(refused, UnknownBuild) else INVALID
    return render(request, "builds/changes.html", context, status=status)


def _between(request: HttpRequest, current: str, target: str) -> dict[str, Any]:
    """Raises VersionRefused, and UnknownBuild for a target that is not registered."""
    current_key, to = key_of_named(current), build_named(target)
    page = Paginator(Build.objects.between(current_key, to.version_key), PER_PAGE).get_page(request.GET.get("page"))
    known = Build.objects.filter(version_key=current_key).exists()
    total, going_back = page.paginator.count, to.version_key < current_key
    return {
        "notes": ReleaseNotes([Note(build) for build in page], total, going_back),
        "page": page,
        "unregistered": not known,
    }
