"""What a person saw of several sites before changing them all (T7, T9)."""

from collections.abc import Iterable, Mapping

from instances.models import Instance
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import ChangedMeanwhile, last_seen_of_each


def last_seen_of(instances: Iterable[Instance]) -> dict[int, int]:
    """The number of the last change of each of these sites by its id, 0 for none. One query."""
    return last_seen_of_each(instances)


def refuse_unless_all_seen(instances: Iterable[Instance], seen: Mapping[int, int] | None) -> None:
    """For a caller that holds the rows. None does not compare. Raises ChangedMeanwhile with all that were changed."""
    if seen is None:
        return
    unseen = [last for pk, last in last_seen_of(instances).items() if last != seen.get(pk, 0)]
    if unseen:
        newest, *others = Change.objects.select_related("by").filter(pk__in=unseen).order_by("-pk")
        raise ChangedMeanwhile(newest, others)
