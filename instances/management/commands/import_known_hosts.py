from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from instances.exceptions import InstanceError
from instances.services import KnownHostsReport, import_known_hosts
from releasemgr.lib import clock
from releasemgr.lib.actors import IMPORT
from releasemgr.lib.commands import Answer, VerbCommand


class Command(VerbCommand):
    help = "Approves the keys of an OpenSSH known_hosts file, for hosts that have none."
    refusals = (InstanceError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--replace", action="store_true", help="Also in place of approved keys; needs --reason.")
        parser.add_argument("--authorities", action="store_true", help="Also trusts @cert-authority; needs --reason.")
        parser.add_argument("--reason", default="")

    def answer(self, **options: Any) -> Answer:
        report = import_known_hosts(
            _text(options["file"]), actor=IMPORT, now=clock.now(), replace=options["replace"],
            authorities=options["authorities"], reason=options["reason"],
        )  # fmt: skip
        return Answer(vars(report), "\n".join(_lines(report)))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error


def _lines(report: KnownHostsReport) -> list[str]:
    groups = {
        "Pinned": report.pinned, "Replaced": report.replaced, "No longer approved": report.unpinned,
        "The same already": report.same, "Not in the file": report.not_in_file,
        "Lines about no host of ours": [str(number) for number in report.unused_lines],
    }  # fmt: skip
    said = [f"{title}: {', '.join(names)}." for title, names in groups.items() if names]
    trusted = "is trusted" if report.trusted else "is not trusted without --authorities"
    said += [f"The authority {mark} {trusted} on {names}." for mark, names in report.authorities.items()]
    said += [f"{host}: {why}" for host, why in report.refused.items()]
    return [*said, *report.faults] or ["The file has no lines."]
