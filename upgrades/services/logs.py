"""The rows of a log: writes what is to be kept of it, reads parts of it (U3, U9)."""

from datetime import datetime
from itertools import takewhile

from django.db.models import BinaryField, F, Func, Sum, Value

from upgrades.log_keeping import Changes, KeptLog
from upgrades.models import LogChunk, Upgrade

AT_ONCE = 8
"""Rows in one statement, which holds each several times over."""


def kept_log(upgrade: Upgrade) -> KeptLog:
    starts = upgrade.steps.exclude(log_start=None).values_list("log_start", flat=True)
    return KeptLog(upgrade.log_chunks.stretches(), [start for start in starts if start is not None])


def write_log(upgrade: Upgrade, changes: Changes, now: datetime) -> None:
    rows = upgrade.log_chunks
    if changes.dropped:
        rows.filter(offset__in=changes.dropped).delete()
    for offset, more in changes.grown.items():
        size, feeds = F("size") + len(more), F("feeds") + more.count(b"\n")
        rows.filter(offset=offset).update(data=_joined(more), size=size, feeds=feeds)
    new = [LogChunk.of(upgrade, offset, data, now) for offset, data in changes.new.items()]
    LogChunk.objects.bulk_create(new, batch_size=AT_ONCE)
    for offset, gap in changes.gaps.items():
        values = {"size": gap.size, "feeds": gap.feeds}
        rows.update_or_create(offset=offset, defaults=values, create_defaults={**values, "at": now})


def _joined(more: bytes) -> Func:
    data, field = F("data"), BinaryField()
    return Func(
        data, Value(more, output_field=field), template="(%(expressions)s)", arg_joiner=" || ", output_field=field
    )


def read_log(upgrade: Upgrade, start: int, end: int) -> bytes:
    """The bytes of its log from `start` up to `end`, without those that were left out."""
    pieces = takewhile(lambda piece: piece.offset < end, upgrade.log_pieces(start))
    return b"".join(piece.data[max(0, start - piece.offset) : end - piece.offset] for piece in pieces)


def lines_before(upgrade: Upgrade, byte: int) -> int:
    """How many lines of its log end before this byte."""
    rows = upgrade.log_chunks.annotate(end=F("offset") + F("size"))
    feeds: int = rows.filter(end__lte=byte).aggregate(feeds=Sum("feeds", default=0))["feeds"]
    across = rows.filter(offset__lt=byte, end__gt=byte).first()
    if across is None:
        return feeds
    return feeds + (bytes(across.data)[: byte - across.offset].count(b"\n") if across.data else across.feeds)


def log_size(upgrade: Upgrade) -> int:
    """How many bytes of its log have been taken in."""
    last = upgrade.log_chunks.order_by("offset").values_list("offset", "size").last()
    return sum(last) if last else 0
