"""Brings a site's data to what this release knows: `python3 migrate.py`, with SITE_PATH in the environment.

`python3 migrate.py --back-to RELEASE_FOLDER` undoes what that older release does not know.
A migration only ever adds, so that the release before goes on working on the newer data.
"""

import os
import re
import sqlite3
import sys
import time

RELEASE = os.path.dirname(os.path.realpath(__file__))
PART = re.compile(r"^-- (apply|backfill|undo)(?: pause (?P<pause>[\d.]+) s)?$", re.MULTILINE)


class Migration:
    def __init__(self, folder: str, name: str) -> None:
        self.name = name
        with open(os.path.join(folder, "migrations", name + ".sql"), encoding="utf-8") as file:
            text = file.read()
        found = list(PART.finditer(text))
        ends = [match.start() for match in found[1:]] + [len(text)]
        self.parts = {match[1]: text[match.end() : end] for match, end in zip(found, ends, strict=True)}
        self.pause = next((float(match["pause"]) for match in found if match["pause"]), 0.0)


def known(release: str) -> list[str]:
    """Names of a release's migrations, in the order of their numbers."""
    names = [name.removesuffix(".sql") for name in os.listdir(os.path.join(release, "migrations"))]
    return sorted(names, key=lambda name: name.partition(".")[2])


def say(text: str, end: str = "\n") -> None:
    print(text, end=end, flush=True)  # noqa: T201


def connect() -> sqlite3.Connection:
    path = os.path.join(os.environ["SITE_PATH"], "shared", "data.sqlite3")
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, finished REAL)")
    return connection


def backfill(connection: sqlite3.Connection, migration: Migration) -> None:
    """In small pieces with a pause between them, because the site goes on answering meanwhile."""
    statement, done = migration.parts.get("backfill", ""), 0
    while statement and (count := connection.execute(statement).rowcount):
        done += count
        say(f"  INFO  {migration.name.partition('.')[0]}.backfill {done:,} rows")
        time.sleep(migration.pause)


def apply(connection: sqlite3.Connection, migration: Migration) -> None:
    """One that was cut off in its backfill goes on there."""
    began = time.monotonic()
    say(f"  Applying {migration.name}...", end="\n" if "backfill" in migration.parts else " ")
    begun = connection.execute("SELECT 1 FROM migrations WHERE name = ?", (migration.name,)).fetchone()
    if not begun:
        note = f"INSERT INTO migrations (name) VALUES ('{migration.name}')"  # noqa: S608 - a file name of this release
        connection.executescript(f"BEGIN IMMEDIATE; {migration.parts['apply']}; {note}; COMMIT;")
    backfill(connection, migration)
    connection.execute("UPDATE migrations SET finished = ? WHERE name = ?", (time.time(), migration.name))
    prefix = f"  {migration.name} " if "backfill" in migration.parts else ""
    say(f"{prefix}OK ({time.monotonic() - began:.3f} s)")


def undo(connection: sqlite3.Connection, migration: Migration) -> None:
    say(f"  Reversing {migration.name}...", end=" ")
    forget = f"DELETE FROM migrations WHERE name = '{migration.name}'"  # noqa: S608 - a file name of this release
    connection.executescript(f"BEGIN IMMEDIATE; {migration.parts['undo']}; {forget}; COMMIT;")
    say("OK")


def main() -> None:
    connection = connect()
    mine = known(RELEASE)
    if sys.argv[1:2] == ["--back-to"]:
        begun, stay = names(connection, "1"), set(known(sys.argv[2]))
        work, act = [name for name in reversed(mine) if name in begun and name not in stay], undo
    else:
        finished = names(connection, "finished IS NOT NULL")
        work, act = [name for name in mine if name not in finished], apply
    say(f"{len(mine)} migrations known, {len(work)} to {act.__name__}")
    for name in work:
        act(connection, Migration(RELEASE, name))


def names(connection: sqlite3.Connection, condition: str) -> set[str]:
    return {row[0] for row in connection.execute(f"SELECT name FROM migrations WHERE {condition}")}  # noqa: S608


if __name__ == "__main__":
    main()
