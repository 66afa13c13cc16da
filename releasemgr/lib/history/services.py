"""Writes the history, and tells whether someone changed a thing after a person looked at it (T7)."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from releasemgr.lib.actors import Actor
from releasemgr.lib.history.models import Change

NAME_LENGTH = Change._meta.get_field("subject_name").max_length or 0


Subject = models.Model | type[models.Model]
"""A row, or a model: all of its rows."""


class ChangedMeanwhile(Exception):
    """Someone else changed it after the caller looked; `theirs` is their change. Nothing was saved.

    Of several things that were looked at together, `others` are the last changes of the rest, newest first.
    """

    def __init__(self, theirs: Change, others: Sequence[Change] = ()) -> None:
        super().__init__(f"{theirs.subject_name} was changed by {theirs.who} meanwhile. Nothing was saved.")
        self.theirs = theirs
        self.others = others


def record(
    kind: str,
    subject: models.Model,
    *,
    actor: Actor,
    now: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> Change:
    """Adds one change, in the caller's transaction. `before` and `after` name what changed, in plain values."""
    change = change_of(kind, subject, actor=actor, now=now, before=before, after=after, reason=reason)
    change.save()
    return change


def record_all(changes: Iterable[Change]) -> None:
    """Adds many that `change_of` made, in one query."""
    Change.objects.bulk_create(changes, batch_size=500)


def change_of(
    kind: str,
    subject: models.Model,
    *,
    actor: Actor,
    now: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> Change:
    """Not saved yet."""
    return Change(
        kind=kind, subject_type=type_of(subject), subject_id=str(subject.pk), subject_name=str(subject)[:NAME_LENGTH],
        at=now, by=actor.user, origin=actor.origin, before=_plain(before), after=_plain(after), reason=reason.strip(),
    )  # fmt: skip


def values_of(row: models.Model, fields: Collection[str]) -> dict[str, Any]:
    """These fields of a row, as `record` takes them; what a foreign key points to by its text."""
    return {name: _value(getattr(row, name)) for name in fields}


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Only what differs, on both sides."""
    names = [name for name in after if before.get(name) != after[name]]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}


def changes_of(subject: Subject) -> models.QuerySet[Change]:
    """Newest first."""
    changes = Change.objects.filter(subject_type=type_of(subject)).select_related("by")
    return changes if isinstance(subject, type) else changes.filter(subject_id=str(subject.pk))


def last_seen(subject: Subject) -> int:
    """The number of the last change of it, 0 for none: what a form carries as `seen`."""
    return changes_of(subject).values_list("pk", flat=True).first() or 0


def last_seen_of_each(subjects: Iterable[models.Model]) -> dict[Any, int]:
    """The number of the last change of each, all of one model, by its key; 0 for none. One query, none for none.

    Of each, since a change may be numbered before another and become visible after it.
    """
    rows = list(subjects)
    if not rows:
        return {}
    changes = Change.objects.filter(subject_type=type_of(rows[0]), subject_id__in=[str(row.pk) for row in rows])
    last = dict(changes.order_by().values_list("subject_id").annotate(models.Max("pk")))
    return {row.pk: last.get(str(row.pk), 0) for row in rows}


def refuse_unless_seen(subject: Subject, seen: int | None) -> None:
    """For a caller that holds the subject's row. None does not compare. Raises ChangedMeanwhile."""
    latest = changes_of(subject).first() if seen is not None else None
    if latest and latest.pk != seen:
        raise ChangedMeanwhile(latest)


def type_of(subject: Subject) -> str:
    return str(subject._meta.model_name)


def _value(value: Any) -> Any:
    return str(value) if isinstance(value, models.Model) else value


def _plain(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """As JSON gives it back, so that a row reads the same before and after it is saved."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(values or {}), cls=DjangoJSONEncoder))
    return plain
