"""An old address of a customer, a host or a site leads to what bears another name now."""

from typing import TypeVar

from django.http import Http404
from django.utils.translation import gettext as _

from instances.models import Customer, Host, Instance
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import type_of

Row = TypeVar("Row", Customer, Host, Instance)
NAMES = {Customer: "slug", Host: "name", Instance: "slug"}


def renamed_or_404(model: type[Row], name: str) -> Row:
    """What was called so last, where nothing is called so any more. For a page that has not found it."""
    old = {f"before__{NAMES[model]}": name}
    changes = Change.objects.filter(subject_type=type_of(model()), kind__endswith=".changed", **old)
    number = changes.order_by("-pk").values_list("subject_id", flat=True).first()
    found = model._default_manager.filter(pk=number).first() if number else None
    if found is None:
        raise Http404(_("There is no %(name)s.") % {"name": name})
    return found
