"""Real threads with real connections, for tests that claim something about concurrency."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from django.db import connection, transaction

T = TypeVar("T")
DEADLINE = 30


def run_together(*calls: Callable[[], T]) -> list[T]:
    """Starts all calls at the same moment, each on a connection of its own; their answers in order.

    Raises what the first call that failed raised. Only for transactional tests: the threads see committed rows.
    """
    start = threading.Barrier(len(calls), timeout=DEADLINE)
    answers: dict[int, T] = {}
    failures: list[BaseException] = []

    def run(number: int, call: Callable[[], T]) -> None:
        try:
            connection.ensure_connection()
            start.wait()
            answers[number] = call()
        except BaseException as failure:  # noqa: BLE001 - handed to the test's own thread
            failures.append(failure)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    if failures:
        raise failures[0]
    return [answers[number] for number in range(len(calls))]


class Beside(Generic[T]):
    """A call on a connection of its own, which waits for a lock that the test holds, or is done."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._answers: list[T] = []
        self._failures: list[BaseException] = []
        self._backend: int | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._let_it_come_to_a_lock()

    def answer(self) -> T:
        """For when the locks are given back. Raises what the call raised."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        if self._failures:
            raise self._failures[0]
        return self._answers[0]

    @property
    def waits(self) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'", [self._backend]
            )
            return cursor.fetchone() is not None

    def _run(self) -> None:
        try:
            connection.ensure_connection()
            self._backend = connection.connection.info.backend_pid
            self._answers.append(self._call())
        except BaseException as failure:  # noqa: BLE001 - handed to the test's own thread
            self._failures.append(failure)
        finally:
            connection.close()

    def _let_it_come_to_a_lock(self) -> None:
        until = time.monotonic() + DEADLINE
        while self._thread.is_alive() and not self.waits:
            assert time.monotonic() < until
            time.sleep(0.005)


def one_after_the_other(first: Callable[[], T], second: Callable[[], T]) -> tuple[T, T]:
    """The second starts when the first has done all and committed nothing. Only for transactional tests."""
    with transaction.atomic():
        answer = first()
        other = Beside(second)
    return answer, other.answer()
