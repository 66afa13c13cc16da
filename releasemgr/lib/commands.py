"""The base of our management commands: one verb each, for people and, with --json, for scripts.

A refusal is one line on standard error and the exit status 1; a wrong argument the exit status 2.
"""

import json
import logging
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError
from django.utils import timezone
from django.utils.dateparse import parse_datetime


@dataclass(frozen=True)
class Answer:
    """What a command found or did: for scripts, whose keys stay as they are, and for people.

    With a `refusal` the answer is printed all the same, and the exit status is 1.
    """

    data: dict[str, Any]
    text: str
    refusal: str = ""


class VerbCommand(BaseCommand):
    """Subclasses say what they refuse with, take `arguments` and `answer`."""

    refusals: tuple[type[Exception], ...] = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="Prints one JSON object instead of text.")
        self.arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with _quiet_log():
                answer = self.answer(**options)
        except self.refusals as error:
            raise CommandError(str(error)) from error
        except OperationalError as error:
            raise CommandError(f"The database does not answer: {str(error).strip().splitlines()[0]}") from error
        self.stdout.write(as_json(answer.data) if options["json"] else answer.text)
        if answer.refusal:
            raise CommandError(answer.refusal)

    def arguments(self, parser: ArgumentParser) -> None:
        raise NotImplementedError

    def answer(self, **options: Any) -> Answer:
        raise NotImplementedError


@contextmanager
def _quiet_log() -> Iterator[None]:
    """Standard error is for the refusal and for progress, not for the log of the libraries."""
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def as_json(data: dict[str, Any]) -> str:
    return json.dumps(data, default=_plain, ensure_ascii=False, indent=2)


def _plain(value: object) -> object:
    """Times in ISO 8601, durations in seconds, words in the reader's language."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value.total_seconds() if isinstance(value, timedelta) else str(value)


def moment(text: str) -> datetime:
    """A time as an argument; without an offset it is one of the installation's zone."""
    read = local_moment(text)
    return timezone.make_aware(read) if timezone.is_naive(read) else read


def local_moment(text: str) -> datetime:
    """A time as an argument, as it was written: without an offset it is in no zone yet."""
    try:
        read = parse_datetime(text)
    except ValueError:
        read = None
    if read is None:
        raise ArgumentTypeError(f"“{text}” is not a time. It looks like 2026-11-24T01:00.")
    return read


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns, two spaces apart."""
    lines = [list(head), *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
