"""What an address names, or the page for what is not there."""

from django.http import Http404
from django.utils.translation import gettext as _

from builds.exceptions import UnknownBuild, VersionRefused
from builds.maturity import Maturity
from builds.models import Build
from builds.services import build_named


def build_or_404(version: str) -> Build:
    """By any spelling of its version (R1)."""
    try:
        return build_named(version)
    except (UnknownBuild, VersionRefused) as error:
        raise Http404(str(error)) from error


def maturity_or_404(name: str) -> Maturity:
    """A channel, or candidate: where a build may be moved."""
    try:
        return Maturity[name.upper()]
    except KeyError as error:
        raise Http404(_("There is no channel %(name)s.") % {"name": name}) from error
