"""P4, P5: the policy of nights, changed by people; nights that are switched off."""

from datetime import UTC, datetime, time, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django_q.models import Schedule as QueueSchedule

from builds.maturity import Maturity
from releasemgr.lib.actors import COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import ChangedMeanwhile, last_seen
from tests.factories import NOW, make_build, make_instance
from upgrades.choices import RunState
from upgrades.exceptions import PolicyRefused, ReasonMissing
from upgrades.halting import Limits
from upgrades.models import Decision, Policy, Run, Schedule, Upgrade
from upgrades.services.policy import change_policy, change_schedule, switch_nights_off, switch_nights_on
from upgrades.services.runs import open_due_night
from upgrades.waves import Rollout, parse_sizes

pytestmark = pytest.mark.django_db

ONE = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)


@pytest.fixture
def manager(release_manager: User) -> Actor:
    return Actor(Origin.PAGE, release_manager)


def test_p5_the_defaults_are_those_of_the_rule() -> None:
    policy = Policy.objects.get()

    assert policy.limits == Limits(share=10, minimum=2, canaries=1, same=3)
    assert policy.rollout == Rollout(10, parse_sizes("25 %"), timedelta(0))
    assert policy.hold_on_blockers


def test_p4_a_change_is_recorded_with_what_it_was(manager: Actor) -> None:
    policy = change_policy(
        {"canary_share": 5, "wave_sizes": "10, 50 %", "max_parallel": 20}, actor=manager, now=NOW, reason="Slower."
    )

    assert policy.rollout.sizes == parse_sizes("10, 50 %")
    change = Change.objects.get()
    assert (change.kind, change.by, change.reason) == ("policy.changed", manager.user, "Slower.")
    assert change.before == {"canary_share": 10, "wave_sizes": "25 %"}
    assert change.after == {"canary_share": 5, "wave_sizes": "10, 50 %"}


def test_p4_a_change_to_what_it_is_records_nothing(manager: Actor) -> None:
    change_policy({"canary_share": 10}, actor=manager, now=NOW)

    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("halt_share", 101), ("halt_share", -1), ("halt_share", None), ("canary_share", 101), ("wave_sizes", "half"),
        ("max_parallel", 0), ("halt_same", 1), ("halt_minimum", 0), ("halt_canaries", 0), ("wave_pause_min", 721),
        ("canary_tag", "two words"),
    ],
)  # fmt: skip
def test_p5_a_value_out_of_its_range_is_refused_by_its_field_and_changes_nothing(
    manager: Actor, field: str, value: object
) -> None:
    before = Policy.objects.values().get()

    with pytest.raises(PolicyRefused) as refused:
        change_policy({"wave_pause_min": 5, field: value}, actor=manager, now=NOW)

    assert set(refused.value.errors) == {field}
    assert Policy.objects.values().get() == before
    assert not Change.objects.exists()


def test_p5_the_database_takes_no_threshold_out_of_its_range_either() -> None:
    for values in ({"halt_share": 101}, {"canary_share": 101}, {"max_parallel": 0}, {"halt_same": 1}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Policy.objects.update(**values)


def test_t7_who_did_not_see_the_last_change_changes_nothing(manager: Actor) -> None:
    seen = last_seen(Policy.objects.get())
    change_policy({"canary_share": 5}, actor=COMMAND, now=NOW)

    with pytest.raises(ChangedMeanwhile):
        change_policy({"canary_share": 7}, actor=manager, now=NOW, seen=seen)

    assert Policy.objects.get().canary_share == 5


def test_p7_a_change_of_the_schedule_moves_the_queue_along(manager: Actor) -> None:
    change_schedule({"start": time(22, 30), "end": time(6, 0)}, actor=manager, now=NOW)

    assert QueueSchedule.objects.get(name="night").cron == "30 22 * * *"
    assert Change.objects.get().after == {"start": "22:30:00", "end": "06:00:00"}
    with pytest.raises(PolicyRefused) as refused:
        change_schedule({"end": time(22, 30)}, actor=manager, now=NOW)
    assert set(refused.value.errors) == {"end"}


def test_p5_nights_that_are_switched_off_plan_nothing_and_say_so(manager: Actor) -> None:
    Schedule.objects.update(since=NOW, start=time(1, 0), end=time(5, 0))
    make_build("2.0", maturity=Maturity.RELEASE)
    make_instance(runs="1.0")
    with pytest.raises(ReasonMissing):
        switch_nights_off(actor=manager, now=NOW, reason=" ")
    assert switch_nights_off(actor=manager, now=NOW, reason="Moving to another data centre.")
    assert not switch_nights_off(actor=manager, now=NOW, reason="Again.")

    assert open_due_night(ONE) is not None
    assert open_due_night(ONE + timedelta(minutes=1)) is None

    run = Run.objects.get()
    assert (run.state, run.ended_at) == (RunState.SWITCHED_OFF, ONE)
    assert not Decision.objects.exists()
    assert not Upgrade.objects.exists()

    assert switch_nights_on(actor=manager, now=NOW)
    assert not switch_nights_on(actor=manager, now=NOW)
    assert open_due_night(ONE + timedelta(days=1))
    assert Upgrade.objects.count() == 1
    assert [change.kind for change in Change.objects.filter(kind__startswith="nights").order_by("pk")] == [
        "nights.switched_off",
        "nights.switched_on",
    ]
