"""How much hosts have told that is not written down yet: threads stop reading while it is too much (U9).

What is not read waits in the connection, and then on the host: its own log is a file and waits for nobody.
"""

from threading import Condition

MOST = 16 * 1024 * 1024  # bytes, over all hosts of a supervisor


class Backlog:
    """Shared by the threads of one supervisor."""

    def __init__(self, most: int = MOST) -> None:
        self._most, self._bytes = most, 0
        self._changed = Condition()

    def add(self, size: int) -> None:
        with self._changed:
            self._bytes += size

    def done(self, size: int) -> None:
        with self._changed:
            self._bytes -= size
            self._changed.notify_all()

    @property
    def is_full(self) -> bool:
        return self._bytes >= self._most

    def wait(self, seconds: float) -> None:
        """Until there is room, or so long."""
        with self._changed:
            self._changed.wait_for(lambda: not self.is_full, seconds)
