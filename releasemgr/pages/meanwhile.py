"""What someone else saved while a person was filling in a form (T7)."""

from datetime import datetime

from django.utils.translation import gettext as _

from releasemgr.lib.history.models import Change
from releasemgr.pages.activity_words import differences, look_of


def meanwhile_words(theirs: Change, now: datetime) -> str:
    """“T. Varga changed acme-live meanwhile. Target changed: stable → beta. “Wants to test”. Nothing was saved.”"""
    values = {"name": theirs.who, "thing": theirs.subject_name, "what": look_of(theirs.kind).label}
    found = "; ".join(each.words for each in differences(theirs.kind, theirs.before, theirs.after, now))
    said = [_("%(name)s changed %(thing)s meanwhile, and nothing was saved.") % values]
    said.append(f"{values['what']}: {found}." if found else f"{values['what']}.")
    if theirs.reason:
        said.append(f"“{theirs.reason}”")
    return " ".join(said)
