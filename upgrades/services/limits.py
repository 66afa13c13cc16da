"""What the limits on tags leave: sites that share something are upgraded so many at once (P4)."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from django.db.models import Count, F, Q

from instances.models import Instance, Tag
from upgrades.choices import BEGUN


def room_by_tag() -> dict[int, int]:
    """How many more upgrades may begin for each tag with a limit, by its id. One query."""
    running = Count("instances__upgrades", filter=Q(instances__upgrades__state__in=BEGUN))
    limited = Tag.objects.exclude(max_parallel=None).annotate(running=running)
    return dict(limited.annotate(room=F("max_parallel") - F("running")).values_list("pk", "room"))


def tags_by_site(sites: Collection[int], tags: Collection[int]) -> Mapping[int, Sequence[int]]:
    """Which of these tags each of these sites has, by their ids. One query, none without tags."""
    found: dict[int, list[int]] = defaultdict(list)
    if tags:
        links = Instance.tags.through.objects.filter(instance_id__in=sites, tag_id__in=tags)
        for site, tag in links.values_list("instance_id", "tag_id"):
            found[site].append(tag)
    return found


def sites_at_a_limit(sites: Collection[int]) -> set[int]:
    """Those of these sites that wait until another one with their tag has ended. At most two queries."""
    full = [tag for tag, room in room_by_tag().items() if room <= 0]
    return set(tags_by_site(sites, full))


class Room:
    """What is left for these sites, for a caller that holds the policy: what it begins takes of it. Two queries."""

    def __init__(self, sites: Collection[int]) -> None:
        self._room = room_by_tag()
        self._tags = tags_by_site(sites, self._room)

    def has(self, site: int) -> bool:
        return all(self._room[tag] > 0 for tag in self._tags.get(site, ()))

    def take(self, site: int) -> None:
        for tag in self._tags.get(site, ()):
            self._room[tag] -= 1


def limits_that_stop(site: Instance) -> list[Tag]:
    """The limits that keep it from beginning now. At most two queries."""
    full = [tag for tag, room in room_by_tag().items() if room <= 0]
    return list(site.tags.filter(pk__in=full)) if full else []
