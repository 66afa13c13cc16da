"""Copies a site's data while it is in use and keeps three copies: `python3 backup.py MOMENT`, with SITE_PATH set."""

import os
import sqlite3
import sys

KEPT = 3


def main() -> None:
    shared = os.path.join(os.environ["SITE_PATH"], "shared")
    folder = os.path.join(shared, "backups")
    os.makedirs(folder, exist_ok=True)
    name = sys.argv[1] + "-" + os.environ.get("FROM_VERSION", "manual")
    path = os.path.join(folder, name + ".sqlite3")
    with sqlite3.connect(os.path.join(shared, "data.sqlite3")) as source, sqlite3.connect(path) as copy:
        source.backup(copy)
        verdict = copy.execute("PRAGMA integrity_check").fetchone()[0]
    print(f"{os.path.getsize(path):,} bytes written to shared/backups/{name}.sqlite3, integrity {verdict}")  # noqa: T201
    for old in sorted(os.listdir(folder))[:-KEPT]:
        os.remove(os.path.join(folder, old))
    raise SystemExit(0 if verdict == "ok" else 1)


if __name__ == "__main__":
    main()
