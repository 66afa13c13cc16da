"""Whether each enabled host lets us in, and has the same time. The only check that reaches hosts."""

from collections.abc import Iterator
from datetime import timedelta

from instances.models import Host
from releasemgr.doctor.database import judge_clock
from releasemgr.doctor.findings import Finding, Level, error, ok
from upgrades import tasks
from upgrades.exceptions import ContactError
from upgrades.host_check import read_clocks
from upgrades.services.addresses import address_of

WHOLE_SECOND = timedelta(seconds=1)


def sign_in() -> Iterator[Finding]:
    addresses = [address_of(host) for host in Host.objects.filter(enabled=True)]
    well = 0
    for name, told in read_clocks(addresses, tasks.connect).items():
        if isinstance(told, ContactError):
            yield error(f"{name}: {told or type(told).__name__}", "See the host's page, and docs/recipes.md.")
            continue
        finding = judge_clock(name, told.says, told.asked_at - WHOLE_SECOND, told.answered_at)
        well += finding.level is Level.OK
        if finding.level is not Level.OK:
            yield finding
    if well or not addresses:
        yield ok(f"Hosts that let us in and whose clock agrees: {well} of {len(addresses)}.")
