"""Saves and deletes views. What everyone sees has a history, and nobody overwrites what another changed (T7)."""

from datetime import datetime

from django.db import transaction

from releasemgr.lib.actors import Actor
from releasemgr.lib.history.services import difference, record, refuse_unless_seen, values_of
from releasemgr.models import SavedView

FIELDS = ("name", "query", "shared")


@transaction.atomic
def save_view(view: SavedView, *, actor: Actor, now: datetime, seen: int | None = None) -> None:
    """Raises IntegrityError where its owner has one of this name, and ChangedMeanwhile."""
    known = SavedView.objects.select_for_update().filter(pk=view.pk).first() if view.pk else None
    if known:
        refuse_unless_seen(known, seen)
    before = values_of(known, FIELDS) if known else {}
    view.save()
    old, new = difference(before, values_of(view, FIELDS))
    if new and (view.shared or (known and known.shared)):
        record("view.changed" if known else "view.saved", view, actor=actor, now=now, before=old, after=new)


@transaction.atomic
def delete_view(view: SavedView, *, actor: Actor, now: datetime, seen: int | None = None) -> None:
    """Raises ChangedMeanwhile."""
    known = SavedView.objects.select_for_update().get(pk=view.pk)
    refuse_unless_seen(known, seen)
    if known.shared:
        record("view.deleted", known, actor=actor, now=now, before=values_of(known, FIELDS))
    known.delete()
