"""Where in a TOML file a key stands: its reader tells only the value."""

import re
from collections import Counter

HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_-]+)\s*\]")
KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")
QUOTES = ('"""', "'''")
TOKEN = re.compile(r"""\"{3}|'{3}|"(?:\\.|[^"\\])*"|'[^']*'|\#.*""")
AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")


def line_of(text: str, key: str) -> int | None:
    """Of a key such as `steps[2].phase`; where that is not found, of its table; None for a key of no table."""
    found = _lines_by_key(text)
    while key:
        if key in found:
            return found[key]
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return None


def line_of_error(text: str, said: str) -> int:
    """Of a syntax error, in the words of `tomllib`, which has others for one at the end."""
    named = AT_LINE.search(said)
    return int(named[1]) if named else text.rstrip().count("\n") + 1


def _lines_by_key(text: str) -> dict[str, int]:
    """Tables and keys that stand at the beginning of a line; the tables of a list count from 1."""
    found: dict[str, int] = {}
    counts: Counter[str] = Counter()
    table, quote = "", ""
    for number, line in enumerate(text.split("\n"), 1):
        if not quote:
            if header := HEADER.match(line):
                counts[header[2]] += 1
                table = f"{header[2]}[{counts[header[2]]}]" if header[1] == "[[" else header[2]
                found.setdefault(table, number)
            elif key := KEY.match(line):
                found.setdefault(f"{table}.{key[1]}" if table else key[1], number)
        quote = _left_open(line, quote)
    return found


def _left_open(line: str, quote: str) -> str:
    """The quotation mark of a text of several lines that is open behind this one; empty for none."""
    at = 0
    while True:
        if quote:
            at = line.find(quote, at)
            if at < 0:
                return quote
            at, quote = at + len(quote), ""
        elif token := TOKEN.search(line, at):
            at, quote = token.end(), token[0] if token[0] in QUOTES else ""
        else:
            return ""
