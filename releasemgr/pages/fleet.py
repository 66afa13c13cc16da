"""How many sites follow what and run what: one query, read by every page that counts sites."""

from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Count, Min

from instances.choices import Kind
from instances.models import Instance


class Group(NamedTuple):
    """Sites that share all of this. `channel` is None for pins, `key` for a version that is unknown."""

    channel: str | None
    kind: str
    key: str | None
    version: str
    sites: int


@dataclass(frozen=True)
class VersionUse:
    key: str
    version: str
    live: int
    test: int

    @property
    def sites(self) -> int:
        return self.live + self.test


@dataclass(frozen=True)
class Fleet:
    groups: tuple[Group, ...]

    @property
    def sites(self) -> int:
        return sum(group.sites for group in self.groups)

    def of_kind(self, kind: Kind) -> int:
        return sum(group.sites for group in self.groups if group.kind == kind)

    @property
    def unknown(self) -> int:
        """Sites whose version is not known (P3)."""
        return sum(group.sites for group in self.groups if group.key is None)

    def following(self, channel: str) -> int:
        return sum(group.sites for group in self.groups if group.channel == channel)

    def following_on(self, channel: str, key: str) -> int:
        """How many of the sites that follow the channel run this version."""
        return sum(group.sites for group in self.groups if (group.channel, group.key) == (channel, key))

    def versions(self) -> list[VersionUse]:
        """Each version that is in use, newest first, in its shortest spelling."""
        spelled = sorted(self.groups, key=lambda group: (-len(group.version), group.version))
        words = {group.key: group.version for group in spelled if group.key is not None}
        return [self.use_of(key, words[key]) for key in sorted(words, reverse=True)]

    def use_of(self, key: str, version: str) -> VersionUse:
        return VersionUse(key, version, self._on(key, Kind.LIVE), self._on(key, Kind.TEST))

    def _on(self, key: str, kind: Kind) -> int:
        return sum(group.sites for group in self.groups if (group.key, group.kind) == (key, kind))


def fleet_now() -> Fleet:
    """One query."""
    rows = Instance.objects.order_by().values_list("target_channel", "kind", "reported_key")
    counted = rows.annotate(version=Min("reported_version"), sites=Count("pk"))
    return Fleet(tuple(Group(*row) for row in counted))
