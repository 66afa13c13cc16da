"""U9: hosts that print faster than the dashboard writes are read no further than it can hold."""

import time
from collections.abc import Callable

import pytest

from tests.fakes import FakeHost, FakeRun
from tests.upgrades.supervising import due_upgrade, impatient, supervise, supervising, supervisor, until  # noqa: F401
from upgrades import supervisor as supervisors
from upgrades.backlog import Backlog
from upgrades.choices import Outcome
from upgrades.contact import Follower, Frame, FrameKind, FrameReader
from upgrades.host_thread import Heard, Observation
from upgrades.models import HostLease, Upgrade
from upgrades.services.logs import read_log

pytestmark = [pytest.mark.django_db(transaction=True)]


def test_a_full_backlog_waits_until_something_is_done() -> None:
    backlog = Backlog(most=10)
    backlog.add(10)
    assert backlog.is_full
    began = time.monotonic()
    backlog.wait(0.05)
    assert time.monotonic() - began >= 0.04
    backlog.done(1)
    backlog.wait(60)
    assert not backlog.is_full


def test_a_frame_longer_than_any_of_ours_is_not_waited_for() -> None:
    reader = FrameReader()
    assert reader.feed(b"L 0 999999999\nB 0 0\n") == [Frame(FrameKind.BEAT, 0, b"")]
    for _ in range(40):
        assert reader.feed(b"x" * 65536) == []
        assert len(reader._rest) <= FrameReader.LONGEST + 65536


class Flood:
    """A host that always has a piece to send."""

    PIECE = 100_000

    def __init__(self, host: FakeHost, pieces: int) -> None:
        self.host, self.left, self.most = host, pieces, 0

    def script(self, host: FakeHost, path: str, run: FakeRun, values: object) -> None:
        run.tell("upgrade 1 1.0 2.0 2.0")
        run.tell("version before 1.0")
        run.tell("start check 1 check 0")

    def follow(self, follow: Callable[..., Follower]) -> Callable[..., Follower]:
        def flooding(*args: object, **values: object) -> Follower:
            follower = follow(*args, **values)
            read = follower.read

            def more() -> list[Frame]:
                if self.left:
                    self.left -= 1
                    self.host.runs[next(iter(self.host.runs))].log += b"x" * (self.PIECE - 1) + b"\n"
                return read()

            follower.read = more  # type: ignore[method-assign]
            return follower

        return flooding


def test_u9_a_supervisor_that_falls_behind_holds_little_and_keeps_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisors, "LOAD", 300_000)
    fake = FakeHost()
    flood = Flood(fake, 80)
    fake.script = flood.script
    upgrade = due_upgrade(fake)
    one = supervisor(fake)
    one._backlog = Backlog(most=500_000)
    held: list[int] = []
    renewals: list[object] = []
    write, sleeping = one._write, 0.1
    monkeypatch.setattr("tests.fakes.FakeRemote.follow", _flooding(flood))

    def slowly(told: dict[int, list[Observation]]) -> None:
        time.sleep(sleeping)
        held.append(one._backlog._bytes)
        renewals.append(HostLease.objects.values_list("until", flat=True).first())
        assert sum(len(o.frame.data) for all_ in told.values() for o in all_ if isinstance(o, Heard)) <= 500_000
        write(told)

    monkeypatch.setattr(one, "_write", slowly)
    with supervising(one):
        until(lambda: not flood.left)
        run = fake.runs[upgrade.pk]
        until(lambda: len(read_log(Upgrade.objects.get(), 0, 10**8)) == len(run.log))
        run.finish("check", 1, "check", 1)
        run.result = "failed check check"
        until(lambda: bool(Upgrade.objects.get().outcome))
    assert Upgrade.objects.get().outcome == Outcome.BLOCKED
    assert max(held) <= 500_000 + Flood.PIECE + 1000
    assert len(set(renewals)) > 3


def _flooding(flood: Flood) -> Callable[..., Follower]:
    from tests.fakes import FakeRemote

    follow = FakeRemote.follow

    def wrapped(self: FakeRemote, *args: object, **values: object) -> Follower:
        return flood.follow(lambda *a, **v: follow(self, *a, **v))(*args, **values)

    return wrapped
