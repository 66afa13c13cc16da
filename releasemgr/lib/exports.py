"""Files for spreadsheets, written while they are sent, however many rows there are."""

import csv
from collections.abc import Iterable, Iterator, Sequence

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(text: str) -> str:
    """A spreadsheet must not take for a formula what somebody wrote or a site reported."""
    return f"'{text}" if text.startswith(FORMULA) else text


def csv_lines(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Each row as a line of CSV, ended as CSV has it."""
    writer = csv.writer(_Echo())
    for row in rows:
        yield writer.writerow([cell(text) for text in row])


class _Echo:
    """A file that hands back what is written into it."""

    def write(self, text: str) -> str:
        return text
