"""Authorities for host keys: the page, the commands, and what a known_hosts file says of them (U6)."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from instances.host_keys import fingerprint
from instances.models import Host, HostAuthority
from instances.services import add_authority, approve_host_key, authorities_of, note_certified
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import last_seen
from tests.commands import json_of, refusal_of, text_of
from tests.factories import HOST_KEY, NOW, make_host

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]
CA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS"
PAGE = "/hosts/authorities/"
GIVEN = {"names": "*.example.net", "key": f"{CA} ca@example", "reason": "Ours", "seen": "0"}


@pytest.fixture
def authority() -> HostAuthority:
    return add_authority("*.example.net", CA, actor=COMMAND, now=NOW, reason="Ours")


def kinds() -> list[tuple[str, str]]:
    return [(change.kind, change.reason) for change in Change.objects.order_by("pk")]


def test_an_authority_is_added_with_a_reason_and_vouches_for_the_hosts_that_it_names(
    client: Client, administrator: User
) -> None:
    client.force_login(administrator)

    answer = client.post(PAGE, GIVEN, follow=True)

    assert f"What {fingerprint(CA)} signs is trusted on *.example.net." in answer.content.decode()
    inside, outside = make_host("web1"), make_host("web2", address="web2.example.org")
    assert authorities_of([inside, outside]) == {inside.pk: (CA,), outside.pk: ()}
    assert kinds() == [("authority.added", "Ours")]
    assert HostAuthority.objects.get().added_by == administrator


@pytest.mark.parametrize(
    ("field", "value"),
    [("names", ""), ("names", "a b"), ("names", "|1|x|y"), ("key", "nonsense"), ("key", ""), ("reason", " ")],
)
def test_what_is_none_is_refused_beside_its_field(client: Client, administrator: User, field: str, value: str) -> None:
    client.force_login(administrator)

    answer = client.post(PAGE, GIVEN | {field: value})

    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert not HostAuthority.objects.exists()


def test_only_those_who_approve_keys_trust_authorities(
    client: Client, release_manager: User, authority: HostAuthority
) -> None:
    remove = f"{PAGE}{authority.pk}/remove/"
    assert client.get(PAGE).status_code == 302
    client.force_login(release_manager)

    shown = client.get(PAGE)

    assert "Adding one needs Administrator." in shown.content.decode()
    assert client.post(PAGE, GIVEN | {"names": "*"}).status_code == 403
    assert client.get(remove).status_code == 403
    assert client.post(remove, {"reason": "x"}).status_code == 403
    assert client.put(PAGE).status_code == 405
    assert HostAuthority.objects.get().names == "*.example.net"


def test_the_list_needs_as_many_queries_for_many_as_for_few(client: Client, administrator: User) -> None:
    client.force_login(administrator)
    counts = []
    for number in (1, 4):
        for place in range(number):
            HostAuthority.objects.create(names=f"{number}{place}", key=f"k{number}{place}", added_at=NOW, reason="r")
        with CaptureQueriesContext(connection) as queries:
            client.get(PAGE)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_removing_one_takes_back_what_it_vouched_for_and_nothing_that_a_person_approved(
    client: Client, administrator: User, authority: HostAuthority
) -> None:
    client.force_login(administrator)
    vouched, own = make_host("web1", host_key="", offered_key=KEY, offered_at=NOW), make_host("web2")
    note_certified(vouched, KEY, CA, now=NOW)
    note_certified(own, HOST_KEY, CA, now=NOW)
    assert (vouched.host_key, vouched.offered_key, vouched.host_key_authority) == (KEY, "", authority)
    assert fingerprint(CA) in client.get("/hosts/web1/").content.decode()
    remove = f"{PAGE}{authority.pk}/remove/"
    assert "1 host loses its approved key" in client.get(remove).content.decode()

    seen = str(last_seen(authority))
    unseen = client.post(remove, {"reason": "Stolen", "shown": "", "seen": seen})
    assert unseen.status_code == 409
    assert "vouches for other hosts than you saw. Nothing was changed." in unseen.content.decode()
    assert 'name="shown" value="web1 "' in unseen.content.decode()
    said = {"reason": "Stolen", "shown": "web1", "seen": seen}
    empty, done = client.post(remove, said | {"reason": ""}), client.post(remove, said, follow=True)

    assert empty.status_code == 422
    assert "is trusted no longer. Hosts without an approved key now: 1." in done.content.decode()
    assert list(Host.objects.order_by("name").values_list("host_key", flat=True)) == ["", HOST_KEY]
    assert kinds()[2:] == [("host.key_revoked", "Stolen"), ("authority.removed", "Stolen")]
    assert client.post(remove, said).status_code == 404


def test_a_person_may_approve_the_key_that_an_authority_vouched_for(
    administrator: User, authority: HostAuthority
) -> None:
    host = make_host("web1", host_key="")
    note_certified(host, KEY, CA, now=NOW)
    assert approve_host_key(host, seen=KEY, actor=COMMAND, now=NOW)
    host.refresh_from_db()
    assert host.host_key_authority is None


def test_a_key_that_changes_is_replaced_where_an_authority_vouches_for_the_new_one(authority: HostAuthority) -> None:
    host = make_host("web1", host_key=HOST_KEY)
    note_certified(host, KEY, CA, now=NOW)
    note_certified(host, KEY, CA, now=NOW)
    note_certified(host, HOST_KEY, KEY, now=NOW)
    assert (host.host_key, [kind for kind, _reason in kinds()]) == (KEY, ["authority.added", "host.key_approved"])


def test_the_commands_do_the_same(tmp_path: Path) -> None:
    file = tmp_path / "ca.pub"
    assert refusal_of("trust_authority", "*", file) == f"{file} cannot be read: No such file or directory."
    file.write_text(f"{CA} ca\n")
    assert refusal_of("trust_authority", "*", file) == "reason: The reason is missing."
    assert json_of("trust_authority", "*", file, "--reason", "Ours") == {"authority": fingerprint(CA), "names": "*"}
    host = make_host("web1", host_key="")
    note_certified(host, KEY, CA, now=NOW)

    assert refusal_of("distrust_authority", "SHA256:x", "--reason", "r") == "No authority has the fingerprint SHA256:x."
    assert refusal_of("distrust_authority", fingerprint(CA)) == "reason: The reason is missing."
    said = text_of("distrust_authority", fingerprint(CA), "--reason", "Stolen")

    assert said == f"{fingerprint(CA)} is trusted no longer. No longer approved: web1."
    assert not HostAuthority.objects.exists()


def test_authorities_of_a_known_hosts_file_are_taken_over_on_demand_alone(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"@cert-authority *.example.net {CA}\n")

    told = text_of("import_known_hosts", file)
    assert told == f"The authority {fingerprint(CA)} is not trusted without --authorities on *.example.net."
    assert refusal_of("import_known_hosts", file, "--authorities") == "reason: The reason is missing."
    assert not HostAuthority.objects.exists()
    said = json_of("import_known_hosts", file, "--authorities", "--reason", "Ours")

    assert (said["authorities"], said["trusted"]) == ({fingerprint(CA): "*.example.net"}, True)
    assert HostAuthority.objects.get().key == CA
