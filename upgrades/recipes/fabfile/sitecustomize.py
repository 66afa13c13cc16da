"""Holds every SSH connection of a fabfile to the approved host keys, whatever Fabric or the fabfile say (U6).

Python reads it as it starts: that of fab, and every one that a fabfile starts itself. It runs in the team's own
environment: any Python from 3.8 on, any Paramiko that Fabric 2 or 3 takes. Where there is none, nothing is to be held.
"""

import inspect
import os
from typing import Any

LIMITS = {"timeout": 10, "banner_timeout": 30, "auth_timeout": 30, "channel_timeout": 60}  # seconds
KEEPALIVE = 15  # seconds
CREDENTIALS = ("password", "pkey", "key_filename", "auth_strategy")


def hold(client_class: Any, refuse: Any, known_hosts: str, key_file: str) -> None:
    connect_as_before = client_class.connect
    signature = inspect.signature(connect_as_before)

    def connect(self: Any, *args: Any, **options: Any) -> Any:
        """Fabric's gateways come here, too. Who brings no key of their own signs in with ours."""
        self._host_keys.clear()
        self._system_host_keys.clear()
        self.load_system_host_keys(known_hosts)
        self.set_missing_host_key_policy(refuse)
        given = signature.bind(self, *args, **options).arguments
        for name, seconds in LIMITS.items():
            if name in signature.parameters and given.get(name) is None:
                given[name] = seconds
        if not any(given.get(name) for name in CREDENTIALS):
            given.update(key_filename=key_file, look_for_keys=False, allow_agent=False)
        answer = connect_as_before(**given)
        self.get_transport().set_keepalive(KEEPALIVE)
        return answer

    client_class.connect = connect


try:
    import paramiko
except ImportError:
    PINNED = False
else:
    hold(paramiko.SSHClient, paramiko.RejectPolicy(), os.environ["FAB_KNOWN_HOSTS"], os.environ["FAB_KEY_FILE"])
    PINNED = True
