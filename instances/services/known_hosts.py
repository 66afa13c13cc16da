"""Pins the keys of a known_hosts file to hosts that have none (U6)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from instances.host_keys import PREFERRED, shown_fingerprint, type_of
from instances.known_hosts import KnownLine, Mark, keys_for, name_of, read_known_hosts
from instances.models import Host
from instances.services.authorities import add_authority
from instances.services.hosts import pin_key, unpin_key
from instances.services.input import reason_fault, refuse
from releasemgr.lib.actors import Actor


@dataclass
class KnownHostsReport:
    """Hosts by name, lines by number. `refused` says why a host got no key from the file, `faults` what is no line."""

    pinned: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unpinned: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    not_in_file: list[str] = field(default_factory=list)
    unused_lines: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    authorities: dict[str, str] = field(default_factory=dict)
    """By fingerprint, the names for which the file trusts them."""
    trusted: bool = False
    """Whether these were taken over."""


@transaction.atomic
def import_known_hosts(
    text: str, *, actor: Actor, now: datetime, replace: bool = False, authorities: bool = False, reason: str = ""
) -> KnownHostsReport:
    """Pins to each host without a key the one that the file gives it; `replace` also changes keys, `authorities` also
    trusts those that the file names, and either needs a reason.

    A host is found by its address and port, as OpenSSH does it. Raises InvalidInput for the missing reason.
    """
    if replace or authorities:
        refuse({"reason": reason_fault(reason)})
    lines, faults = read_known_hosts(text)
    hosts = list(Host.objects.select_for_update().order_by("pk"))
    names = {name_of(host.address, host.port) for host in hosts}
    report = KnownHostsReport(faults=faults)
    report.unused_lines = [
        line.number for line in lines if not any(map(line.speaks_of, names)) and line.mark is Mark.NONE
    ]
    for line in lines:
        if line.mark is Mark.AUTHORITY:
            report.authorities[shown_fingerprint(line.key)] = line.names
            if authorities:
                add_authority(line.names, line.key, actor=actor, now=now, reason=reason)
    report.trusted = authorities
    for host in sorted(hosts, key=lambda one: one.name):
        _Verdict(host, lines, report).settle(actor, now, reason, replace=replace)
    return report


class _Verdict:
    """What a file's lines mean for one host."""

    def __init__(self, host: Host, lines: Sequence[KnownLine], report: KnownHostsReport) -> None:
        self.host, self.report = host, report
        keys, self.revoked = keys_for(lines, name_of(host.address, host.port))
        self.named = bool(keys or self.revoked)
        self.keys = [key for key in keys if type_of(key) in PREFERRED]

    def settle(self, actor: Actor, now: datetime, reason: str, *, replace: bool) -> None:
        host, report = self.host, self.report
        key, why_not = self._chosen()
        if not self.named:
            report.not_in_file.append(host.name)
        elif host.host_key and host.host_key in self.keys:
            report.same.append(host.name)
        elif host.host_key and not replace:
            report.refused[host.name] = self._kept()
        elif key:
            (report.replaced if host.host_key else report.pinned).append(host.name)
            pin_key(host, key, actor=actor, now=now, reason=reason)
        elif host.host_key in self.revoked:
            unpin_key(host, actor=actor, now=now, reason=reason)
            report.unpinned.append(host.name)
        else:
            report.refused[host.name] = why_not

    def _kept(self) -> str:
        if self.host.host_key in self.revoked:
            return "The file revokes its approved key. --replace takes the approval back, with a reason."
        return "Another key is approved. --replace takes the one of the file, with a reason."

    def _chosen(self) -> tuple[str, str]:
        """The key to pin, or why there is none: the one that the host offered, else the best type, if that is clear."""
        if self.host.offered_key in self.keys:
            return self.host.offered_key, ""
        if not self.keys:
            return "", "The file has only revoked keys for it, or keys of types that are not supported."
        best = min(map(type_of, self.keys), key=PREFERRED.index)
        of_type = [key for key in self.keys if type_of(key) == best]
        if len(of_type) > 1:
            return "", f"The file has {len(of_type)} {best} keys for it. Scan the host, and approve the right one."
        return of_type[0], ""
