"""What a person saw of several sites before changing them all (T7, T9)."""

from collections.abc import Iterable

from django.db.models import QuerySet

from instances.models import Instance
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import ChangedMeanwhile, type_of


def last_seen_of(instances: Iterable[Instance]) -> int:
    """The number of the newest change of any of these sites, 0 for none. One query."""
    return _changes_of(instances).values_list("pk", flat=True).first() or 0


def refuse_unless_all_seen(instances: Iterable[Instance], seen: int | None) -> None:
    """For a caller that holds the rows. None does not compare. Raises ChangedMeanwhile."""
    theirs = _changes_of(instances).filter(pk__gt=seen).select_related("by").first() if seen is not None else None
    if theirs:
        raise ChangedMeanwhile(theirs)


def _changes_of(instances: Iterable[Instance]) -> QuerySet[Change]:
    numbers = [str(instance.pk) for instance in instances]
    return Change.objects.filter(subject_type=type_of(Instance()), subject_id__in=numbers)
