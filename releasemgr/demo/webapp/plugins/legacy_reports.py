"""The monthly report of Northlight 3, column by column. Left out from 4.20.4 on."""

from collections.abc import Iterable

WIDTHS = (8, 32, 12)


def monthly(rows: Iterable[tuple[object, object, object]]) -> str:
    lines = ("".join(str(cell)[:width].ljust(width) for cell, width in zip(row, WIDTHS, strict=True)) for row in rows)
    return "\f".join(lines)
