"""What the limits on tags leave: sites that share something are upgraded so many at once (P4)."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from instances.models import Instance, Tag
from upgrades.models import Upgrade


def running_by_tag(tags: Collection[int]) -> Counter[int]:
    """How many upgrades are under way on the sites with each of these tags, by their ids. One query, none for none."""
    if not tags:
        return Counter()
    begun = Upgrade.objects.begun().filter(instance__tags__in=tags)
    return Counter(begun.order_by().values_list("instance__tags", flat=True))


def room_by_tag() -> dict[int, int]:
    """How many more upgrades may begin for each tag with a limit, by its id. Two queries, one without limits."""
    limits = dict(Tag.objects.exclude(max_parallel=None).values_list("pk", "max_parallel"))
    running = running_by_tag(limits)
    return {tag: (most or 0) - running[tag] for tag, most in limits.items()}


def tags_by_site(sites: Collection[int], tags: Collection[int]) -> Mapping[int, Sequence[int]]:
    """Which of these tags each of these sites has, by their ids. One query, none without tags."""
    found: dict[int, list[int]] = defaultdict(list)
    if tags:
        links = Instance.tags.through.objects.filter(instance_id__in=sites, tag_id__in=tags)
        for site, tag in links.values_list("instance_id", "tag_id"):
            found[site].append(tag)
    return found


def sites_at_a_limit(sites: Collection[int]) -> set[int]:
    """Those of these sites that wait until another one with their tag has ended. At most three queries."""
    full = [tag for tag, room in room_by_tag().items() if room <= 0]
    return set(tags_by_site(sites, full))


class Room:
    """What is left for these sites, for a caller that holds the policy: what it begins takes of it.

    At most three queries.
    """

    def __init__(self, sites: Collection[int]) -> None:
        self._room = room_by_tag()
        self._tags = tags_by_site(sites, self._room)

    def has(self, site: int) -> bool:
        return all(self._room[tag] > 0 for tag in self._tags.get(site, ()))

    def take(self, site: int) -> None:
        for tag in self._tags.get(site, ()):
            self._room[tag] -= 1


def limits_that_stop(site: Instance) -> list[Tag]:
    """The limits that keep it from beginning now. At most three queries."""
    full = [tag for tag, room in room_by_tag().items() if room <= 0]
    return list(site.tags.filter(pk__in=full)) if full else []
