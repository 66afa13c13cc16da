"""Keeps what contact with a host told, of the host and of the jump hosts on the way."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from django.db import transaction

from instances.models import Host
from instances.services import note_certified, note_contact, note_failure, note_offered_key
from upgrades.contact import HostAddress, Vouched
from upgrades.exceptions import ContactError, HostKeyChanged, HostKeyUnknown, JumpFailed, SignInRefused
from upgrades.services.blocks import plain


@transaction.atomic
def note_reached(host: Host, address: HostAddress, vouched: Sequence[Vouched], now: datetime) -> None:
    note_contact(host, now=now, identity=address.identity)
    by_name = {one.host: one for one in vouched}
    for row in Host.objects.filter(name__in=by_name) if by_name else ():
        note_certified(row, by_name[row.name].key, by_name[row.name].authority, now=now)
    for hop, row in _rows(address.hops):
        note_contact(row, now=now, identity=hop.identity)


@transaction.atomic
def note_not_reached(host: Host, address: HostAddress, error: ContactError, now: datetime) -> None:
    """Of the host that was at fault: nothing was learnt of those behind it."""
    if isinstance(error, JumpFailed):
        for hop, row in _rows([error.hop]):
            _note(row, hop, error.error, now)
    else:
        _note(host, address, error, now)


def _note(host: Host, address: HostAddress, error: ContactError, now: datetime) -> None:
    refused = address.identity if isinstance(error, SignInRefused) else None
    note_failure(host, plain(error), now=now, refused=refused)
    if isinstance(error, HostKeyUnknown | HostKeyChanged):
        note_offered_key(host, error.offered_key, now=now)


def _rows(hops: Sequence[HostAddress]) -> Iterator[tuple[HostAddress, Host]]:
    """Those rows of jump hosts that nobody else is writing: then another one notes what was told at the same time."""
    by_name = {hop.name: hop for hop in hops}
    rows = Host.objects.select_for_update(skip_locked=True).filter(name__in=by_name) if by_name else ()
    return ((by_name[row.name], row) for row in rows)
