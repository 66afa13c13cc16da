"""Limits on what sites share, such as a database server: so many upgrades at once of the sites with a tag (P4)."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from instances.exceptions import InvalidInput
from instances.models import Tag
from instances.services.fleet import tags_named
from instances.services.input import refuse
from releasemgr.lib.actors import Actor
from releasemgr.lib.history.services import record, refuse_unless_seen


@transaction.atomic
def set_limit(
    name: str, most: int | None, *, actor: Actor, now: datetime, reason: str = "", seen: int | None = None
) -> bool:
    """Upgrades at once of the sites with this tag, None for no limit, and whether that changed anything.

    `seen` is the last change of any limit that the caller saw. It acts on what has not begun. A tag that is not there
    yet is made. Raises InvalidInput, or ChangedMeanwhile.
    """
    refuse({"tag": "" if name.strip() else "Say which tag."})
    try:
        [tag] = tags_named([name]).values()
    except InvalidInput as refused:
        raise InvalidInput({"tag": refused.errors["tags"]}) from refused
    tag = Tag.objects.select_for_update().get(pk=tag.pk)
    refuse_unless_seen(Tag, seen)
    before, tag.max_parallel = tag.max_parallel, most
    try:
        tag.full_clean()
    except ValidationError as error:
        raise InvalidInput(error.message_dict) from error
    if before == most:
        return False
    tag.save(update_fields=["max_parallel"])
    said = {"before": {"max_parallel": before}, "after": {"max_parallel": most}}
    record("limit.changed", tag, actor=actor, now=now, reason=reason, **said)
    return True
