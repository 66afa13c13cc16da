"""Values of a site for its recipe, as people write them: `PACKAGE=acme PYTHON="/opt/python 3/bin/python"`."""

import re
import shlex

EXAMPLE = "PACKAGE=acme"
NAME = re.compile(r"[A-Z][A-Z0-9_]*")


def parse_values(text: str) -> dict[str, str]:
    """By name, quoted as in a shell. Raises ValueError with a sentence."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError("A quotation mark is not closed.") from None
    values: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not NAME.fullmatch(name):
            raise ValueError(f"“{word}” is not a value such as {EXAMPLE}; quote what has blanks in it.")
        if name in values:
            raise ValueError(f"{name} is there twice.")
        values[name] = value
    return values
