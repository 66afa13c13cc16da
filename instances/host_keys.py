"""Public keys of hosts, as OpenSSH writes them: “type base64”. Pure."""

import base64
import binascii
import hashlib

PREFERRED = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
"""Types of keys, best first. Others are taken by nobody: releasemgr cannot check them."""


def fingerprint(key: str) -> str:
    """ "SHA256:…", as `ssh-keygen -l` shows it. Raises ValueError for what is no public key."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key_bytes(key)).digest()).decode().rstrip("=")


def shown_fingerprint(key: str) -> str:
    """Empty for no key; the text itself for what is no key."""
    try:
        return fingerprint(key) if key else ""
    except ValueError:
        return key


def key_bytes(key: str) -> bytes:
    """The key's bytes on the wire. Raises ValueError for what is no public key."""
    kind, _, encoded = key.strip().partition(" ")
    if not kind or not encoded:
        raise ValueError("A host key is written as its type and its base64 text, with one blank between.")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("The second part of a host key is base64 text.") from None
    inner_kind = blob[4 : 4 + int.from_bytes(blob[:4], "big")]
    if len(blob) <= 4 + len(inner_kind) or inner_kind != kind.encode():
        raise ValueError(f"These bytes are not a host key of type {kind}.")
    return blob


def type_of(key: str) -> str:
    return key.partition(" ")[0]
