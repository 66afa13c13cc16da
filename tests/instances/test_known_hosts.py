"""Keys from a known_hosts file (U6)."""

import base64
import hashlib
import hmac
from pathlib import Path

import pytest

from instances.known_hosts import Mark, keys_for, name_of, read_known_hosts
from instances.models import Host
from releasemgr.lib.history.models import Change
from tests.commands import json_of, refusal_of, text_of
from tests.factories import HOST_KEY, NOW, make_host

ED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q"
ED_TOO = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS"
EC = (
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrY"
    "MjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
)
SALT = bytes(range(20))


def hashed(name: str) -> str:
    """As `HashKnownHosts yes` writes it."""
    digest = hmac.digest(SALT, name.encode(), hashlib.sha1)
    return f"|1|{base64.b64encode(SALT).decode()}|{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    ("names", "address", "port", "speaks"),
    [
        ("web1.example.net", "web1.example.net", 22, True),
        ("web1.example.net", "web1.example.net", 2222, False),
        ("[web1.example.net]:2222,10.0.0.1", "WEB1.example.net", 2222, True),
        ("web1.example.net,10.0.0.1", "10.0.0.1", 22, True),
        ("*.example.net", "web1.example.net", 22, True),
        ("*.example.net,!web1.example.net", "web1.example.net", 22, False),
        ("web?.example.net", "web1.example.net", 22, True),
        ("[*.example.net]:2222", "web1.example.net", 2222, True),
        ("[web]1.example.net", "web1.example.net", 22, False),
        (hashed("web1.example.net"), "web1.example.net", 22, True),
        (hashed("[web1.example.net]:2222"), "web1.example.net", 2222, True),
        (hashed("web1.example.net"), "web2.example.net", 22, False),
        ("|2|x|y", "web1.example.net", 22, False),
        ("|1|%|%", "web1.example.net", 22, False),
    ],
)
def test_a_line_speaks_of_the_hosts_that_openssh_means(names: str, address: str, port: int, speaks: bool) -> None:
    [line], faults = read_known_hosts(f"{names} {ED} a comment\n")

    assert line.speaks_of(name_of(address, port)) is speaks
    assert not faults


def test_marks_comments_and_what_cannot_be_read_are_told_apart() -> None:
    lines, faults = read_known_hosts(
        f"# a comment\n\n@revoked * {ED}\n@cert-authority *.example.net {EC}\n@new * {ED}\nweb1 ssh-ed25519\n"
        f"web1 ssh-rsa {ED.split()[1]}\nweb1 1024 35 12345678"
    )

    assert [(line.number, line.mark) for line in lines] == [(3, Mark.REVOKED), (4, Mark.AUTHORITY)]
    assert [fault.split(":")[0] for fault in faults] == ["Line 5", "Line 6", "Line 7", "Line 8"]


def test_revoked_keys_and_those_of_authorities_are_no_keys_of_a_host() -> None:
    lines, _faults = read_known_hosts(
        f"web1 {ED}\nweb1 {EC}\nweb1 {ED}\n@revoked * {ED}\n@cert-authority web1 {ED_TOO}"
    )

    assert keys_for(lines, "web1") == ([EC], {ED})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"


db = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


class TestImport:
    pytestmark = db

    def test_hosts_without_a_key_get_theirs_and_the_report_says_what_matched(self, file: Path) -> None:
        make_host("new", host_key="", host_key_approved_at=None, offered_key=ED, offered_at=NOW)
        make_host("same", host_key=ED)
        make_host("other", host_key=HOST_KEY)
        make_host("absent", host_key="", host_key_approved_at=None)
        file.write_text(
            f"{hashed('new.example.net')} {ED}\nnew.example.net {EC}\nsame.example.net {ED}\nother.example.net {ED}\n"
            f"elsewhere {ED}\n???\n"
        )

        said = json_of("import_known_hosts", file)

        assert said == {
            "pinned": ["new"], "replaced": [], "unpinned": [], "same": ["same"], "not_in_file": ["absent"],
            "refused": {"other": "Another key is approved. --replace takes the one of the file, with a reason."},
            "unused_lines": [5], "faults": ["Line 6: It has no names, type and key."], "authorities": {},
            "trusted": False,
        }  # fmt: skip
        new = Host.objects.get(name="new")
        assert (new.host_key, new.offered_key, new.host_key_approved_at) == (ED, "", NOW)
        assert [(change.kind, change.subject_name, change.origin) for change in Change.objects.all()] == [
            ("host.key_approved", "new", "import"),
        ]  # fmt: skip
        assert Host.objects.get(name="other").host_key == HOST_KEY

    def test_another_key_than_the_file_has_waits_for_a_person(self, file: Path) -> None:
        make_host("web1", host_key="", offered_key=ED_TOO, offered_at=NOW)
        file.write_text(f"web1.example.net {ED}\n")

        text_of("import_known_hosts", file)

        host = Host.objects.get()
        assert (host.host_key, host.offered_key) == (ED, ED_TOO)
        assert not host.key_trusted

    def test_replacing_needs_a_reason(self, file: Path) -> None:
        make_host("web1", host_key=HOST_KEY)
        file.write_text(f"web1.example.net {ED}\n")

        assert refusal_of("import_known_hosts", file, "--replace") == "reason: The reason is missing."
        assert Host.objects.get().host_key == HOST_KEY
        assert text_of("import_known_hosts", file, "--replace", "--reason", "New disks") == "Replaced: web1."
        assert Host.objects.get().host_key == ED
        assert Change.objects.get().reason == "New disks"

    def test_a_revoked_key_is_pinned_for_nobody_and_loses_its_approval(self, file: Path) -> None:
        make_host("pinned", host_key=ED)
        make_host("new", host_key="")
        file.write_text(f"@revoked * {ED}\nnew.example.net {ED}\n")

        assert set(json_of("import_known_hosts", file)["refused"]) == {"pinned", "new"}
        assert Host.objects.get(name="pinned").host_key == ED
        assert json_of("import_known_hosts", file, "--replace", "--reason", "Stolen")["unpinned"] == ["pinned"]
        assert set(Host.objects.values_list("host_key", flat=True)) == {""}
        assert Change.objects.get().kind == "host.key_revoked"

    def test_two_keys_of_one_type_are_for_a_person_to_tell_apart(self, file: Path) -> None:
        make_host("web1", host_key="")
        file.write_text(f"web1.example.net {ED}\nweb1.example.net {ED_TOO}\nweb1.example.net {EC}\n")

        assert "The file has 2 ssh-ed25519 keys for it." in text_of("import_known_hosts", file)
        assert Host.objects.get().host_key == ""

    def test_a_file_that_is_not_there_is_refused(self, file: Path) -> None:
        assert refusal_of("import_known_hosts", file) == f"{file} cannot be read: No such file or directory."


@pytest.mark.django_db
@pytest.mark.usefixtures("noon")
def test_approve_host_key_takes_the_key_with_that_fingerprint_alone() -> None:
    make_host("web1", host_key="", host_key_approved_at=None, offered_key=ED, offered_at=NOW)
    make_host("mute", host_key="")

    assert "Known: offered SHA256:" in refusal_of("approve_host_key", "web1", "SHA256:else")
    assert refusal_of("approve_host_key", "mute", "SHA256:x") == "mute has not offered a key yet. Scan it first."
    assert refusal_of("approve_host_key", "web9", "SHA256:x") == "No host is named web9."
    assert not Host.objects.exclude(host_key="").exists()

    told = fingerprint_of(ED)
    assert text_of("approve_host_key", "web1", told) == f"{told} (ssh-ed25519) is the approved key of web1."
    assert text_of("approve_host_key", "web1", told) == f"{told} is the approved key of web1 already."

    Host.objects.filter(name="web1").update(offered_key=ED_TOO, offered_at=NOW)
    other = fingerprint_of(ED_TOO)
    assert refusal_of("approve_host_key", "web1", other) == "reason: The reason is missing."
    said = json_of("approve_host_key", "web1", other, "--reason", "Moved")
    assert said == {
        "host": "web1", "changed": True, "type": "ssh-ed25519", "fingerprint": other, "before": told,
    }  # fmt: skip
    assert [change.reason for change in Change.objects.all()] == ["Moved", ""]


def fingerprint_of(key: str) -> str:
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
