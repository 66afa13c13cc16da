"""The words for targets and their changes."""

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from instances.models import Target


def target_words(target: "Target") -> str:
    """“stable”, “pinned 4.19.5”."""
    return target.channel or _("pinned %(version)s") % {"version": target.build}


def change_words(before: "Target | None", after: "Target") -> str:
    if before is None:
        return _("to %(after)s") % {"after": target_words(after)}
    return _("from %(before)s to %(after)s") % {"before": target_words(before), "after": target_words(after)}
