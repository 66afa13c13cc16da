"""A key that many hosts refuse is one incident (U2), and the other hosts of that key are not asked in the same run."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from builds.maturity import Maturity
from instances.models import Host, Instance
from instances.services import identities_of, note_contact, note_failure, refused_keys
from releasemgr.lib.actors import COMMAND
from tests.factories import NOW, make_build, make_customer, make_host, make_instance, one_wave
from tests.fakes import FakeHost, FakeRemote
from tests.upgrades.supervising import impatient, supervisor
from upgrades.choices import EndCode, Outcome
from upgrades.contact import HostAddress
from upgrades.exceptions import SignInRefused, Unreachable
from upgrades.models import Run, Upgrade
from upgrades.services.addresses import address_of
from upgrades.services.blocks import block
from upgrades.services.incidents import end_what_is_doomed
from upgrades.services.runs import start_upgrades
from upgrades.supervisor import Supervisor
from upgrades.version_check import ask_versions

__all__ = ["impatient"]

LATER = NOW + timedelta(minutes=1)


def refuse(*hosts: Host, key: str = "deploy", at: timedelta = timedelta(0)) -> None:
    for host in hosts:
        note_failure(host, "It does not let deploy in.", now=NOW + at, refused=key)


def deploy_hosts(number: int) -> list[Host]:
    return [make_host(f"web{place}", identity="deploy") for place in range(number)]


@pytest.mark.django_db
class TestOneKey:
    def test_a_host_signs_in_with_its_own_key_else_with_that_of_its_only_customer(self) -> None:
        bank = make_customer("Bank", identity="bank")
        own, theirs, shared, empty = (make_host(name) for name in ("own", "theirs", "shared", "empty"))
        Host.objects.filter(pk=own.pk).update(identity="deploy")
        own.refresh_from_db()
        for host in (own, theirs, theirs, shared):
            make_instance(host=host, customer=bank)
        make_instance(host=shared, customer=make_customer("Shop"))

        found = identities_of([own, theirs, shared, empty])

        assert [found[host.pk] for host in (own, theirs, shared, empty)] == ["deploy", "bank", "", ""]
        assert address_of(theirs).identity == "bank"

    def test_many_refusals_and_none_that_took_it_since_are_one_incident(self) -> None:
        hosts = deploy_hosts(4)
        note_contact(hosts[3], now=NOW - timedelta(hours=1), identity="deploy")
        refuse(*hosts[:2])
        assert refused_keys() == []
        refuse(hosts[2], at=timedelta(minutes=3))

        [key] = refused_keys()

        assert (key.identity, len(key.hosts), key.since) == ("deploy", 3, NOW)
        assert refused_keys(NOW + timedelta(minutes=1)) == [], "only what was heard in this run counts"
        note_contact(hosts[3], now=NOW + timedelta(minutes=5), identity="deploy")
        assert refused_keys() == []

    def test_an_old_refusal_of_one_host_does_not_hide_that_the_key_is_refused_now(self) -> None:
        hosts = deploy_hosts(4)
        refuse(hosts[0], at=-timedelta(days=7))
        note_contact(hosts[3], now=NOW - timedelta(days=1), identity="deploy")
        refuse(*hosts[:3])

        [key] = refused_keys()

        assert (len(key.hosts), key.since) == (3, NOW)

    def test_hosts_that_have_another_key_by_now_or_do_not_answer_are_no_part_of_it(self) -> None:
        hosts = deploy_hosts(4)
        refuse(*hosts)
        Host.objects.filter(pk=hosts[0].pk).update(identity="other")
        note_failure(hosts[1], "No answer.", now=LATER)

        assert refused_keys() == []

    def test_the_queries_do_not_grow_with_the_hosts(self) -> None:
        counts = []
        for number in (3, 9):
            refuse(*[make_host(identity="deploy") for _each in range(number)])
            with CaptureQueriesContext(connection) as queries:
                refused_keys()
            counts.append(len(queries))
        assert counts[0] == counts[1] <= 3


def fleet(hosts: int) -> list[Instance]:
    """A site on each host, all of them due."""
    one_wave()
    make_build("1.0", maturity=Maturity.STABLE)
    make_build("2.0", maturity=Maturity.RELEASE)
    return [make_instance(f"site-{place}", host=host) for place, host in enumerate(deploy_hosts(hosts))]


def ticking() -> Callable[[], datetime]:
    """A clock that starts a minute after the run."""
    began = time.monotonic()
    return lambda: LATER + timedelta(seconds=time.monotonic() - began)


class Gate:
    """Hosts that refuse the key, while others take it."""

    def __init__(self, *taking: str) -> None:
        self.fake, self.taking, self.asked = FakeHost(), set(taking), list[str]()

    def connect(self, address: HostAddress) -> FakeRemote:
        self.asked.append(address.name)
        if address.name not in self.taking:
            raise SignInRefused(f"{address.name} does not let {address.user} in.")
        return self.fake.connect(address)


@pytest.mark.django_db(transaction=True)
class TestInARun:
    def test_the_other_hosts_of_a_refused_key_are_not_asked(self, settings: Settings) -> None:
        settings.HOSTS_PER_SLOT = 3
        sites = fleet(8)
        gate = Gate()
        run = start_upgrades(sites, actor=COMMAND, now=NOW)

        Supervisor(gate.connect, now=lambda: LATER).run(lasting=15)

        assert len(gate.asked) == len(set(gate.asked)) == 3
        codes = list(run.upgrades.order_by("pk").values_list("outcome", "end_code"))
        assert codes.count((Outcome.BLOCKED, EndCode.SIGN_IN)) == 3
        assert codes.count((Outcome.BLOCKED, EndCode.KEY_REFUSED)) == 5
        assert len(set(run.upgrades.values_list("fingerprint", flat=True))) == 1
        run.refresh_from_db()
        assert run.ended_at
        assert not run.halts.exists()

    def test_one_host_that_takes_the_key_lets_all_be_asked(self, settings: Settings) -> None:
        settings.HOSTS_PER_SLOT = 4
        sites = fleet(6)
        gate = Gate("web0", "web5")
        gate.fake.versions = {site.path: "1.0" for site in sites}
        start_upgrades(sites, actor=COMMAND, now=NOW)

        Supervisor(gate.connect, now=ticking()).run(lasting=15)

        assert set(gate.asked) == {f"web{place}" for place in range(6)}
        assert Upgrade.objects.filter(outcome=Outcome.SUCCEEDED).count() == 2

    def test_the_next_run_asks_them_again(self) -> None:
        sites = fleet(4)
        refuse(*Host.objects.all(), at=-timedelta(hours=1))
        fake = FakeHost(versions={site.path: "1.0" for site in sites})
        start_upgrades(sites, actor=COMMAND, now=NOW)

        supervisor(fake).run(lasting=15)

        assert Upgrade.objects.filter(outcome=Outcome.SUCCEEDED).count() == 4
        assert set(Host.objects.values_list("refused_since", "signed_in_as")) == {(None, "deploy")}

    def test_a_version_check_tells_a_refusal_from_a_host_that_is_down(self) -> None:
        sites = fleet(3)
        ask_versions(sites, Gate().connect)
        assert [key.identity for key in refused_keys()] == ["deploy"]
        ask_versions(sites, FakeHost(refusal=Unreachable("No answer.")).connect)
        assert refused_keys() == []


@pytest.mark.django_db
@pytest.mark.usefixtures("noon")
def test_overview_shows_the_key_once_and_the_run_shows_its_hosts_together(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    sites = fleet(5)
    run = start_upgrades(sites, actor=COMMAND, now=NOW)
    refuse(*[site.host for site in sites[:4]])
    for upgrade in run.upgrades.order_by("pk")[:4]:
        block(upgrade, SignInRefused("No."), address_of(upgrade.instance.host), now=NOW)
    last = run.upgrades.order_by("pk").last()
    assert last
    assert end_what_is_doomed({last.instance.host_id: [last.pk]}, NOW) == {last.instance.host_id}

    overview, shown = client.get("/").content.decode(), client.get(f"/runs/{run.pk}/").content.decode()

    assert overview.count("The key “deploy” is refused by 4 hosts since 23 Nov 12:00") == 1
    assert "has not answered since" not in overview
    assert "was blocked on" not in overview
    assert "4 hosts refuse the key “deploy” since 23 Nov 12:00." in shown
    assert "The same failure on 5 sites." in shown
    assert Run.objects.get().ended_at
