"""What the smoke tests said (R3)."""

from datetime import datetime

from builds.choices import Smoke
from builds.exceptions import SmokeRefused
from builds.maturity import Maturity
from builds.models import Build
from builds.services.facts import one_decision_at_a_time
from releasemgr.lib.actors import COMMAND, Actor
from releasemgr.lib.history.services import difference, record, values_of

FIELDS = ("smoke", "smoke_reported_at", "channel_since")


def report_smoke(build: Build, smoke: Smoke, *, now: datetime, actor: Actor = COMMAND) -> Build:
    """Records what the smoke test said. Passing after not having passed starts the soak from zero.

    A build in a channel was tested: its test may be running again, failed or void, but not waiting for its first time.
    Raises SmokeRefused.
    """
    with one_decision_at_a_time():
        build = Build.objects.select_for_update(no_key=True).get(pk=build.pk)
        if smoke == Smoke.PENDING and build.stage > Maturity.CANDIDATE:
            raise SmokeRefused(f"{build} is in {build.stage.channel}: its smoke tests have run. Say void instead.")
        before = values_of(build, FIELDS)
        if smoke == Smoke.PASSED and build.smoke != Smoke.PASSED:
            build.channel_since = now
        build.smoke, build.smoke_reported_at = smoke, now
        build.save(update_fields=FIELDS)
        old, new = difference(before, values_of(build, FIELDS))
        record("build.smoke_reported", build, actor=actor, now=now, before=old, after=new | {"smoke": smoke})
    return build
