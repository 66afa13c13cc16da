"""Runs management commands as a person or a script does."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command


def text_of(name: str, *arguments: object) -> str:
    out = StringIO()
    call_command(name, *map(str, arguments), stdout=out, stderr=StringIO())
    return out.getvalue().rstrip("\n")


def json_of(name: str, *arguments: object) -> Any:
    return json.loads(text_of(name, *arguments, "--json"))


def refusal_of(name: str, *arguments: object) -> str:
    """What a command refuses with: what `manage.py` prints before it exits with 1, without a traceback."""
    with pytest.raises(CommandError) as refused:
        text_of(name, *arguments)
    assert refused.value.returncode == 1
    return str(refused.value)
