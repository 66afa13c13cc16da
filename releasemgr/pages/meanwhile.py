"""What someone else changed while a form was open, in words (T7)."""

from datetime import datetime

from django.utils.translation import gettext as _

from releasemgr.lib.history.services import ChangedMeanwhile
from releasemgr.pages.activity_words import differences, look_of


def meanwhile_words(refused: ChangedMeanwhile, now: datetime) -> str:
    """“Ines Okafor changed P-118 meanwhile: severity minor → blocker. Nothing was saved.”"""
    theirs = refused.theirs
    said = ", ".join(one.words for one in differences(theirs.kind, theirs.before, theirs.after, now) if one.words)
    values = {
        "who": theirs.who, "name": theirs.subject_name, "what": str(look_of(theirs.kind).label).lower(),
        "said": said, "reason": theirs.reason,
    }  # fmt: skip
    if said and theirs.reason:
        return _("%(who)s changed %(name)s meanwhile: %(what)s, %(said)s (“%(reason)s”). Nothing was saved.") % values
    if said:
        return _("%(who)s changed %(name)s meanwhile: %(what)s, %(said)s. Nothing was saved.") % values
    return _("%(who)s changed %(name)s meanwhile: %(what)s. Nothing was saved.") % values
