"""When sites may be upgraded: their own windows, else the default ones, else always (P6)."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Q

from instances.exceptions import InvalidInput
from instances.models import Instance, SiteWindow
from instances.services.input import locked
from instances.window_text import WindowsInvalid, format_windows, parse_windows
from instances.windows import Window
from releasemgr.lib.actors import Actor
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import record, refuse_unless_seen

ONE_DEFAULT = 7_206_001
"""The advisory lock of whoever changes the default windows, which are no row that could be locked."""


def default_subject() -> SiteWindow:
    """What the history says of the default windows stands under this: last_seen(default_subject())."""
    return SiteWindow(pk=0)


def windows_for(instances: Collection[Instance] | None, *, every: bool = False) -> dict[int, tuple[Window, ...]]:
    """The windows that hold for each site, by its key: its own, else the default ones. None of either: always.

    None means all sites, and `every` that these are all. At most two queries, one where the sites are given.
    """
    rows = SiteWindow.objects.all()
    if instances is None:
        sites = list(Instance.objects.order_by().values_list("pk", flat=True))
    else:
        sites = [site.pk for site in instances]
    if instances is not None and not every:
        rows = rows.filter(Q(instance=None) | Q(instance__in=sites))
    own: dict[int | None, list[Window]] = defaultdict(list)
    for row in rows:
        own[row.instance_id].append(row.window)
    default = tuple(own[None])
    return {pk: tuple(own[pk]) if pk in own else default for pk in sites}


def windows_of(instance: Instance | None) -> tuple[Window, ...]:
    """A site's own windows, without the default; those of None are the default."""
    return tuple(row.window for row in SiteWindow.objects.filter(instance=instance))


def sites_with_windows() -> set[int]:
    """The ids of those that have windows of their own, whatever the default says."""
    own = SiteWindow.objects.filter(instance__isnull=False)
    return set(own.order_by().values_list("instance", flat=True).distinct())


def read_windows(text: str) -> tuple[Window, ...]:
    """Windows as people write them. Raises InvalidInput for the field `window`."""
    try:
        return parse_windows(text)
    except WindowsInvalid as error:
        raise InvalidInput({"window": error.errors}) from error


def set_windows(
    instance: Instance | None, windows: Sequence[Window], *, actor: Actor, now: datetime, reason: str = "",
    seen: int | None = None,
) -> Change | None:  # fmt: skip
    """Gives a site, or the default for None, these windows and no other. None where it has them already.

    A site without windows takes the default ones. Raises InvalidInput (P6) or ChangedMeanwhile.
    """
    wanted = tuple(dict.fromkeys(windows))
    if faults := [window.fault for window in wanted if window.fault]:
        raise InvalidInput({"window": faults})
    with transaction.atomic():
        subject = _locked(instance)
        refuse_unless_seen(subject, seen)
        before = windows_of(instance)
        if set(before) == set(wanted):
            return None
        put_windows(instance, wanted)
        return record(
            "window.changed", subject, actor=actor, now=now, reason=reason,
            before={"window": format_windows(before)}, after={"window": format_windows(wanted)},
        )  # fmt: skip


def put_windows(instance: Instance | None, windows: Sequence[Window]) -> None:
    """Writes them, without a record."""
    SiteWindow.objects.filter(instance=instance).delete()
    SiteWindow.objects.bulk_create([SiteWindow.of(window, instance) for window in windows])


def _locked(instance: Instance | None) -> Instance | SiteWindow:
    if instance is not None:
        return locked([instance])[0]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ONE_DEFAULT])
    return default_subject()
