"""Keys of hosts that an authority signed, on a real OpenSSH server (U6)."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from instances.models import Host, Instance
from instances.services import add_authority, remove_authority
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from tests.commands import json_of
from tests.factories import NOW, make_host, make_instance
from tests.ssh.sshd import SshServer
from tests.upgrades.sites import Site
from upgrades import tasks
from upgrades.contact import Ground, HostAddress, Vouched
from upgrades.exceptions import HostKeyChanged, HostKeyUnknown
from upgrades.links import Limits, offered_host_key
from upgrades.remote import fabric_connect
from upgrades.ssh_keys import one_key
from upgrades.version_check import ask_unknown

pytestmark = pytest.mark.ssh
LIMITS = Limits(connect=2, sign_in=4, answer=10)


class Authority:
    def __init__(self, folder: Path, kind: str = "ed25519") -> None:
        folder.mkdir()
        self.file = folder / "ca"
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(self.file)], check=True)

    @property
    def key(self) -> str:
        return " ".join(Path(f"{self.file}.pub").read_text().split()[:2])

    def sign(self, key: Path, *options: str, names: str = "127.0.0.1") -> None:
        wanted = options or ("-h", "-V", "-5m:+1h")
        signing = ["ssh-keygen", "-q", "-s", str(self.file), "-I", "web-1", "-n", names, *wanted, f"{key}.pub"]
        subprocess.run(signing, check=True)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


Signed = Callable[..., SshServer]


@pytest.fixture
def signed(tmp_path: Path, authority: Authority) -> Iterator[Signed]:
    """Starts a server whose key is signed."""
    servers: list[SshServer] = []

    def start(*options: str, by: Authority | None = None, key_type: str = "ed25519", **more: str) -> SshServer:
        folder = tmp_path / f"signed-{len(servers)}"
        server = SshServer(folder, (f"HostCertificate {folder}/host_key-cert.pub",), key_type)
        (by or authority).sign(folder / "host_key", *options, **more)
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


def address_of(server: SshServer, *authorities: str) -> HostAddress:
    return HostAddress("web-1", "127.0.0.1", server.port, server.user, "", authorities=authorities)


@pytest.mark.parametrize("key_type", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_key_that_an_authority_signed_is_trusted_without_a_pin(
    signed: Signed, tmp_path: Path, kind: str, key_type: str
) -> None:
    authority = Authority(tmp_path / "another", kind)
    server = signed(by=authority, key_type=key_type)
    there = address_of(server, authority.key)

    remote = fabric_connect(one_key(server.key_file), LIMITS)(there)
    assert remote.inspect(Ground("/", 1)).clock
    remote.close()

    vouched = Vouched("web-1", server.host_key, authority.key)
    assert list(remote.vouched) == [vouched]
    assert offered_host_key(there, one_key(server.key_file), LIMITS).vouched == vouched


@pytest.mark.parametrize(
    ("options", "names", "words"),
    [
        (("-h", "-V", "-2h:-1h"), "127.0.0.1", "It expired on"),
        (("-h", "-V", "+1h:+2h"), "127.0.0.1", "It is valid from"),
        (("-h",), "web-9", r"It is for web-9, not for 127\.0\.0\.1"),
        ((), "127.0.0.1", ""),
    ],
)
def test_a_certificate_that_is_not_valid_is_worth_nothing(
    signed: Signed, authority: Authority, options: tuple[str, ...], names: str, words: str
) -> None:
    server = signed(*options, names=names)
    there = address_of(server, authority.key)
    if not words:
        there = address_of(server, server.host_key)  # another one's authority
        words = "It is signed by SHA256:.*, which is no authority for this host"
    connect = fabric_connect(one_key(server.key_file), LIMITS)

    with pytest.raises(HostKeyUnknown, match=words) as refused:
        connect(there)
    assert refused.value.offered_key == server.host_key
    connect(replace(there, host_key=server.host_key)).close()


def test_a_certificate_for_people_is_none_for_a_host(signed: Signed, authority: Authority, server: SshServer) -> None:
    """OpenSSH does not even load it, and shows its plain key."""
    authority.sign(server.folder / "host_key", "-V", "-5m:+1h")
    with pytest.raises(HostKeyUnknown, match="no certificate"):
        fabric_connect(one_key(server.key_file), LIMITS)(address_of(server, authority.key))


def test_a_pinned_key_still_counts_where_an_authority_says_nothing(server: SshServer, authority: Authority) -> None:
    there = replace(address_of(server, authority.key), host_key=server.host_key)
    fabric_connect(one_key(server.key_file), LIMITS)(there).close()
    with pytest.raises(HostKeyChanged):
        fabric_connect(one_key(server.key_file), LIMITS)(replace(there, host_key=authority.key))


@pytest.mark.django_db
class TestKept:
    @pytest.fixture
    def host(self, signed: Signed, site: Site, monkeypatch: pytest.MonkeyPatch) -> Host:
        server = signed()
        monkeypatch.setattr(tasks, "keys", one_key(server.key_file))
        self.connect = fabric_connect(one_key(server.key_file), LIMITS)
        host = make_host(
            "web-1", address="127.0.0.1", port=server.port, user=server.user, host_key="", host_key_approved_at=None
        )
        make_instance("acme", runs=None, host=host, path=str(site.path))
        return host

    def test_a_new_host_is_asked_and_its_key_approved_by_itself(self, host: Host, authority: Authority) -> None:
        assert ask_unknown(self.connect) == []
        row = add_authority(f"127.0.0.*,[127.0.0.*]:{host.port}", authority.key, actor=COMMAND, now=NOW, reason="Ours")

        [answer] = ask_unknown(self.connect)

        assert answer.raw == "1.0"
        host.refresh_from_db()
        assert host.key_trusted
        assert host.host_key_authority == row
        change = Change.objects.filter(kind="host.key_approved").get()
        assert (change.origin, change.reason) == ("automatic", f"Signed by the authority {row.fingerprint}.")
        assert ask_unknown(self.connect) == []
        assert Instance.objects.get().reported_version == "1.0"

    def test_without_the_authority_its_hosts_are_trusted_no_longer(self, host: Host, authority: Authority) -> None:
        row = add_authority(f"[127.0.0.1]:{host.port}", authority.key, actor=COMMAND, now=NOW, reason="Ours")
        [said] = json_of("scan_host", "web-1")["hosts"]
        host.refresh_from_db()
        assert (said["state"], host.host_key_authority) == ("approved", row)

        assert remove_authority(row.fingerprint, actor=COMMAND, now=NOW, reason="Stolen") == [host]

        host.refresh_from_db()
        assert (host.host_key, host.host_key_authority, host.key_trusted) == ("", None, False)
