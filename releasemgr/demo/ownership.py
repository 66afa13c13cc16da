"""Whose content the database holds. The demo marks what it made, so that it never touches anybody else's."""

import json
from enum import Enum
from pathlib import Path

from django.contrib.auth.models import User
from django.db import connection

from builds.models import Build
from instances.models import Host
from upgrades.models import Schedule

TABLE = Schedule._meta.db_table


class Content(Enum):
    EMPTY = "empty"
    BEGUN = "a demo that was not finished"
    FINISHED = "a demo"
    LEFT = "a demo of which nothing else is left here"
    FOREIGN = "something else"


def content(root: Path) -> Content:
    """What the database holds, seen by the demo whose world is under `root`. The tables must be there."""
    mark = _read()
    if mark is None:
        strangers = any(model.objects.exists() for model in (User, Build, Host))
        return Content.FOREIGN if strangers else Content.EMPTY
    if mark["root"] != str(root) or not root.exists():
        return Content.LEFT
    return Content.FINISHED if mark["finished"] else Content.BEGUN


def mark(root: Path, *, finished: bool) -> None:
    """As a comment on a table of ours: it survives whatever happens to the rows."""
    text = json.dumps({"made by": "manage.py demo", "root": str(root), "finished": finished})
    with connection.cursor() as cursor:
        cursor.execute(f"COMMENT ON TABLE {connection.ops.quote_name(TABLE)} IS %s", [text])


def _read() -> dict[str, object] | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT obj_description(%s::regclass, 'pg_class')", [TABLE])
        text = cursor.fetchone()[0]
    return json.loads(text) if text else None
