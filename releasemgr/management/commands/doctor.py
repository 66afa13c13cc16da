from argparse import ArgumentParser
from typing import Any

from releasemgr.doctor.examination import Line, examine
from releasemgr.doctor.findings import Level
from releasemgr.lib.commands import Answer, VerbCommand


class Command(VerbCommand):
    help = "Looks over the whole installation: what is wrong, and what to do. Changes nothing."

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--hosts", action="store_true", help="also signs in to each enabled host, reads its clock")

    def answer(self, **options: Any) -> Answer:
        lines = examine(reach_hosts=options["hosts"])
        wrong = sum(line.finding.level is Level.ERROR for line in lines)
        doubtful = sum(line.finding.level is Level.WARNING for line in lines)
        data = {"errors": wrong, "warnings": doubtful, "findings": [_shape(line) for line in lines]}
        refusal = f"Errors: {wrong}, warnings: {doubtful}." if wrong else ""
        return Answer(data, "\n".join(_text(line) for line in lines), refusal)


def _shape(line: Line) -> dict[str, Any]:
    found = line.finding
    return {"check": line.check, "level": found.level.value, "said": found.said, "do": found.do}


def _text(line: Line) -> str:
    found = line.finding
    return f"{found.level:<8} {line.check:<13} {found.said} {found.do}".rstrip()
