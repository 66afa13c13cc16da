"""Writes a table as the spreadsheet programs of our customers read it: semicolons, and a mark for UTF-8."""

from collections.abc import Iterable


def write(rows: Iterable[tuple[object, ...]]) -> bytes:
    lines = (";".join(f'"{str(cell).replace(chr(34), chr(34) * 2)}"' for cell in row) for row in rows)
    return b"\xef\xbb\xbf" + "\r\n".join(lines).encode()
