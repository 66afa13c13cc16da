"""Signs in to hosts and reads their clocks: writes nothing, there or here, and needs no lease."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime

from releasemgr.lib import clock
from upgrades.contact import Connect, Ground, HostAddress
from upgrades.exceptions import ConnectionLost, ContactError

AT_ONCE = 20
ALTOGETHER = 150.0  # seconds, however many hosts are dead
NOWHERE = Ground("/", 0)
"""Where no upgrade is: the answer is the host's clock and nothing else."""


@dataclass(frozen=True)
class HostClock:
    """What the clock said between `asked_at` and `answered_at`, in whole seconds."""

    says: datetime
    asked_at: datetime
    answered_at: datetime


def read_clocks(
    addresses: Sequence[HostAddress], connect: Connect, *, within: float = ALTOGETHER
) -> dict[str, HostClock | ContactError]:
    """By the host's name: its clock, or why it could not be read. In the order given."""
    over_at = time.monotonic() + within
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        asked = {address.name: pool.submit(_read, address, connect, over_at) for address in addresses}
        wait(asked.values(), within)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    late = ConnectionLost(f"It did not answer within {within:.0f} seconds.")
    return {
        name: future.result() if future.done() and not future.cancelled() else late for name, future in asked.items()
    }


def _read(address: HostAddress, connect: Connect, over_at: float) -> HostClock | ContactError:
    """In a thread of its own, which never touches the database."""
    if time.monotonic() > over_at:
        return ConnectionLost("There was no time left to ask it.")
    try:
        remote = connect(address)
    except ContactError as error:
        return error
    try:
        asked_at = clock.now()
        says = remote.inspect(NOWHERE).clock
        return HostClock(datetime.fromtimestamp(says, UTC), asked_at, clock.now())
    except ContactError as error:
        return error
    finally:
        remote.close()
