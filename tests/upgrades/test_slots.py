"""Slots: one supervising task each, however many were woken."""

import uuid

import pytest
from django.db import transaction
from django_q.models import OrmQ
from pytest_django import Settings

from tests.factories import NOW, make_upgrade
from tests.together import run_together
from upgrades.models import Slot
from upgrades.services import slots

pytestmark = pytest.mark.django_db


def test_there_are_as_many_slots_as_the_setting_says(settings: Settings) -> None:
    settings.UPGRADE_SLOTS = 4
    slots.ensure_slots()
    settings.UPGRADE_SLOTS = 3
    slots.ensure_slots()

    assert list(Slot.objects.order_by("number").values_list("number", flat=True)) == [1, 2, 3]


@pytest.mark.django_db(transaction=True)
def test_of_several_tasks_that_take_a_slot_at_once_one_gets_it() -> None:
    tokens = run_together(*[lambda: slots.take(1)] * 4)

    winners = [token for token in tokens if token]
    assert len(winners) == 1
    assert Slot.objects.get(number=1).token == winners[0]
    assert slots.held() == 1


@pytest.mark.django_db(transaction=True)
def test_a_held_slot_is_kept_by_its_holder_alone_and_free_once_it_left() -> None:
    token = slots.take(1)
    assert token

    assert slots.keep(1, token)
    assert not slots.keep(1, uuid.uuid4())
    slots.leave(1, uuid.uuid4())
    assert slots.take(1) is None

    slots.leave(1, token)
    assert slots.held() == 0
    assert slots.take(1)


@pytest.mark.django_db(transaction=True)
def test_a_slot_whose_holder_died_is_free_when_its_time_is_over() -> None:
    first = slots.take(1)
    assert first
    Slot.objects.filter(number=1).update(until=NOW)

    second = slots.take(1)

    assert second
    assert not slots.keep(1, first)


def test_a_stop_mark_asks_the_holder_to_leave_and_lets_no_one_in() -> None:
    token = slots.take(1)
    assert token

    slots.mark_stopping()

    assert not slots.keep(1, token)
    assert slots.take(2) is None
    assert slots.wake(NOW) == 0
    slots.clear_stopping()
    assert slots.keep(1, token)


def test_waking_enqueues_a_task_for_each_free_slot() -> None:
    slots.take(1)

    assert slots.wake(NOW) == Slot.objects.count() - 1
    assert OrmQ.objects.count() == Slot.objects.count() - 1
    assert {task.key for task in OrmQ.objects.all()} == {"upgrades"}


def test_the_reaper_wakes_lost_slots_once_a_minute_and_only_while_there_is_work() -> None:
    assert slots.wake_lost(NOW) == 0

    make_upgrade()

    assert slots.wake_lost(NOW) == Slot.objects.count()
    assert slots.wake_lost(NOW) == 0
    assert slots.wake_lost(NOW + slots.WAKE_AGAIN * 2) == Slot.objects.count()


@pytest.mark.django_db(transaction=True)
def test_a_task_exists_only_if_the_transaction_that_made_it_due_commits() -> None:
    with transaction.atomic():
        slots.wake(NOW)
        assert OrmQ.objects.exists()
        transaction.set_rollback(True)

    assert not OrmQ.objects.exists()
