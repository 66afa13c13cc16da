"""Jump hosts: chains, the limit of connections over one, and one incident when one is down (U2, P5)."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from builds.maturity import Maturity
from instances.exceptions import InvalidInput
from instances.models import Host, Instance
from instances.services import change_host, note_failure
from releasemgr.lib.actors import COMMAND
from tests.factories import NOW, make_build, make_host, make_instance, one_wave
from tests.fakes import FakeHost, FakeRemote
from tests.together import run_together
from tests.upgrades.supervising import impatient, supervisor
from upgrades.choices import EndCode, Outcome
from upgrades.contact import HostAddress
from upgrades.exceptions import ContactError, HostKeyChanged, JumpFailed, Unreachable
from upgrades.models import Upgrade
from upgrades.services import claims, halts
from upgrades.services.addresses import address_of, addresses_of
from upgrades.services.incidents import end_what_is_doomed
from upgrades.services.runs import start_upgrades
from upgrades.version_check import ask_versions

__all__ = ["impatient"]

ACT: dict[str, Any] = {"actor": COMMAND, "now": NOW}
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q"


@pytest.mark.django_db
class TestChains:
    def test_an_address_has_every_hop_with_its_own_key_and_identity(self) -> None:
        outer = make_host("outer", identity="gates")
        inner = make_host("inner", jump=outer, port=2222)
        web = make_host("web", jump=inner, identity="deploy")

        address = address_of(web)

        assert [(hop.name, hop.port, hop.identity) for hop in address.hops] == [
            ("inner", 2222, ""), ("outer", 22, "gates"),
        ]  # fmt: skip
        assert (address.identity, address.hops[1].host_key) == ("deploy", outer.host_key)

    def test_the_queries_do_not_grow_with_the_hosts(self) -> None:
        counts = []
        for number in (2, 9):
            gate = make_host()
            hosts = [make_host(jump=make_host(jump=gate)) for _each in range(number)]
            with CaptureQueriesContext(connection) as queries:
                addresses_of(hosts)
            counts.append(len(queries))
        assert counts == [3, 3]

    def test_a_host_is_not_reached_over_itself(self) -> None:
        a = make_host("a")
        b = make_host("b", jump=a)
        c = make_host("c", jump=b)
        for jump in (a, b, c):
            with pytest.raises(InvalidInput) as refused:
                change_host(a, {"jump": jump}, **ACT)
            assert "over itself" in refused.value.errors["jump"][0]
        assert Host.objects.get(name="a").jump is None
        assert change_host(c, {"jump": a}, **ACT)

    def test_a_chain_has_at_most_five_jump_hosts(self) -> None:
        host = make_host()
        for _each in range(5):
            host = make_host(jump=host)
        with pytest.raises(InvalidInput, match="too many"):
            change_host(make_host(), {"jump": host}, **ACT)


@pytest.mark.django_db(transaction=True)
def test_two_who_close_a_circle_from_both_sides_do_not() -> None:
    a, b = make_host("a"), make_host("b")

    def link(host: Host, to: Host) -> bool:
        try:
            return change_host(host, {"jump": to}, **ACT)
        except InvalidInput:
            return False

    assert sorted(run_together(lambda: link(a, b), lambda: link(b, a))) == [False, True]
    assert Host.objects.exclude(jump=None).count() == 1


@pytest.mark.django_db
def test_no_more_hosts_are_claimed_over_a_jump_host_than_it_takes() -> None:
    gate = make_host("gate", max_connections=3)
    near = make_host("near", jump=gate, max_connections=1)
    hosts = [make_host(jump=gate) for _each in range(3)] + [make_host(jump=near) for _each in range(2)]
    free = make_host()
    wanted = [host.pk for host in [*reversed(hosts), free]]

    first, second = uuid.uuid4(), uuid.uuid4()
    taken = [host.pk for host in claims.claim_hosts(first, wanted, most=9)]

    assert free.pk in taken
    assert len(taken) == 4
    assert claims.claim_hosts(second, wanted, most=9) == []
    claims.release(first, [hosts[2].pk])
    Host.objects.filter(pk=gate.pk).update(max_connections=4)
    assert len(claims.claim_hosts(second, wanted, most=9)) == 2


class Gate:
    """A jump host that is down, and what is behind it."""

    def __init__(self, error: ContactError | None = None) -> None:
        self.fake, self.asked = FakeHost(), list[str]()
        self.error = error or Unreachable("gate refuses connections on port 22.")

    def connect(self, address: HostAddress) -> FakeRemote:
        self.asked.append(address.name)
        if address.via:
            raise JumpFailed(address.via, self.error)
        return self.fake.connect(address)


def fleet(behind: int, beside: int = 0) -> list[Instance]:
    one_wave()
    make_build("1.0", maturity=Maturity.STABLE)
    make_build("2.0", maturity=Maturity.RELEASE)
    gate = make_host("gate")
    hosts = [make_host(f"web{n}", jump=gate) for n in range(behind)] + [make_host(f"free{n}") for n in range(beside)]
    return [make_instance(f"site-{place}", host=host) for place, host in enumerate(hosts)]


@pytest.mark.django_db(transaction=True)
class TestOneIncident:
    def test_a_jump_host_that_is_down_is_at_fault_and_not_the_hosts_behind_it(self) -> None:
        sites, gate = fleet(4, beside=3), Gate()
        gate.fake.versions = {site.path: "1.0" for site in sites}
        run = start_upgrades(sites, actor=COMMAND, now=NOW)

        one = supervisor(gate.fake)
        one._connect = gate.connect
        one.run(lasting=15)

        blocked = run.upgrades.filter(end_code=EndCode.JUMP_HOST)
        assert blocked.count() == 4
        assert run.upgrades.filter(outcome=Outcome.SUCCEEDED).count() == 3
        assert len(set(blocked.values_list("fingerprint", flat=True))) == 1
        assert list(Host.objects.exclude(failing_since=None).values_list("name", flat=True)) == ["gate"]
        assert Host.objects.get(name="gate").failure == "gate refuses connections on port 22."
        run.refresh_from_db()
        assert run.ended_at
        assert not run.halts.exists(), "it counts once, not four times of seven"
        assert halts.unreachable(run.upgrades.all()) == 1

    def test_a_key_of_a_jump_host_that_changed_waits_for_a_person_there(self) -> None:
        sites = fleet(1)
        gate = Gate(HostKeyChanged(sites[0].host.host_key, OTHER_KEY))
        ask_versions(sites, gate.connect)
        assert Host.objects.get(name="gate").offered_key == OTHER_KEY
        assert Host.objects.get(name="web0").offered_key == ""

    def test_what_waits_behind_it_is_ended_once_it_has_been_down_for_a_while(self) -> None:
        sites = fleet(3)
        run = start_upgrades(sites, actor=COMMAND, now=NOW)
        due = {one.instance.host_id: [one.pk] for one in run.upgrades.all()}
        gate = Host.objects.get(name="gate")
        note_failure(gate, "No answer.", now=NOW)
        assert end_what_is_doomed(due, NOW + timedelta(seconds=5)) == set(), "it may be starting anew"

        assert end_what_is_doomed(due, NOW + timedelta(seconds=40)) == due.keys()

        assert set(run.upgrades.values_list("outcome", "end_code")) == {(Outcome.BLOCKED, EndCode.JUMP_HOST)}
        said = Upgrade.objects.earliest("pk").end_values["text"]
        assert said == "The jump host gate cannot be used since 23 Nov 12:00: No answer."

    def test_the_next_run_asks_again(self) -> None:
        sites = fleet(2)
        note_failure(Host.objects.get(name="gate"), "No answer.", now=NOW - timedelta(hours=3))
        fake = FakeHost(versions={site.path: "1.0" for site in sites})
        start_upgrades(sites, actor=COMMAND, now=NOW)

        supervisor(fake).run(lasting=15)

        assert Upgrade.objects.filter(outcome=Outcome.SUCCEEDED).count() == 2
        assert not Host.objects.exclude(failing_since=None).exists(), "a sign-in behind it says that the gate answers"

    def test_only_so_many_are_asked_over_it_at_once(self) -> None:
        sites = fleet(6)
        Host.objects.filter(name="gate").update(max_connections=2)
        open_now, most = set[int](), list[int]()
        fake = FakeHost(versions={site.path: "1.0" for site in sites})

        class Counted(FakeRemote):
            def close(self) -> None:
                open_now.discard(id(self))
                super().close()

        def connect(address: HostAddress) -> FakeRemote:
            remote = Counted(fake)
            open_now.add(id(remote))
            most.append(len(open_now))
            return remote

        answers = ask_versions([Instance.objects.for_list().get(pk=site.pk) for site in sites], connect)

        assert {answer.raw for answer in answers} == {"1.0"}
        assert max(most) <= 2


@pytest.mark.django_db
@pytest.mark.usefixtures("noon")
def test_overview_and_the_pages_of_hosts_show_the_way(client: Client, administrator: User) -> None:
    client.force_login(administrator)
    fleet(3)
    gate = Host.objects.get(name="gate")
    note_failure(gate, "gate refuses connections on port 22.", now=NOW)

    overview = client.get("/").content.decode()
    shown = " ".join(client.get("/hosts/gate/").content.decode().split())

    assert "gate has not answered since 23 Nov 12:00" in overview
    assert "3 hosts are reached over it. gate refuses connections on port 22." in overview
    assert "3 hosts, at most 10 at once" in shown
    assert '<a href="/hosts/gate/">gate</a>' in client.get("/hosts/web0/").content.decode()
    typed = {"name": "gate", "address": "gate.example.net", "port": "22", "user": "x", "max_parallel": "2", "seen": "0"}
    refused = client.post("/hosts/gate/edit/", typed | {"jump": "web0", "max_connections": "10", "enabled": "on"})
    assert refused.status_code == 422
    assert "It would be reached over itself" in refused.content.decode()
