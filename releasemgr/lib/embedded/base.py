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
            self.server.start()
        try:
            connection: Connection[Any] = super().get_new_connection(conn_params)
        except OperationalError:
            self.server.start()
            connection = super().get_new_connection(conn_params)
        return connection
