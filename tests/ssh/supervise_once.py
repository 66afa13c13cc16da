"""A supervisor in a process of its own, until nothing is left to do. Argument: the SSH key.

It prints its peak of memory in kB, before it began and in the end.
"""

import os
import re
import sys
from pathlib import Path

import django


def peak() -> int:
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "releasemgr.settings")
    django.setup()
    from upgrades.links import Limits
    from upgrades.remote import fabric_connect
    from upgrades.ssh_keys import one_key
    from upgrades.supervisor import Supervisor

    limits = Limits(connect=2, sign_in=3, answer=10, silence=7)
    before = peak()
    Supervisor(fabric_connect(one_key(Path(sys.argv[1])), limits)).run(lasting=240)
    sys.stdout.write(f"{before} {peak()}\n")
