"""The clocks of the demo's hosts. While the history is made they are moved with the dashboard's own."""

import shutil
from datetime import timedelta

from releasemgr.demo.fleet import HOSTS, Places
from releasemgr.demo.hosts import SYSTEM_PATH

DATE = """\
#!/bin/sh
# This host's clock, moved while the demo lives through its past month.
exec {date} -d "{seconds:+d} seconds" "$@"
"""


def move(places: Places, offset: timedelta) -> None:
    """Every host's `date` is that far from the machine's; without an offset it is the machine's own."""
    for host in HOSTS:
        command = places.home(host) / "bin" / "date"
        if not offset:
            command.unlink(missing_ok=True)
            continue
        half_written = command.with_suffix(".part")
        half_written.write_text(DATE.format(date=_date(), seconds=round(offset.total_seconds())))
        half_written.chmod(0o755)
        half_written.replace(command)


def _date() -> str:
    found = shutil.which("date", path=SYSTEM_PATH)
    assert found  # noqa: S101 - looked for before the demo begins
    return found
