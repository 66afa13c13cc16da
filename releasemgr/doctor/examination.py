"""All checks in order."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import DatabaseError

from releasemgr.doctor import database, engine, fleet, machine
from releasemgr.doctor.contact import sign_in
from releasemgr.doctor.findings import Check, Finding, Level, error

WITHOUT_DATABASE: dict[str, Check] = {
    "settings": machine.settings_of_the_processes,
    "ssh-key": machine.ssh_key,
    "disk": machine.disk,
    "time-zones": machine.time_zones,
}
WITH_DATABASE: dict[str, Check] = {
    "clock": database.clock_of_database,
    "schedule": engine.schedule,
    "workers": engine.workers,
    "tasks": engine.tasks,
    "slots": engine.slots,
    "leases": engine.leases,
    "hosts": fleet.hosts,
    "artefacts": fleet.artefacts,
    "recipes": fleet.recipes,
    "secrets": fleet.secrets,
    "zones-in-use": fleet.time_zones_in_use,
}


@dataclass(frozen=True)
class Line:
    check: str
    finding: Finding


def examine(*, reach_hosts: bool) -> list[Line]:
    """What each check found. No check needs another one to be well, but for the database."""
    return [Line(name, finding) for name, finding in _findings(reach_hosts)]


def _findings(reach_hosts: bool) -> Iterator[tuple[str, Finding]]:
    for name, check in WITHOUT_DATABASE.items():
        yield from ((name, finding) for finding in check())
    answer = database.answer_of_database()
    yield "database", answer
    if answer.level is Level.ERROR:
        return
    fits = list(database.migrations())
    yield from (("migrations", finding) for finding in fits)
    if any(finding.level is Level.ERROR for finding in fits):
        return
    for name, check in (WITH_DATABASE | ({"sign-in": sign_in} if reach_hosts else {})).items():
        yield from ((name, finding) for finding in _guarded(check))


def _guarded(check: Check) -> Iterator[Finding]:
    """A database that goes away in the middle costs the checks that need it, not the others' answers."""
    try:
        yield from check()
    except DatabaseError as lost:
        yield error(f"The database broke off: {str(lost).strip().splitlines()[0]}", "Ask again.")
