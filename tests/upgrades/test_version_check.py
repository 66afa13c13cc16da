"""P3, P10: sites are asked for their version, many hosts at once, in bounded time."""

import threading
import time
from collections.abc import Mapping
from datetime import timedelta

import pytest
from django.conf import settings

from instances.models import Instance
from instances.services import note_version
from releasemgr.lib import clock
from tests.factories import NOW, make_host, make_instance
from tests.fakes import FakeHost, FakeRemote
from upgrades import tasks
from upgrades.contact import HostAddress
from upgrades.exceptions import Unreachable
from upgrades.models import Run, Schedule
from upgrades.services import slots
from upgrades.version_check import ALTOGETHER, PATIENCE, ask_unknown, ask_versions

pytestmark = pytest.mark.django_db


def test_a_host_that_never_answers_delays_the_others_only_so_long() -> None:
    """P3: before a night, dead hosts must not use up the time of the task that opens it."""
    fake, go = FakeHost(), threading.Event()
    well, mute = make_instance(runs=None), make_instance(runs=None)
    fake.versions = {well.path: "1.0", mute.path: "1.0"}

    def connect(address: HostAddress) -> FakeRemote:
        if address.name == mute.host.name:
            go.wait(30)
        return fake.connect(address)

    began = time.monotonic()
    try:
        answers = ask_versions([well, mute], connect, within=0.5)
    finally:
        go.set()
    assert time.monotonic() - began < 5
    assert [(answer.raw, answer.error) for answer in answers] == [
        ("1.0", ""), ("", "The site did not answer in time."),
    ]  # fmt: skip
    mute.host.refresh_from_db()
    assert mute.host.contacted_at is None
    assert (mute.reported_version, well.reported_version) == ("", "1.0")


def test_p10_an_answer_that_comes_late_does_not_replace_what_was_reported_since() -> None:
    """An upgrade may end between the answer and its being kept."""
    fake = FakeHost()
    site = make_instance(runs="1.0")

    class Overtaken(FakeRemote):
        def read_version(self, values: Mapping[str, str], script: bytes, *, timeout: float) -> str:
            told.set()
            return "1.0"

    told = threading.Event()

    def connect(address: HostAddress) -> FakeRemote:
        return Overtaken(fake)

    loaded = Instance.objects.for_list().get()
    note_version(site, "2.0", now=NOW + timedelta(minutes=1))
    answers = ask_versions([loaded], connect)
    site.refresh_from_db()
    assert told.is_set()
    assert (answers[0].raw, answers[0].drifted, site.reported_version) == ("1.0", False, "2.0")


def test_the_round_before_a_night_ends_within_the_time_of_a_task_of_the_control_cluster() -> None:
    assert settings.Q_CLUSTER["timeout"] > ALTOGETHER + 2 * PATIENCE


def test_a_fault_while_asking_one_host_leaves_the_others_their_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeHost()
    odd, well = make_instance(runs=None), make_instance(runs=None)
    fake.versions = {well.path: "1.0"}

    def connect(address: HostAddress) -> FakeRemote:
        if address.name == odd.host.name:
            raise RuntimeError("a bug")
        return fake.connect(address)

    answers = {answer.site: answer for answer in ask_versions([odd, well], connect)}
    assert (answers[odd].error, answers[well].raw) == ("RuntimeError: a bug", "1.0")
    odd.host.refresh_from_db()
    assert odd.host.failure == "RuntimeError: a bug"


def test_only_sites_of_unknown_version_on_hosts_that_may_be_asked_are_asked() -> None:
    fake = FakeHost()
    make_instance(runs="1.0")
    make_instance(runs=None, host=make_host(enabled=False))
    make_instance(runs=None, host=make_host(host_key=""))
    unknown = make_instance(runs=None)
    fake.versions = {unknown.path: "1.0"}
    assert [answer.site for answer in ask_unknown(fake.connect)] == [unknown]


def test_a_host_that_is_away_says_since_when() -> None:
    fake = FakeHost(refusal=Unreachable("No answer within 10 seconds."))
    site = make_instance(runs=None)
    answer = ask_versions([site], fake.connect)[0]
    assert answer.error == "No answer within 10 seconds."
    site.host.refresh_from_db()
    assert site.host.failure == "No answer within 10 seconds."


def test_the_reaper_wakes_what_lost_its_supervisor_before_it_asks_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    at_two = NOW.replace(hour=2) + timedelta(days=1)
    Schedule.objects.update(since=NOW)
    make_instance(runs=None)
    monkeypatch.setattr(clock, "now", lambda: at_two)
    monkeypatch.setattr(slots, "wake_lost", lambda now: done.append("woken"))
    monkeypatch.setattr(tasks, "ask_unknown_versions", lambda connect: done.append("asked"))
    tasks.reap()
    assert done == ["woken", "asked"]
    assert Run.objects.get().date == at_two.date()
