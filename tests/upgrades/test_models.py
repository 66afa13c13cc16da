"""U1, U2: an upgrade's way through its states, in the rows."""

import itertools
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from releasemgr.lib.actors import Actor, Origin
from tests.factories import NOW, make_instance, make_upgrade
from tests.together import run_together
from upgrades.choices import ACTIVE, BEGUN, TRANSITIONS, EndCode, Outcome, UpgradeState
from upgrades.exceptions import ReasonMissing, UpgradeChanged
from upgrades.models import Upgrade, UpgradeEvent
from upgrades.sentences import end_sentence
from upgrades.services.ends import unlock_site

pytestmark = pytest.mark.django_db

MOVES = list(itertools.product(UpgradeState, UpgradeState))
LEGAL = [(before, after) for before, after in MOVES if after in TRANSITIONS[before]]


def in_state(state: UpgradeState) -> Upgrade:
    return make_upgrade(outcome=Outcome.SUCCEEDED) if state is UpgradeState.ENDED else make_upgrade(state=state)


def go(upgrade: Upgrade, to: UpgradeState) -> None:
    if to is UpgradeState.ENDED:
        upgrade.end(Outcome.BLOCKED, EndCode.UNREACHABLE, now=NOW, host="web1", text="Timed out.")
    else:
        upgrade.move(to, now=NOW)


@pytest.mark.parametrize(("before", "after"), LEGAL)
def test_u1_a_move_changes_the_row_and_writes_one_event(before: UpgradeState, after: UpgradeState) -> None:
    upgrade = in_state(before)

    go(upgrade, after)

    row = Upgrade.objects.get()
    assert row.state == upgrade.state == after
    event = UpgradeEvent.objects.get()
    assert (event.upgrade, event.at, event.from_state, event.to_state) == (row, NOW, before, after)
    assert event.outcome == row.outcome


@pytest.mark.parametrize(("before", "after"), [move for move in MOVES if move not in LEGAL])
def test_u1_every_other_move_is_refused(before: UpgradeState, after: UpgradeState) -> None:
    upgrade = in_state(before)

    with pytest.raises(UpgradeChanged):
        go(upgrade, after)

    assert Upgrade.objects.get().state == before
    assert not UpgradeEvent.objects.exists()


def test_u1_an_upgrade_that_another_moved_is_not_moved_again() -> None:
    upgrade = make_upgrade()
    stale = Upgrade.objects.get()
    upgrade.move(UpgradeState.STARTING, now=NOW)

    with pytest.raises(UpgradeChanged, match="is not waiting any more"):
        stale.move(UpgradeState.STARTING, now=NOW)

    assert UpgradeEvent.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_u1_of_two_that_start_one_upgrade_at_once_one_does() -> None:
    make_upgrade()

    def start() -> bool:
        try:
            Upgrade.objects.get().move(UpgradeState.STARTING, now=NOW)
        except UpgradeChanged:
            return False
        return True

    assert sorted(run_together(start, start, start)) == [False, False, True]
    assert UpgradeEvent.objects.count() == 1


def test_u1_an_event_that_cannot_be_written_takes_the_move_back(monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade = make_upgrade()

    def broken(**_values: object) -> None:
        raise IntegrityError("no event")

    monkeypatch.setattr(UpgradeEvent.objects, "create", broken)
    with pytest.raises(IntegrityError, match="no event"):
        upgrade.move(UpgradeState.STARTING, now=NOW)

    assert Upgrade.objects.get().state == upgrade.state == UpgradeState.WAITING


@pytest.mark.parametrize("begun", BEGUN)
def test_u1_the_database_refuses_a_second_upgrade_of_a_site_that_has_begun(begun: UpgradeState) -> None:
    first = make_upgrade(state=begun)
    second = make_upgrade(instance=first.instance)

    with pytest.raises(IntegrityError, match="upgrade_one_begun_per_site"), transaction.atomic():
        second.move(UpgradeState.STARTING, now=NOW)

    assert Upgrade.objects.get(pk=second.pk).state == UpgradeState.WAITING
    assert not second.events.exists()


def test_u1_one_that_needs_a_person_counts_until_that_person_has_decided(release_manager: User) -> None:
    stuck = make_upgrade(outcome=Outcome.NEEDS_A_PERSON)
    other = make_upgrade(instance=stuck.instance)
    with pytest.raises(IntegrityError, match="upgrade_one_begun_per_site"), transaction.atomic():
        other.move(UpgradeState.STARTING, now=NOW)

    unlock_site(stuck, actor=Actor(Origin.PAGE, release_manager), now=NOW, note=" It runs 4.1 ")

    row = Upgrade.objects.get(pk=stuck.pk)
    assert (row.decided_at, row.decided_by, row.decision_note) == (NOW, release_manager, "It runs 4.1")
    assert row.outcome == Outcome.NEEDS_A_PERSON
    Upgrade.objects.get(pk=other.pk).move(UpgradeState.STARTING, now=NOW)


def test_u2_unlocking_needs_a_reason_and_happens_once(release_manager: User) -> None:
    stuck = make_upgrade(outcome=Outcome.NEEDS_A_PERSON)
    actor = Actor(Origin.PAGE, release_manager)
    with pytest.raises(ReasonMissing):
        unlock_site(stuck, actor=actor, now=NOW, note=" ")
    assert Upgrade.objects.awaiting_a_person().get() == stuck
    unlock_site(stuck, actor=actor, now=NOW, note="Looked at it")

    with pytest.raises(UpgradeChanged):
        unlock_site(stuck, actor=actor, now=NOW + timedelta(hours=1), note="Me too")

    assert Upgrade.objects.get().decision_note == "Looked at it"


@pytest.mark.parametrize(
    "values",
    [
        {"state": UpgradeState.ENDED},
        {"state": UpgradeState.ENDED, "outcome": Outcome.SUCCEEDED},
        {"state": UpgradeState.RUNNING, "outcome": Outcome.SUCCEEDED},
        {"state": UpgradeState.WAITING, "ended_at": NOW},
        {"state": "lost"},
    ],
)
def test_u1_the_database_refuses_an_end_without_an_outcome_and_an_outcome_without_an_end(
    values: dict[str, object],
) -> None:
    upgrade = make_upgrade()

    with pytest.raises(IntegrityError, match="upgrade_ended_with_one_outcome"), transaction.atomic():
        Upgrade.objects.filter(pk=upgrade.pk).update(**values)


def test_u1_the_groups_of_states_leave_none_out() -> None:
    assert {*ACTIVE, UpgradeState.ENDED} == set(UpgradeState) == set(TRANSITIONS)


def test_u2_an_end_keeps_what_its_sentence_names() -> None:
    upgrade = make_upgrade(instance=make_instance(runs="4.1"), state=UpgradeState.RUNNING)

    upgrade.end(Outcome.ROLLED_BACK, EndCode.STEP_FAILED, now=NOW, step="health")

    row = Upgrade.objects.get()
    assert (row.outcome, row.ended_at, row.status) == (Outcome.ROLLED_BACK, NOW, Outcome.ROLLED_BACK)
    sentence = end_sentence(Outcome.ROLLED_BACK, EndCode(row.end_code), row.end_values)
    assert sentence == "Failed at health. The site is up on 4.1 again."
