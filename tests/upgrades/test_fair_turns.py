"""P4: runs take turns, so that one that a person started does not wait for the rest of a night."""

import uuid
from collections.abc import Sequence
from datetime import timedelta

import pytest
from pytest_django.fixtures import Settings

from builds.maturity import Maturity
from instances.models import Host
from releasemgr.lib.actors import COMMAND
from tests.factories import NOW, make_build, make_host, make_instance, one_wave
from tests.fakes import FakeHost, hang
from tests.upgrades.supervising import supervisor
from upgrades.models import Policy, Run, Upgrade
from upgrades.services import claims
from upgrades.services.claims import Turn
from upgrades.services.runs import start_upgrades

pytestmark = pytest.mark.django_db(transaction=True)
LATER = NOW + timedelta(minutes=1)


@pytest.fixture(autouse=True)
def builds() -> None:
    one_wave()
    make_build("2.0", maturity=Maturity.RELEASE)


def run_of(*sites: tuple[str, Host]) -> Run:
    return start_upgrades([make_instance(slug, host=host) for slug, host in sites], actor=COMMAND, now=NOW)


def slugs(turns: Sequence[Turn]) -> list[str]:
    rows = Upgrade.objects.select_related("instance").in_bulk([turn.number for turn in turns])
    return [rows[turn.number].instance.slug for turn in turns]


def test_runs_take_turns_on_a_host_and_hosts_come_in_the_order_of_their_first_turn() -> None:
    one, two = make_host("app-1"), make_host("app-2")
    run_of(("night-1", one), ("night-2", one), ("night-3", one), ("night-4", two))
    run_of(("urgent", two), ("urgent-too", one))

    due = claims.due_by_host(LATER)

    assert slugs(due[one.pk]) == ["night-1", "night-2", "urgent-too", "night-3"]
    assert slugs(due[two.pk]) == ["urgent", "night-4"]
    assert list(due) == [one.pk, two.pk]
    assert claims.free_hosts(due) == [one.pk, two.pk]
    assert claims.free_hosts(reversed(list(due))) == [two.pk, one.pk]


def test_hosts_are_claimed_in_the_order_of_their_turns() -> None:
    hosts = [make_host(f"app-{number}") for number in range(3)]
    wanted = [hosts[2].pk, hosts[0].pk, hosts[1].pk]
    assert {host.pk for host in claims.claim_hosts(uuid.uuid4(), wanted, most=2)} == set(wanted[:2])


def test_what_is_left_of_the_limit_over_all_goes_to_each_run_in_its_turn() -> None:
    night, urgent = make_host("app-1", max_parallel=8), make_host("app-2")
    run_of(*((f"night-{number}", night) for number in range(5)))
    run_of(("urgent", urgent))
    Policy.objects.update(max_parallel=2)
    one = supervisor(FakeHost(script=hang))
    one._claim(claims.due_by_host(LATER))
    one._hand_out(claims.due_by_host(LATER))
    begun = set(Upgrade.objects.begun().values_list("instance__slug", flat=True))
    one._leave()
    assert begun == {"night-0", "urgent"}


def test_a_host_with_nothing_under_way_makes_place_for_one_whose_turn_is_before(settings: Settings) -> None:
    settings.HOSTS_PER_SLOT = 2
    busy, idle, other = make_host("app-1", max_parallel=1), make_host("app-2"), make_host("app-3")
    run_of(("night-1", busy), ("night-2", busy), ("night-3", idle))
    Policy.objects.update(max_parallel=1)
    one = supervisor(FakeHost(script=hang))
    one._claim(claims.due_by_host(LATER))
    one._hand_out(claims.due_by_host(LATER))
    assert set(one._held) == {busy.pk, idle.pk}
    one._claim(claims.due_by_host(LATER))
    assert one._held[idle.pk].thread.takes_more

    run_of(("urgent", other))
    one._claim(claims.due_by_host(LATER))

    assert not one._held[idle.pk].thread.takes_more
    assert one._held[busy.pk].thread.takes_more
    one._leave()
