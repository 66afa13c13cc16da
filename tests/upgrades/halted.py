"""A run that goes wrong, as the supervisor makes it."""

from datetime import timedelta

from builds.maturity import Maturity
from instances.choices import Kind
from releasemgr.lib.actors import COMMAND
from tests.factories import NOW, make_build, make_host, make_instance
from upgrades.choices import EndCode, Outcome, UpgradeState
from upgrades.models import Policy, Run, Upgrade
from upgrades.services.runs import settle, start_upgrades

LATER = NOW + timedelta(minutes=10)


def make_run_of(sites: int, *, tests: int = 0, **policy: object) -> Run:
    """A manual run of live sites that follow release, which is 2.0: no canaries, one wave, unless said otherwise."""
    Policy.objects.update(**{"canary_share": 0, "wave_sizes": "", "max_parallel": 100} | policy)
    make_build("1.0", maturity=Maturity.STABLE)
    make_build("2.0", maturity=Maturity.RELEASE)
    host = make_host("app-1")
    fleet = [make_instance(f"live-{number:02}", host=host) for number in range(sites)]
    fleet += [make_instance(f"test-{number}", host=host, kind=Kind.TEST) for number in range(tests)]
    return start_upgrades(fleet, actor=COMMAND, now=NOW)


def end(slug: str, outcome: Outcome = Outcome.SUCCEEDED, *, fingerprint: str = "", code: str = "") -> None:
    """As the supervisor does: the upgrade ends, then what follows from it."""
    upgrade = Upgrade.objects.get(instance__slug=slug, outcome=None)
    upgrade.move(UpgradeState.STARTING, now=NOW, started_at=NOW)
    Upgrade.objects.filter(pk=upgrade.pk).update(fingerprint=fingerprint)
    ending = EndCode(code) if code else EndCode.DONE if outcome == Outcome.SUCCEEDED else EndCode.STEP_FAILED
    upgrade.end(outcome, ending, now=LATER, step="Migrate", host="app-1", text="No answer.", reported="")
    settle(LATER)
