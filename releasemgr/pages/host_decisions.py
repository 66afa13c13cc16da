"""What needs a decision about hosts: one entry for each cause, however many hosts it concerns."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db.models import Count, Q
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from instances.models import Host
from instances.services import RefusedKey, refused_keys
from releasemgr.lib import words
from releasemgr.lib.choices import Colour
from releasemgr.pages.decision_entry import Entry
from upgrades.choices import EndCode
from upgrades.first_error import trouble_fingerprint

HOSTS_OWN = (EndCode.UNREACHABLE, EndCode.HOST_KEY, EndCode.SIGN_IN)
"""Ends that a host's own entry explains."""


def explained_by_hosts() -> Q:
    """The upgrades whose end is explained by an entry here. A query for the keys that are refused."""
    keys = [trouble_fingerprint("key", key.identity) for key in refused_keys()]
    keys += [trouble_fingerprint("jump", host.name) for host in Host.objects.failing_jump_hosts()]
    own = Q(end_code__in=HOSTS_OWN, instance__host__in=Host.objects.asking_for_a_person())
    return own | Q(fingerprint__in=keys)


def host_entries(now: datetime) -> Iterator[Entry]:
    """Hosts that do not answer, those whose key a person has to look at (U6), and keys that many of them refuse."""
    refused = refused_keys()
    for key in refused:
        yield _refused_key(key, now)
    told = {host.pk for key in refused for host in key.hosts}
    counted = {"site_count": Count("instances", distinct=True), "behind_count": Count("behind", distinct=True)}
    hosts: Iterable[Any] = Host.objects.asking_for_a_person().annotate(**counted).order_by("name")
    for host in hosts:
        if host.failing_since and host.pk not in told:
            yield _unanswering(host, host.site_count, host.behind_count, now)
        if host.offered_key:
            yield _asking_for_its_key(host, host.site_count)


def _sites(number: int) -> str:
    return ngettext("%(n)d site.", "%(n)d sites.", number) % {"n": number}


def _behind(number: int) -> str:
    if not number:
        return ""
    said = ngettext("%(n)d host is reached over it.", "%(n)d hosts are reached over it.", number)
    return said % {"n": number}


def _unanswering(host: Host, sites: int, behind: int, now: datetime) -> Entry:
    assert host.failing_since  # noqa: S101 - its caller looked
    since = words.moment_of(host.failing_since, now)
    return Entry(
        key=f"unanswering:{host.pk}",
        icon="unplug",
        colour=Colour.BAD,
        title=_("%(host)s has not answered since %(since)s") % {"host": host.name, "since": since},
        text=" ".join(filter(None, [_sites(sites) if sites or not behind else "", _behind(behind), host.failure])),
        url=host.get_absolute_url(),
        button=_("Open host"),
    )


def _asking_for_its_key(host: Host, sites: int) -> Entry:
    title = (
        _("%(host)s offers another key than the approved one")
        if host.key_changed
        else _("%(host)s waits for its key to be approved")
    )
    return Entry(
        key=f"host-key:{host.pk}:{host.offered_at:%Y%m%dT%H%M%S}" if host.offered_at else f"host-key:{host.pk}",
        icon="key-round",
        colour=Colour.BAD if host.key_changed else Colour.WARN,
        title=title % {"host": host.name},
        text=f"{_sites(sites)} {_('Nothing runs there until a person compared the fingerprint.')}",
        url=host.get_absolute_url(),
        button=_("Compare keys"),
    )


def _refused_key(key: RefusedKey, now: datetime) -> Entry:
    named = _("The key “%(key)s”") % {"key": key.identity} if key.identity else _("The default key")
    said = {"key": named, "n": len(key.hosts), "since": words.moment_of(key.since, now)}
    return Entry(
        key=f"key:{key.identity}:{key.since:%Y%m%dT%H%M%S}",
        icon="key-round",
        colour=Colour.BAD,
        title=_("%(key)s is refused by %(n)d hosts since %(since)s") % said,
        text=_(
            "None has taken it since. It was revoked, has expired, or is not the one that the hosts know. "
            "What waits for it is not tried on the other hosts in the same run."
        ),
        url=f"{reverse('hosts')}?view=attention",
        button=_("Show hosts"),
    )
