"""Asking a real OpenSSH server for its key, and approving it."""

import pytest

from instances.host_keys import fingerprint
from instances.models import Host
from releasemgr.lib.history.models import Change
from tests.commands import json_of, refusal_of, text_of
from tests.factories import make_host
from tests.ssh.sshd import SshServer
from upgrades import tasks

pytestmark = [pytest.mark.ssh, pytest.mark.django_db]


@pytest.fixture
def host(server: SshServer) -> Host:
    return make_host("web1", address="127.0.0.1", port=server.port, host_key="", host_key_approved_at=None)


def test_a_host_is_scanned_and_exactly_that_key_is_approved(host: Host, server: SshServer) -> None:
    shown = fingerprint(server.host_key)

    assert f"ssh-ed25519  {shown}" in text_of("scan_host", "web1")
    refused = refusal_of("scan_host", "web1", "--approve", "SHA256:else")
    assert refused == f"web1 offers {shown}. Nothing was approved."
    assert not Host.objects.exclude(host_key="").exists()
    said = json_of("scan_host", "web1", "--approve", shown)

    assert said == {"hosts": [{
        "host": "web1", "approved": shown, "error": None, "type": "ssh-ed25519", "fingerprint": shown,
        "state": "approved",
    }]}  # fmt: skip
    host.refresh_from_db()
    assert (host.host_key, host.offered_key) == (server.host_key, "")
    assert Change.objects.get().kind == "host.key_approved"


def test_a_changed_key_is_shown_beside_the_approved_one_and_wants_a_reason(host: Host, server: SshServer) -> None:
    old = server.host_key
    json_of("scan_host", "web1", "--approve", fingerprint(old))
    server.stop()
    server.change_host_key()
    server.start()

    [said] = json_of("scan_host", "web1")["hosts"]

    new = fingerprint(server.host_key)
    assert (said["state"], said["approved"], said["fingerprint"]) == ("changed", fingerprint(old), new)
    assert not Host.objects.get().key_trusted
    assert refusal_of("scan_host", "web1", "--approve", new) == "reason: The reason is missing."
    assert json_of("scan_host", "web1", "--approve", new, "--reason", "New disks")["hosts"][0]["state"] == "approved"
    assert Host.objects.get().host_key == server.host_key


def test_a_worker_keeps_what_a_scan_brought(host: Host, server: SshServer) -> None:
    tasks.scan_host_key(host.pk)
    host.refresh_from_db()
    assert (host.offered_key, host.scan_failure) == (server.host_key, "")
    assert host.scanned_at

    server.stop()
    tasks.scan_host_key(host.pk)
    host.refresh_from_db()
    assert "refuses connections" in host.scan_failure
    assert json_of("scan_host", "web1")["hosts"][0]["state"] == "unreachable"
    assert "refuses connections" in refusal_of("scan_host", "web1", "--approve", "SHA256:x")


def test_one_fingerprint_is_not_approved_for_two_hosts(host: Host) -> None:
    make_host("web2")

    refused = refusal_of("scan_host", "web1", "web2", "--approve", "SHA256:x")

    assert refused == "--approve is for one host: every host has a key of its own."
