"""Real threads with real connections, for tests that claim something about concurrency."""

import threading
from collections.abc import Callable
from typing import TypeVar

from django.db import connection

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
