from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from instances.exceptions import FleetInvalid
from instances.fleet_import import Fate, FleetReport, import_fleet
from releasemgr.lib import clock
from releasemgr.lib.actors import IMPORT
from releasemgr.lib.commands import Answer, VerbCommand, table

SHOWN = 50


class Command(VerbCommand):
    help = "Imports customers, hosts and sites from a CSV or JSON file (docs/import.md): all of them or none."

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="Ends in .csv or .json.")

    def answer(self, **options: Any) -> Answer:
        try:
            report = import_fleet(options["file"], actor=IMPORT, now=clock.now())
        except FleetInvalid as refused:
            raise CommandError(_refusal(refused.errors)) from refused
        return Answer(_shape(report), _text(report))


def _refusal(errors: list[str]) -> str:
    number = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
    more = [f"… and {len(errors) - SHOWN} more."] if len(errors) > SHOWN else []
    return "\n".join([f"Nothing was imported: {number}.", *errors[:SHOWN], *more])


def _parts(report: FleetReport) -> dict[str, dict[str, Fate]]:
    return {"customers": report.customers, "hosts": report.hosts, "sites": report.sites}


def _shape(report: FleetReport) -> dict[str, Any]:
    counts = {name: _counted(fates) for name, fates in _parts(report).items()}
    return counts | {"pinned_keys": report.pinned_keys, "kept_targets": report.kept_targets}


def _counted(fates: dict[str, Fate]) -> dict[str, int]:
    found = Counter(fates.values())
    return {fate.value: found[fate] for fate in Fate}


def _text(report: FleetReport) -> str:
    rows = [[name, *_counted(fates).values()] for name, fates in _parts(report).items()]
    lines = [table(["", *Fate], rows)]
    if report.pinned_keys:
        lines.append(f"Keys pinned: {', '.join(report.pinned_keys)}.")
    if report.kept_targets:
        lines.append(f"Targets left as someone set them: {', '.join(report.kept_targets)}.")
    return "\n".join(lines)
