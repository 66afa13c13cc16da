"""Connections that are made, and cut, in time: no wait here or above trusts another library's limits (U7)."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from upgrades.exceptions import Unreachable


class Deadline:
    """Calls `cut` when it passes. A thread of its own watches it, while the work goes on in the caller's."""

    def __init__(self, seconds: float, cut: Callable[[], None]) -> None:
        self.seconds = seconds
        self.passed = False
        self._cut = cut
        self._until = time.monotonic() + seconds
        self._over = threading.Event()

    def __enter__(self) -> "Deadline":
        threading.Thread(target=self._watch, name="deadline", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def extend(self) -> None:
        """The whole time again, from now on."""
        self._until = time.monotonic() + self.seconds

    def _watch(self) -> None:
        while not self._over.wait(max(0.0, self._until - time.monotonic())):
            if time.monotonic() >= self._until:
                self.passed = True
                self._cut()
                return


def dial(address: str, port: int, seconds: float) -> socket.socket:
    """Raises Unreachable. In a thread that may be left behind: a mute name server cannot be interrupted."""
    outcome: SimpleQueue[socket.socket | OSError] = SimpleQueue()

    def connect() -> None:
        try:
            outcome.put(socket.create_connection((address, port), timeout=seconds))
        except OSError as error:
            outcome.put(error)

    threading.Thread(target=connect, name="dial", daemon=True).start()
    try:
        result = outcome.get(timeout=seconds + 1)
    except Empty:
        result = TimeoutError()
    if isinstance(result, OSError):
        raise Unreachable(_sentence(address, port, seconds, result)) from result
    result.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return result


def cut(sock: socket.socket) -> None:
    """Whoever waits for this socket, in whatever thread, is woken by its end."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _sentence(address: str, port: int, seconds: float, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"The name {address} is not known: {error.strerror}."
    if isinstance(error, ConnectionRefusedError):
        return f"{address} refuses connections on port {port}."
    if isinstance(error, TimeoutError):
        return f"{address} did not answer on port {port} within {seconds:g} seconds."
    return f"{address} cannot be reached on port {port}: {error.strerror or error}."
