"""What Django loads as the database backend `releasemgr.lib.embedded`."""

from typing import Any

from django.db.backends.postgresql import base
from psycopg import Connection, OperationalError

from releasemgr.lib.embedded.server import Server


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's PostgreSQL, on the checkout's own server, which is started when it does not answer."""

    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        super().__init__(settings_dict, alias)
        self.server = Server(settings_dict["EMBEDDED_IN"])
        settings_dict["HOST"] = str(self.server.place.socket_dir)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection[Any]:
        if not self.server.socket_is_private():
            self._start()
        try:
            connection: Connection[Any] = super().get_new_connection(conn_params)
        except OperationalError:
            self._start()
            connection = super().get_new_connection(conn_params)
        return connection

    def _start(self) -> None:
        """What keeps it down may pass, as a full disk does: to whoever asks it is a database that is away."""
        try:
            self.server.start()
        except OSError as error:
            raise OperationalError(f"The embedded PostgreSQL cannot be started: {error}") from error
