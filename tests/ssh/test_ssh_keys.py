"""Signing in with one named key, wherever it lies."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from instances.host_keys import fingerprint
from releasemgr.lib.identities import AgentKey, KeyFile, KeyPlace, KeyVariable
from tests.ssh.sshd import SshServer
from upgrades.contact import Ground, HostAddress
from upgrades.exceptions import SignInRefused
from upgrades.links import Limits
from upgrades.remote import fabric_connect
from upgrades.ssh_keys import keys_of

pytestmark = pytest.mark.ssh


def sign_in(address: HostAddress, identity: str, place: KeyPlace) -> None:
    connect = fabric_connect(keys_of({identity: place}), Limits(connect=2, sign_in=5, answer=10))
    remote = connect(replace(address, identity=identity))
    assert remote.inspect(Ground("/", 1)).clock
    remote.close()


def make_key(path: Path, *options: str) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path), *options], check=True)
    return path


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """An agent of OpenSSH without a key."""
    path = tmp_path / "agent.sock"
    said = subprocess.run(["ssh-agent", "-s", "-a", str(path)], capture_output=True, text=True, check=True).stdout
    found = re.search(r"SSH_AGENT_PID=(\d+)", said)
    assert found
    yield path
    os.kill(int(found[1]), 15)


def hand_over(agent: Path, key: Path) -> None:
    environment = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
    subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True, capture_output=True)


def test_a_key_is_taken_from_a_file_and_read_anew_once_it_changed(
    server: SshServer, address: HostAddress, tmp_path: Path
) -> None:
    file = make_key(tmp_path / "deploy")
    with pytest.raises(SignInRefused):
        sign_in(address, "deploy", KeyFile(file))
    file.write_bytes(server.key_file.read_bytes())
    sign_in(address, "deploy", KeyFile(file))


@pytest.mark.parametrize("line_end", ["\n", "\\n"])
def test_a_key_is_taken_from_a_variable(
    server: SshServer, address: HostAddress, monkeypatch: pytest.MonkeyPatch, line_end: str
) -> None:
    monkeypatch.setenv("LAB_KEY", server.key_file.read_text().replace("\n", line_end))
    sign_in(address, "lab", KeyVariable("LAB_KEY"))


def test_a_key_is_taken_from_an_agent_and_no_other_is_offered(
    server: SshServer, address: HostAddress, agent: Path, tmp_path: Path
) -> None:
    hand_over(agent, server.key_file)
    sign_in(address, "bank", AgentKey(agent))
    hand_over(agent, make_key(tmp_path / "another"))

    with pytest.raises(SignInRefused, match=r"holds 2 keys\. Name the one to use"):
        sign_in(address, "bank", AgentKey(agent))
    sign_in(address, "bank", AgentKey(agent, fingerprint(public(server.key_file))))
    with pytest.raises(SignInRefused, match="does not let"):
        sign_in(address, "bank", AgentKey(agent, fingerprint(public(tmp_path / "another"))))
    with pytest.raises(SignInRefused, match="does not hold the key SHA256:x"):
        sign_in(address, "bank", AgentKey(agent, "SHA256:x"))


def public(key: Path) -> str:
    return " ".join(Path(f"{key}.pub").read_text().split()[:2])


def test_the_agent_and_the_keys_of_the_one_who_runs_releasemgr_are_left_alone(
    server: SshServer, address: HostAddress, agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_over(agent, server.key_file)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    with pytest.raises(SignInRefused, match="does not let"):
        sign_in(address, "deploy", KeyFile(make_key(tmp_path / "deploy")))


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (KeyFile(Path("/nowhere/key")), "The key file /nowhere/key cannot be used"),
        (KeyVariable("NO_SUCH_VARIABLE"), "The variable NO_SUCH_VARIABLE is to hold a key, and is empty"),
        (KeyVariable("PATH"), "does not hold a private key"),
        (AgentKey(Path("/nowhere/agent.sock")), "The agent at /nowhere/agent.sock does not answer"),
    ],
)
def test_a_key_that_cannot_be_used_says_so_and_nothing_of_it(address: HostAddress, place: KeyPlace, words: str) -> None:
    with pytest.raises(SignInRefused, match=words) as refused:
        sign_in(address, "deploy", place)
    assert os.environ["PATH"] not in str(refused.value)


def test_a_key_with_a_passphrase_is_refused_without_a_question(address: HostAddress, tmp_path: Path) -> None:
    file = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(file)], check=True)
    with pytest.raises(SignInRefused, match="cannot be used"):
        sign_in(address, "deploy", KeyFile(file))


def test_a_name_that_the_environment_does_not_have_is_refused(address: HostAddress) -> None:
    with pytest.raises(SignInRefused, match="No key is named “deploy” here"):
        fabric_connect(keys_of({}))(replace(address, identity="deploy"))
