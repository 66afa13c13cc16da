from argparse import ArgumentParser
from typing import Any

from instances.exceptions import InstanceError
from instances.services import remove_authority
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand


class Command(VerbCommand):
    help = "Trusts an authority no longer, nor the keys of hosts that it alone vouched for."
    refusals = (InstanceError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("fingerprint", metavar="SHA256:…")
        parser.add_argument("--reason", default="")

    def answer(self, **options: Any) -> Answer:
        hosts = remove_authority(
            options["fingerprint"], actor=COMMAND, now=clock.now(), reason=options["reason"]
        )  # fmt: skip
        names = [host.name for host in hosts]
        said = f" No longer approved: {', '.join(names)}." if names else ""
        data = {"authority": options["fingerprint"], "unpinned": names}
        return Answer(data, f"{options['fingerprint']} is trusted no longer.{said}")
