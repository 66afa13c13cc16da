from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from instances.exceptions import InstanceError
from instances.services import add_authority
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand


class Command(VerbCommand):
    help = "Trusts keys of hosts that an authority has signed, on the hosts that the patterns match."
    refusals = (InstanceError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", metavar="NAMES", help="As in known_hosts: *.example.net,[gate.example.net]:2222")
        parser.add_argument("file", type=Path, metavar="FILE", help="The authority's public key.")
        parser.add_argument("--reason", default="")

    def answer(self, **options: Any) -> Answer:
        try:
            key = options["file"].read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be read: {error.strerror}.") from error
        row = add_authority(options["names"], key, actor=COMMAND, now=clock.now(), reason=options["reason"])
        data = {"authority": row.fingerprint, "names": row.names}
        return Answer(data, f"What {row} signs is trusted on {row.names}.")
