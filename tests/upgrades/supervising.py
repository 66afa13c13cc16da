"""How tests let a supervisor work: impatiently, in a thread of its own, on one site that is due."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection

from builds.maturity import Maturity
from releasemgr.lib.actors import COMMAND
from tests.factories import NOW, make_build, make_host, make_instance
from tests.fakes import FakeHost
from upgrades import host_thread
from upgrades.models import Upgrade
from upgrades.services.runs import start_upgrades
from upgrades.supervisor import Supervisor


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_thread, "PAUSES", (0.01,))
    monkeypatch.setattr(host_thread, "LISTEN", 0.02)
    monkeypatch.setattr("upgrades.supervisor.BEAT", 0.05)
    monkeypatch.setattr("upgrades.supervisor.ASK", 0.1)
    monkeypatch.setattr("upgrades.supervisor.RENEW", 0.2)


def due_upgrade(fake: FakeHost, *, reports: str = "1.0", **host: object) -> Upgrade:
    """One site that follows release, which is 2.0, and a run that is to upgrade it now."""
    make_build("1.0", maturity=Maturity.STABLE)
    make_build("2.0", maturity=Maturity.RELEASE)
    site = make_instance("acme-live", runs="1.0", host=make_host("app-1", **host))
    fake.versions[site.path] = reports
    run = start_upgrades([site], actor=COMMAND, now=NOW)
    return run.upgrades.get()


def supervisor(fake: FakeHost, **options: object) -> Supervisor:
    return Supervisor(fake.connect, now=lambda: NOW + timedelta(minutes=1), **options)  # type: ignore[arg-type]


def supervise(fake: FakeHost, lasting: float = 10) -> None:
    supervisor(fake).run(lasting=lasting)


@contextmanager
def supervising(one: Supervisor) -> Iterator[threading.Thread]:
    """Runs it in a thread of its own, as a worker would in a process of its own."""

    def work() -> None:
        try:
            one.run(lasting=20)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        one._keep_going = lambda: False
        thread.join(15)
    assert not thread.is_alive()


def until(condition: Callable[[], bool], seconds: float = 45) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.02)
