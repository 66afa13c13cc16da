"""Certificates of host keys, as OpenSSH's PROTOCOL.certkeys describes them: who signed one, for whom and until when."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import paramiko
from paramiko.pkey import UnknownKeyType

from instances.host_keys import fingerprint

SUFFIX = "-cert-v01@openssh.com"
NUMBERS = {
    "ssh-ed25519": 1, "ecdsa-sha2-nistp256": 2, "ecdsa-sha2-nistp384": 2, "ecdsa-sha2-nistp521": 2, "ssh-rsa": 2,
}  # fmt: skip
"""How many fields hold the key itself, by its type."""
FOR_A_HOST = 2
FOREVER = 2**64 - 1


@dataclass(frozen=True)
class Certified:
    """A host's key that an authority vouches for."""

    key: str
    authority: str
    """The authority's key."""
    named: str
    """What the authority calls the certificate."""
    until: datetime | None
    """None: it never expires."""


class NotCertified(Exception):
    """The text says in one sentence why the certificate is worth nothing."""


def certified(key: paramiko.PKey, name: str, authorities: Iterable[str], now: datetime) -> Certified:
    """What the certificate that came with a host's key says. `name` is the host's, as it is reached.

    Raises NotCertified, also where there is none.
    """
    if key.public_blob is None:
        raise NotCertified("The host has no certificate for its key.")
    try:
        certificate = _Certificate(key.public_blob.key_blob)
    except (paramiko.SSHException, UnknownKeyType, ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise NotCertified(f"The certificate of the host cannot be read: {error}") from error
    certificate.check(name, set(authorities), now)
    until = None if certificate.before == FOREVER else _moment(certificate.before)
    return Certified(f"{key.get_name()} {key.get_base64()}", certificate.authority, certificate.named, until)


class _Certificate:
    def __init__(self, blob: bytes) -> None:
        message = paramiko.Message(blob)
        kind = message.get_text().removesuffix(SUFFIX)
        for _field in range(1 + NUMBERS[kind]):  # with the nonce
            message.get_binary()
        message.get_int64()
        self.kind = message.get_int()
        self.named = message.get_text()
        self.names = _texts(message.get_binary())
        self.after, self.before = message.get_int64(), message.get_int64()
        self.conditions = message.get_binary()
        message.get_binary()
        message.get_binary()
        signer = message.get_binary()
        self._signed, self._signature = message.get_so_far(), message.get_binary()
        self._signer = paramiko.PKey.from_type_string(paramiko.Message(signer).get_text(), signer)
        self.authority = f"{self._signer.get_name()} {self._signer.get_base64()}"

    def check(self, name: str, authorities: set[str], now: datetime) -> None:
        """Raises NotCertified for the first thing that is wrong."""
        faults = {
            f"It is signed by {fingerprint(self.authority)}, which is no authority for this host.": (
                self.authority not in authorities
            ),
            "Its signature is not right.": not self._signature_is_right(),
            "It is not for a host.": self.kind != FOR_A_HOST,
            f"It is for {', '.join(self.names) or 'nobody'}, not for {name}.": name.lower() not in self.names,
            f"It is valid from {_moment(self.after):%Y-%m-%d %H:%M} UTC.": now.timestamp() < self.after,
            f"It expired on {_moment(self.before):%Y-%m-%d %H:%M} UTC.": now.timestamp() >= self.before,
            "It has conditions that are not understood.": bool(self.conditions),
        }
        for fault, holds in faults.items():
            if holds:
                raise NotCertified(f"The certificate of the host is not valid: {fault}")

    def _signature_is_right(self) -> bool:
        return bool(self._signer.verify_ssh_sig(self._signed, paramiko.Message(self._signature)))


def _texts(blob: bytes) -> list[str]:
    message, found = paramiko.Message(blob), []
    while message.get_remainder():
        found.append(message.get_text().lower())
    return found


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(min(seconds, 253_402_300_799), UTC)
