"""Signs of life: who leaves them, and that asking for them never piles up."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django_q.models import OrmQ

from releasemgr.lib import clock, queue
from releasemgr.lib.heartbeats.models import Heartbeat
from releasemgr.lib.heartbeats.services import (
    CONTROL,
    ENOUGH,
    LIMIT,
    SCHEDULE,
    UPGRADES,
    ask,
    beat,
    ensure_heartbeats,
    hangs,
    silences,
)
from tests.factories import NOW
from upgrades import tasks
from upgrades.services import slots
from upgrades.services.runs import wake_reaper

pytestmark = pytest.mark.django_db


@pytest.fixture
def all_silent() -> None:
    Heartbeat.objects.update(at=None)


def aged(name: str, age: timedelta) -> None:
    Heartbeat.objects.filter(name=name).update(at=Now() - age)


@pytest.mark.usefixtures("all_silent")
def test_what_was_never_heard_is_silent_and_for_no_known_time() -> None:
    assert silences() == dict.fromkeys((CONTROL, SCHEDULE, UPGRADES))


def test_silence_begins_after_the_limit_and_has_its_length() -> None:
    aged(CONTROL, LIMIT - timedelta(seconds=5))
    aged(UPGRADES, LIMIT + timedelta(seconds=5))

    silent = silences()

    assert list(silent) == [UPGRADES]
    lasts = silent[UPGRADES]
    assert lasts is not None
    assert LIMIT < lasts < LIMIT + timedelta(minutes=1)


def test_a_sign_of_life_is_written_by_the_databases_time_whatever_the_clock_says(noon: None) -> None:
    Heartbeat.objects.update(at=NOW - timedelta(days=3000))
    beat(UPGRADES)
    assert UPGRADES not in silences()


def test_signs_that_come_every_second_are_not_all_written_down() -> None:
    aged(UPGRADES, ENOUGH / 2)
    before = Heartbeat.objects.get(name=UPGRADES).at
    beat(UPGRADES)
    assert Heartbeat.objects.get(name=UPGRADES).at == before
    aged(UPGRADES, ENOUGH * 2)
    beat(UPGRADES)
    assert silences(ENOUGH) == {}


def test_what_is_watched_is_kept_with_its_last_sign() -> None:
    Heartbeat.objects.filter(name=SCHEDULE).delete()
    aged(UPGRADES, LIMIT * 2)
    ensure_heartbeats()
    assert set(silences()) == {SCHEDULE, UPGRADES}
    assert silences()[UPGRADES] is not None


def test_a_question_that_nobody_takes_is_not_asked_again() -> None:
    assert ask(UPGRADES, clock.now())
    assert not ask(UPGRADES, clock.now())
    assert queue.waiting(UPGRADES) == 1


def test_a_question_whose_worker_died_is_asked_again() -> None:
    assert ask(UPGRADES, clock.now())
    OrmQ.objects.update(lock=clock.now() + timedelta(minutes=40))  # taken, and never acknowledged
    assert ask(UPGRADES, clock.now())


@pytest.mark.usefixtures("all_silent")
def test_the_reaper_shows_that_the_schedule_lives_and_asks_the_upgrades_cluster() -> None:
    for _ in range(3):
        tasks.reap()

    assert list(silences()) == [UPGRADES]
    assert [(task.key, task.name()) for task in OrmQ.objects.all()] == [("upgrades", "sign of life")]


@pytest.mark.usefixtures("all_silent")
def test_the_answer_to_the_question_is_a_sign_of_the_cluster_that_took_it() -> None:
    ask(UPGRADES, clock.now())
    task = OrmQ.objects.get().task

    assert task["func"] == "releasemgr.lib.heartbeats.services.beat"
    beat(*task["args"])

    assert set(silences()) == {CONTROL, SCHEDULE}


@pytest.mark.usefixtures("all_silent")
def test_a_supervising_task_is_a_sign_of_life_also_where_it_has_nothing_to_do() -> None:
    slots.ensure_slots()
    tasks.supervise(1)
    assert set(silences()) == {CONTROL, SCHEDULE}


def waits_for(age: timedelta) -> None:
    OrmQ.objects.create(key=UPGRADES, payload="", lock=clock.now() - age)


def test_a_cluster_hangs_when_it_is_silent_although_tasks_wait() -> None:
    aged(UPGRADES, LIMIT + timedelta(seconds=5))
    assert not hangs(UPGRADES, clock.now(), LIMIT * 2), "nobody asked it"
    waits_for(queue.MARGIN - timedelta(seconds=5))
    assert not hangs(UPGRADES, clock.now(), LIMIT * 2), "it was asked just now"
    waits_for(queue.MARGIN + timedelta(seconds=5))

    assert hangs(UPGRADES, clock.now(), LIMIT * 2)
    assert not hangs(UPGRADES, clock.now(), LIMIT / 2), "it has just started"
    beat(UPGRADES)
    assert not hangs(UPGRADES, clock.now(), LIMIT * 2), "busy workers show that they live"


def test_a_start_wakes_the_reaper_unless_tasks_wait_anyway() -> None:
    wake_reaper(clock.now())
    wake_reaper(clock.now())
    assert [task.func() for task in OrmQ.objects.all()] == ["upgrades.tasks.reap"]
