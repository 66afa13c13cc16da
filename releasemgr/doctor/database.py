"""The database itself: whether it answers, fits this version, and has the same time."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor

from releasemgr.doctor.findings import Finding, error, ok, warning
from releasemgr.lib import clock, words

NOTICED, TOO_FAR = timedelta(seconds=2), timedelta(seconds=30)
"""A clock that far off is told of; one that is further off decides wrongly who still works and what is due."""


def answer_of_database() -> Finding:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            (version,) = cursor.fetchone()
    except (Error, ImproperlyConfigured, OSError) as refused:
        said = str(refused).strip().splitlines() or [type(refused).__name__]
        return error(
            f"The database does not answer: {said[0]}",
            "See that it runs, and that DATABASE_URL names it. Nothing that is kept in it was looked at.",
        )
    return ok(f"PostgreSQL {version} answers.")


def migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    unknown = executor.loader.applied_migrations.keys() - executor.loader.disk_migrations.keys()
    if missing:
        said = f"Migrations that the database lacks: {len(missing)}."
        yield error(said, "Stop serve, run manage.py migrate, and start it again.")
    if unknown:
        yield error(
            f"The database was migrated by a newer version: {', '.join(sorted(name for _app, name in unknown))}.",
            "Install that version, or restore the backup from before.",
        )
    if not missing and not unknown:
        yield ok("The database is of this version.")


def clock_of_database() -> Iterator[Finding]:
    before = clock.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (theirs,) = cursor.fetchone()
    yield judge_clock("the database", theirs, before, clock.now())


def judge_clock(whose: str, theirs: datetime, before: datetime, after: datetime) -> Finding:
    """A clock that was read between two looks at this machine's own."""
    off = max(before - theirs, theirs - after, timedelta(0))
    if off < NOTICED:
        return ok(f"The clock of {whose} and this machine's agree.")
    said = f"The clock of {whose} is {words.took(off)} {'behind' if theirs < before else 'ahead of'} this machine's."
    do = "Let both follow NTP: systemctl enable --now systemd-timesyncd."
    return error(said, do) if off > TOO_FAR else warning(said, do)
