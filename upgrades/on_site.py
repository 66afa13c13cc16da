"""`python -m upgrades.on_site SCRIPT SECONDS` runs a script on the host of the site that an upgrade here is about.

For recipes whose steps run on the dashboard's machine: what tells of the site comes over our own connection (U10).
It needs no settings: all it knows is in the bundle of the upgrade.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from upgrades.contact import HostAddress
from upgrades.exceptions import ContactError
from upgrades.remote import fabric_connect
from upgrades.ssh_keys import one_key


def main(script: Path, seconds: float) -> int:
    """The exit status."""
    ours = os.environ
    try:
        remote = fabric_connect(one_key(Path(ours["FAB_KEY_FILE"])))(_address(json.loads(ours["FAB_ADDRESS"])))
        try:
            said = remote.read_version(_values(Path(ours["BUNDLE"])), script.read_bytes(), timeout=seconds)
        finally:
            remote.close()
    except ContactError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0


def _address(told: dict[str, Any]) -> HostAddress:
    """With the hosts that it is reached over."""
    via = told["via"]
    return HostAddress(
        **told | {"via": _address(via) if via else None, "authorities": tuple(told["authorities"])}
    )  # fmt: skip


def _values(bundle: Path) -> dict[str, str]:
    """Those of the upgrade, without what is for this machine alone."""
    pairs = (line.partition("=") for line in (bundle / "env").read_text(encoding="utf-8").splitlines())
    return {name: value for name, _, value in pairs if not name.startswith("FAB_")}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
