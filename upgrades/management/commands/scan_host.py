from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from instances.exceptions import InstanceError
from instances.host_keys import fingerprint, shown_fingerprint, type_of
from instances.models import Host
from instances.services import approve_host_key, hosts_named, key_with
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand, table
from upgrades import tasks
from upgrades.exceptions import ContactError


class Command(VerbCommand):
    help = "Asks hosts for their key, without signing in, and shows its type and fingerprint. With --approve, pins it."
    refusals = (InstanceError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("hosts", nargs="+", metavar="HOST")
        parser.add_argument("--approve", metavar="SHA256:…", help="Approves the key if it has this fingerprint.")
        parser.add_argument("--reason", default="", help="Why the key changed: needed in place of an approved one.")

    def answer(self, **options: Any) -> Answer:
        hosts = hosts_named(options["hosts"])
        if options["approve"] and len(hosts) > 1:
            raise CommandError("--approve is for one host: every host has a key of its own.")
        scanned = [_scanned(host) for host in hosts]
        if options["approve"]:
            _approve(hosts[0], scanned[0], options)
            scanned[0] |= {"state": "approved", "approved": options["approve"]}
        return Answer(
            {"hosts": scanned},
            table(["Host", "Type", "Fingerprint", "Approved", "State"], [_row(one) for one in scanned]),
        )


def _scanned(host: Host) -> dict[str, Any]:
    """`state` is approved, not approved, changed or unreachable."""
    said = {"host": host.name, "approved": shown_fingerprint(host.host_key) or None, "error": None}
    try:
        key = tasks.scan_host(host)
    except ContactError as error:
        return said | {"type": None, "fingerprint": None, "state": "unreachable", "error": str(error)}
    state = "approved" if key == host.host_key else "changed" if host.host_key else "not approved"
    return said | {"type": type_of(key), "fingerprint": fingerprint(key), "state": state}


def _row(one: dict[str, Any]) -> list[str]:
    return [str(one[key] or "") for key in ("host", "type", "fingerprint", "approved")] + [one["error"] or one["state"]]


def _approve(host: Host, scanned: dict[str, Any], options: dict[str, Any]) -> None:
    if scanned["error"]:
        raise CommandError(scanned["error"])
    if scanned["fingerprint"] != options["approve"]:
        raise CommandError(f"{host} offers {scanned['fingerprint']}. Nothing was approved.")
    key = key_with(host, options["approve"])
    approve_host_key(host, seen=key, actor=COMMAND, now=clock.now(), reason=options["reason"])
