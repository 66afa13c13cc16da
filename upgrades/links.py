"""Connections to hosts, over their jump hosts: each hop with its pinned key, sign-in and time limits (U6, U7)."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import fabric
import paramiko

from instances.host_keys import key_bytes, type_of
from upgrades.certificates import SUFFIX, NotCertified, certified
from upgrades.contact import HostAddress, Vouched
from upgrades.exceptions import ContactError, HostKeyChanged, HostKeyUnknown, JumpFailed, SignInRefused, Unreachable
from upgrades.sockets import Deadline, cut, dial
from upgrades.ssh_keys import Lend

KEEPALIVE = 15
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
CANNOT_CONNECT = 2  # what a jump host answers where the host behind it does not take the connection (RFC 4254)

# What it would log reaches the caller as an exception.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Limits:
    """Seconds (U7), for each hop. They hold whatever the SSH library does: a watchdog cuts the socket."""

    connect: float = 10.0
    sign_in: float = 30.0
    answer: float = 60.0
    """For a command's answer, and for each piece of an artefact to be taken."""
    silence: float = 20.0
    """Of a follower, whose host beats every 5 seconds."""


class Link:
    """A way to one host, signed in on: `sock` is the only real socket, however many hops there are."""

    def __init__(self, address: HostAddress, lend: Lend, limits: Limits) -> None:
        self.address = address
        with lend(address.identity) as key:
            self._way = _Way(address, lend, limits)
            self.sock = self._way.sock
            self._key = _KnownKey(address)
            self.connection = _connection(address, key, self._way.stream, limits)
            self.connection.client.set_missing_host_key_policy(self._key)
            self._sign_in(limits)

    @property
    def vouched(self) -> list[Vouched]:
        """What authorities vouched for, of this host and of those on the way."""
        below = self._way.below.vouched if self._way.below else []
        return [*below, self._key.vouched] if self._key.vouched else below

    def close(self) -> None:
        cut(self.sock)
        with suppress(paramiko.SSHException, OSError, EOFError):  # a channel says good-bye over what was just cut
            self.connection.close()
        self._way.close()

    def _sign_in(self, limits: Limits) -> None:
        address = self.address
        with Deadline(limits.sign_in, partial(cut, self.sock)) as deadline:
            try:
                self.connection.open()
                self.connection.transport.set_keepalive(KEEPALIVE)
            except Exception as error:
                self.close()
                if isinstance(error, ContactError):
                    raise
                if isinstance(error, paramiko.AuthenticationException) and not _was_cut(deadline, error):
                    raise SignInRefused(f"{address.name} does not let {address.user} in: {error}") from error
                if isinstance(error, paramiko.SSHException | OSError | EOFError):
                    raise Unreachable(_no_ssh(address, deadline, error)) from error
                raise


class _Way:
    """What leads to a host's port: a socket, or a channel of the connection to its jump host."""

    def __init__(self, address: HostAddress, lend: Lend, limits: Limits) -> None:
        self.below: Link | None = None
        if address.via is None:
            self.sock = self.stream = dial(address.address, address.port, limits.connect)
            return
        with _failing_at(address.via):
            self.below = Link(address.via, lend, limits)
        self.sock = self.below.sock
        try:
            self.stream = _forwarded(self.below, address, limits)
        except ContactError:
            self.close()
            raise

    def close(self) -> None:
        cut(self.sock)
        if self.below:
            self.below.close()
        self.sock.close()


@contextmanager
def _failing_at(hop: HostAddress) -> Iterator[None]:
    """What goes wrong here is the jump host's, or that of one before it."""
    try:
        yield
    except JumpFailed:
        raise
    except ContactError as error:
        raise JumpFailed(hop, error) from error


class ChannelSocket:
    """A channel that looks like a socket, and that can be closed like one after its connection was lost.

    Paramiko's own says good-bye over what is gone, and the error leaves whoever waits for the connection waiting.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def close(self) -> None:
        with suppress(paramiko.SSHException, OSError, EOFError):
            self._channel.close()


def _forwarded(below: Link, address: HostAddress, limits: Limits) -> Any:
    """To the host's port. The jump host has just let us in: it waits, not we."""
    there, here = (address.address, address.port), ("127.0.0.1", 0)
    with Deadline(limits.connect, partial(cut, below.sock)) as deadline:
        try:
            longer_than_ours = limits.connect + limits.answer
            transport = below.connection.transport
            return ChannelSocket(transport.open_channel("direct-tcpip", there, here, timeout=longer_than_ours))
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise _not_forwarded(below.address, address, deadline, error) from error


def _not_forwarded(gate: HostAddress, address: HostAddress, deadline: Deadline, error: Exception) -> ContactError:
    """The fault of the host behind, or of the jump host itself."""
    there = f"{address.address} on port {address.port}"
    if deadline.passed:
        return Unreachable(f"{gate.name} got no answer from {there} within {deadline.seconds:g} seconds.")
    if not isinstance(error, paramiko.ChannelException):
        return JumpFailed(gate, Unreachable(_no_ssh(gate, deadline, error)))
    if error.code == CANNOT_CONNECT:
        return Unreachable(f"{gate.name} cannot reach {there}: {error.text}.")
    return JumpFailed(gate, Unreachable(f"It does not forward connections: {error.text}."))


@dataclass(frozen=True)
class Offer:
    """The key that a host shows, "type base64", and whether somebody vouches for it."""

    key: str
    vouched: Vouched | None


def offered_host_key(address: HostAddress, lend: Lend, limits: Limits) -> Offer:
    """Without signing in there: the key of the pinned one's type, if it has such. Raises Unreachable or JumpFailed."""
    way = _Way(address, lend, limits)
    with Deadline(limits.connect, partial(cut, way.sock)) as deadline:
        try:
            transport = paramiko.Transport(way.stream)
            _ask_first_for(transport, address)
            transport.start_client(timeout=limits.connect)
            key = transport.get_remote_server_key()
            return Offer(_key_text(key), _KnownKey(address).vouched_for(key))
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Unreachable(_no_ssh(address, deadline, error)) from error
        finally:
            way.close()


def _ask_first_for(transport: paramiko.Transport, address: HostAddress) -> None:
    """A certificate where somebody may vouch for the host; then a key of the type that was approved."""
    options = transport.get_security_options()
    kind = type_of(address.host_key)
    wanted = [name for name in options.key_types if kind == name or (kind, name[:8]) == ("ssh-rsa", "rsa-sha2")]
    plain = [*wanted, *(name for name in options.key_types if name not in wanted)]
    certificates = [f"{name}{SUFFIX}" for name in plain] if address.authorities else []
    options.key_types = (*certificates, *plain)


class _KnownKey(paramiko.MissingHostKeyPolicy):
    """U6: the pinned key, or one that an authority vouches for now. Fabric's own policy accepts every key."""

    def __init__(self, address: HostAddress) -> None:
        self._address = address
        self._fault = ""
        self.vouched: Vouched | None = None

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Called before anything is signed in. Raises HostKeyUnknown or HostKeyChanged."""
        self.vouched, pinned, shown = self.vouched_for(key), self._address.host_key, _key_text(key)
        if self.vouched or pinned == shown:
            return
        if not _is_key(pinned):
            raise HostKeyUnknown(shown, self._fault)
        raise HostKeyChanged(pinned, shown)

    def vouched_for(self, key: paramiko.PKey) -> Vouched | None:
        if not self._address.authorities:
            return None
        now = datetime.now(UTC)  # of this machine, whatever the business's clock says
        try:
            found = certified(key, self._address.address, self._address.authorities, now)
        except NotCertified as fault:
            self._fault = str(fault)
            return None
        return Vouched(self._address.name, found.key, found.authority)


def _is_key(text: str) -> bool:
    try:
        return bool(key_bytes(text))
    except ValueError:
        return False


def _connection(address: HostAddress, key: paramiko.PKey, stream: socket.socket, limits: Limits) -> Any:
    """A configuration of its own: one that threads share fails now and then."""
    settings = {"load_ssh_configs": False, "authentication": {"strategy_class": partial(_OneKey, key)}}
    longer_than_ours = limits.sign_in + limits.answer
    return fabric.Connection(
        host=address.address,
        port=address.port,
        user=address.user,
        config=fabric.Config(lazy=True, overrides=settings),
        connect_kwargs={
            "sock": stream,
            "transport_factory": partial(_transport, address),
            "banner_timeout": longer_than_ours,
            "auth_timeout": longer_than_ours,
            "channel_timeout": longer_than_ours,
        },
    )


class _OneKey:
    """Offers one key: no agent, no keys from the home directory, no password, no question at a terminal."""

    def __init__(self, key: paramiko.PKey, *, username: str, **_: object) -> None:
        self._key = key
        self._user = username

    def authenticate(self, transport: paramiko.Transport) -> None:
        more = transport.auth_publickey(self._user, self._key)
        if more:
            raise paramiko.AuthenticationException(f"it asks for more than a key ({', '.join(more)})")


def _transport(address: HostAddress, sock: socket.socket, **options: Any) -> paramiko.Transport:
    transport = paramiko.Transport(sock, **options)
    transport.get_security_options().ciphers = CIPHERS
    _ask_first_for(transport, address)
    return transport


def _key_text(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.get_base64()}"


def _no_ssh(address: HostAddress, deadline: Deadline, error: Exception) -> str:
    if deadline.passed:
        within = f"within {deadline.seconds:g} seconds"
        return f"{address.address} is connected on port {address.port}, but did not answer {within}."
    why = str(error) or "it closed"
    return f"{address.address} broke off on port {address.port} before the sign-in was over: {why}."


def _was_cut(deadline: Deadline, error: Exception) -> bool:
    """Paramiko calls a connection that breaks while signing in a refusal."""
    return deadline.passed or "transport shut down" in str(error)
