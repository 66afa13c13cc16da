"""Hosts: how they stand, and the approval of their keys (U6)."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from instances.choices import HostState
from instances.host_keys import fingerprint
from instances.models import Host
from instances.services import note_scan
from releasemgr.lib.history.models import Change
from tests.factories import HOST_KEY, NOW, make_host, make_instance

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

NEW_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS"


@pytest.fixture
def admin_client(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({"contacted_at": NOW}, HostState.ANSWERING),
        ({}, HostState.NOT_CONTACTED),
        ({"contacted_at": NOW, "failing_since": NOW, "failure": "No answer."}, HostState.NOT_ANSWERING),
        ({"host_key": ""}, HostState.KEY_NOT_APPROVED),
        ({"host_key": "", "offered_key": KEY}, HostState.KEY_NOT_APPROVED),
        ({"offered_key": NEW_KEY, "failing_since": NOW}, HostState.KEY_CHANGED),
        ({"enabled": False, "offered_key": NEW_KEY}, HostState.DISABLED),
    ],
)
def test_a_host_says_how_it_stands(admin_client: Client, values: dict[str, object], state: HostState) -> None:
    host = make_host("web1", **values)

    html = admin_client.get("/hosts/").content.decode()

    assert host.state is state
    assert str(state.label) in html
    assert str(values.get("failure", "")) in html


def test_hosts_that_need_attention_have_a_view(admin_client: Client) -> None:
    make_host("fine", contacted_at=NOW)
    make_host("silent", contacted_at=NOW, failing_since=NOW, failure="No answer.")

    answer = admin_client.get("/hosts/?view=attention")

    assert [row.record.name for row in answer.context["table"].page.object_list] == ["silent"]
    assert [view.count for view in answer.context["views"]] == [2, 1]


def test_the_list_of_hosts_needs_as_many_queries_for_many_as_for_few(admin_client: Client) -> None:
    counts = []
    for number in (1, 9):
        for _each in range(number):
            make_instance(host=make_host())
        with CaptureQueriesContext(connection) as queries:
            admin_client.get("/hosts/")
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_u6_the_first_key_is_approved_by_a_person_who_saw_its_fingerprint(
    admin_client: Client, administrator: User
) -> None:
    host = make_host("web1", host_key="", host_key_approved_at=None, offered_key=KEY, offered_at=NOW)
    html = admin_client.get("/hosts/web1/").content.decode()
    assert fingerprint(KEY) in html
    assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in html

    answer = admin_client.post("/hosts/web1/key/", {"seen": KEY}, follow=True)

    host.refresh_from_db()
    assert (host.host_key, host.offered_key) == (KEY, "")
    assert (host.host_key_approved_by, host.host_key_approved_at) == (administrator, NOW)
    assert "The key of web1 is approved." in answer.content.decode()


def test_u6_a_key_that_changed_since_it_was_shown_is_not_approved(admin_client: Client) -> None:
    host = make_host("web1", host_key="", offered_key=NEW_KEY)

    answer = admin_client.post("/hosts/web1/key/", {"seen": KEY})

    host.refresh_from_db()
    assert answer.status_code == 409
    assert (host.host_key, host.offered_key) == ("", NEW_KEY)
    assert fingerprint(NEW_KEY) in answer.content.decode()
    assert "another key than the one you saw" in answer.content.decode()


def test_u6_a_changed_key_shows_both_fingerprints_and_wants_the_name_typed(admin_client: Client) -> None:
    host = make_host("web1", host_key=KEY, offered_key=NEW_KEY, offered_at=NOW)
    html = admin_client.get("/hosts/web1/").content.decode()
    assert fingerprint(KEY) in html
    assert fingerprint(NEW_KEY) in html
    assert "Every upgrade on this host waits." in html

    refused = admin_client.post("/hosts/web1/key/", {"seen": NEW_KEY, "typed": "web2"})

    host.refresh_from_db()
    assert refused.status_code == 422
    assert "Type web1 to confirm." in refused.content.decode()
    assert "Say why the key changed." in refused.content.decode()
    assert (host.host_key, host.offered_key) == (KEY, NEW_KEY)
    admin_client.post("/hosts/web1/key/", {"seen": NEW_KEY, "typed": "web1", "reason": "Installed anew."})
    host.refresh_from_db()
    assert (host.host_key, host.offered_key) == (NEW_KEY, "")
    assert [(change.kind, change.reason) for change in Change.objects.all()] == [
        ("host.key_approved", "Installed anew."),
    ]  # fmt: skip


def test_u6_the_approved_key_can_be_kept_and_the_other_dismissed(admin_client: Client) -> None:
    host = make_host("web1", host_key=KEY, offered_key=NEW_KEY, offered_at=NOW)

    admin_client.post("/hosts/web1/key/", {"seen": KEY})

    host.refresh_from_db()
    assert (host.host_key, host.offered_key) == (KEY, "")


def test_u6_those_who_may_not_approve_are_told_who_may(client: Client, support: User) -> None:
    make_host("web1", host_key="", offered_key=KEY, offered_at=NOW)
    client.force_login(support)

    html = client.get("/hosts/web1/").content.decode()

    assert "Approving needs Administrator." in html
    assert "Approve this key" not in html
    assert "Scan key" not in html


def test_a_scan_is_a_task_with_the_hosts_number_and_the_page_asks_until_it_is_over(admin_client: Client) -> None:
    host = make_host("web1", host_key="")

    answer = admin_client.post("/hosts/web1/scan/", follow=True)

    task = SignedPackage.loads(OrmQ.objects.get().payload)
    assert (task["func"], task["args"]) == ("upgrades.tasks.scan_host_key", (host.pk,))
    assert "web1 is being asked for its key." in answer.content.decode()
    assert 'hx-get="/hosts/web1/scanning/"' in answer.content.decode()
    assert not Host.objects.exclude(host_key="").exists()
    waiting = admin_client.get("/hosts/web1/scanning/", headers={"HX-Request": "true"})
    assert "hx-trigger" in waiting.content.decode()
    assert "HX-Refresh" not in waiting.headers
    note_scan(host, now=NOW, key=KEY)
    over = admin_client.get("/hosts/web1/scanning/", headers={"HX-Request": "true"})
    assert over.headers["HX-Refresh"] == "true"
    assert "hx-trigger" not in over.content.decode()
    assert fingerprint(KEY) in admin_client.get("/hosts/web1/").content.decode()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"scanned_at": NOW, "host_key": KEY}, "23 Nov 12:00: it offered the approved key."),
        ({"scanned_at": NOW, "offered_key": KEY}, "23 Nov 12:00: it offered a key that nobody approved."),
        ({"scanned_at": NOW, "scan_failure": "No answer."}, "23 Nov 12:00: No answer."),
        ({"scan_asked_at": NOW - timedelta(minutes=3)}, "No worker took up the scan."),
    ],
)
def test_the_page_says_what_the_last_scan_brought(admin_client: Client, values: dict[str, object], words: str) -> None:
    make_host("web1", **values)

    assert words in admin_client.get("/hosts/web1/").content.decode()


def test_what_is_no_key_is_shown_as_it_is(admin_client: Client) -> None:
    make_host("web1", host_key=HOST_KEY, offered_key="garbage <b>", offered_at=NOW)

    assert "garbage &lt;b&gt;" in admin_client.get("/hosts/web1/").content.decode()
