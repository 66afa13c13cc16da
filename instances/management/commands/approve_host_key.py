from argparse import ArgumentParser
from typing import Any

from instances.exceptions import InstanceError
from instances.host_keys import shown_fingerprint, type_of
from instances.services import approve_host_key, host_named, key_with
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand


class Command(VerbCommand):
    help = (
        "Approves the key that a host offered, by its fingerprint; with that of the approved one, dismisses the other."
    )
    refusals = (InstanceError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("host", metavar="HOST")
        parser.add_argument("fingerprint", metavar="SHA256:…")
        parser.add_argument("--reason", default="", help="Why the key changed: needed in place of an approved one.")

    def answer(self, **options: Any) -> Answer:
        host = host_named(options["host"])
        before, key = host.host_key, key_with(host, options["fingerprint"])
        changed = approve_host_key(host, seen=key, actor=COMMAND, now=clock.now(), reason=options["reason"])
        data = {
            "host": host.name, "changed": changed, "type": type_of(key), "fingerprint": options["fingerprint"],
            "before": shown_fingerprint(before) or None,
        }  # fmt: skip
        if not changed:
            return Answer(data, f"{options['fingerprint']} is the approved key of {host} already.")
        instead = f", instead of {data['before']}" if before and before != key else ""
        return Answer(data, f"{options['fingerprint']} ({data['type']}) is the approved key of {host}{instead}.")
