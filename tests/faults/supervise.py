"""A supervisor in a process of its own, as a worker's is, so that it can be killed. Argument: the SSH key."""

import os
import sys
from pathlib import Path

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "releasemgr.settings")
    django.setup()
    from upgrades.links import Limits
    from upgrades.remote import fabric_connect
    from upgrades.ssh_keys import one_key
    from upgrades.supervisor import Supervisor

    limits = Limits(connect=2, sign_in=3, answer=10, silence=7)
    while True:
        Supervisor(fabric_connect(one_key(Path(sys.argv[1])), limits)).run(lasting=240)
