"""The private keys with which hosts are signed in on, by the names that rows give them. Only one is lent at a time."""

import io
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import paramiko
from paramiko.agent import AgentSSH

from instances.host_keys import fingerprint
from releasemgr.lib.identities import AgentKey, KeyFile, KeyPlace, KeyVariable
from upgrades.exceptions import SignInRefused

PATIENCE = 5.0  # seconds for an agent's answer
KINDS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
Lend = Callable[[str], AbstractContextManager[paramiko.PKey]]


def keys_of(places: Mapping[str, KeyPlace]) -> Lend:
    """`places` by the name of the identity, the one without a name under "". Raises SignInRefused when it is used."""

    @contextmanager
    def lend(name: str) -> Iterator[paramiko.PKey]:
        place = places.get(name)
        if place is None:
            raise SignInRefused(f"No key is named “{name}” here. RELEASEMGR_SSH_IDENTITIES names the keys.")
        match place:
            case KeyFile():
                yield _from_file(place.path)
            case KeyVariable():
                yield _from_variable(place.name)
            case AgentKey():
                with _from_agent(place) as key:
                    yield key

    return lend


def one_key(file: Path) -> Lend:
    """The key in this file, whatever the identity."""

    @contextmanager
    def lend(name: str) -> Iterator[paramiko.PKey]:
        yield _from_file(file)

    return lend


def _from_file(file: Path) -> paramiko.PKey:
    """Read anew once the file, or its certificate, has changed."""
    certificate = Path(f"{file}-cert.pub")
    try:
        stamps = (file.stat().st_mtime_ns, certificate.stat().st_mtime_ns if certificate.exists() else 0)
        return _read(file, stamps)
    except (OSError, ValueError, TypeError, paramiko.SSHException) as error:
        raise SignInRefused(f"The key file {file} cannot be used: {error}") from error


@lru_cache(maxsize=64)
def _read(file: Path, stamps: tuple[int, int]) -> paramiko.PKey:
    return paramiko.PKey.from_path(file)


def _from_variable(name: str) -> paramiko.PKey:
    text = os.environ.get(name, "").replace("\\n", "\n").strip()
    if not text:
        raise SignInRefused(f"The variable {name} is to hold a key, and is empty.")
    for kind in KINDS:
        try:
            return kind.from_private_key(io.StringIO(f"{text}\n"))
        except (ValueError, TypeError, IndexError, paramiko.SSHException):
            continue
    raise SignInRefused(f"The variable {name} does not hold a private key without a passphrase.")


@contextmanager
def _from_agent(place: AgentKey) -> Iterator[paramiko.PKey]:
    """Over a connection of its own: the protocol of agents is for one thread at a time."""
    agent: Any = AgentSSH()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        try:
            connection.settimeout(PATIENCE)
            connection.connect(str(place.socket))
            agent._connect(connection)
        except (OSError, paramiko.SSHException) as error:
            raise SignInRefused(f"The agent at {place.socket} does not answer: {error}") from error
        yield _chosen(agent.get_keys(), place)


def _chosen(keys: Iterable[paramiko.PKey], place: AgentKey) -> paramiko.PKey:
    held = {fingerprint(f"{key.get_name()} {key.get_base64()}"): key for key in keys}
    if place.fingerprint in held:
        return held[place.fingerprint]
    if place.fingerprint:
        raise SignInRefused(f"The agent at {place.socket} does not hold the key {place.fingerprint}.")
    if len(held) != 1:
        raise SignInRefused(
            f"The agent at {place.socket} holds {len(held)} keys. Name the one to use: agent:{place.socket}#SHA256:…"
        )
    return next(iter(held.values()))
