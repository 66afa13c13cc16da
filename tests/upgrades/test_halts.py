"""P4, P5, T8: waves that wait, runs that halt, and how a person lets them go on."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from builds.maturity import Maturity
from releasemgr.lib.actors import COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from tests.factories import NOW, make_build, make_instance
from tests.upgrades.halted import LATER, end, make_run_of
from upgrades.choices import EndCode, HaltEnd, Outcome, RunState, UpgradeState
from upgrades.exceptions import ReasonMissing, RunChanged
from upgrades.models import Policy, Run, RunHalt, Upgrade
from upgrades.night import Night
from upgrades.plan import Code
from upgrades.services import claims, waves
from upgrades.services.halts import end_run, halt_run, release_builds, resume_run
from upgrades.services.planning import decide_site
from upgrades.services.runs import close_overdue_runs, settle, start_upgrades

pytestmark = pytest.mark.django_db

TONIGHT = Night(NOW.date(), NOW, NOW + timedelta(hours=4))


@pytest.fixture
def manager(release_manager: User) -> Actor:
    return Actor(Origin.PAGE, release_manager)


def may_begin(now: object = NOW) -> list[str]:
    numbers = [one.number for one in waves.claimable(now)]  # type: ignore[arg-type]
    return [Upgrade.objects.get(pk=number).instance.slug for number in numbers]


def test_p4_a_wave_begins_when_the_one_before_has_ended() -> None:
    make_run_of(3, tests=1, canary_share=1)
    assert may_begin() == ["test-0"]

    end("test-0")

    (canary,) = may_begin(LATER)
    assert len(claims.due_by_host(LATER)) == 1
    end(canary)
    assert len(may_begin(LATER)) == 2


def test_p4_a_wave_that_needs_a_person_is_over_and_the_pause_is_kept() -> None:
    make_run_of(3, tests=1, canary_share=100, wave_pause_min=30)

    end("test-0", Outcome.NEEDS_A_PERSON)

    assert may_begin(LATER + timedelta(minutes=29)) == []
    assert len(may_begin(LATER + timedelta(minutes=30))) == 3


def test_p4_a_change_of_the_pause_acts_on_what_has_not_begun() -> None:
    make_run_of(1, tests=1, wave_pause_min=30)
    end("test-0")
    assert may_begin(LATER) == []

    Policy.objects.update(wave_pause_min=0)

    assert may_begin(LATER) == ["live-00"]


def test_p4_a_wave_waits_only_for_earlier_waves_whose_windows_have_opened() -> None:
    make_run_of(2, tests=1)
    Upgrade.objects.filter(instance__slug="test-0").update(opens_at=NOW + timedelta(hours=7))

    assert may_begin(LATER) == ["live-00", "live-01"]
    assert may_begin(NOW + timedelta(hours=7)) == ["test-0"]


def test_p4_no_more_begin_than_the_limit_over_all() -> None:
    run = make_run_of(3, max_parallel=2)
    upgrades = list(run.upgrades.for_list())

    begun = [claims.begin(upgrade, now=LATER) for upgrade in upgrades]

    assert begun == [True, True, False]
    assert claims.room() == 0
    assert run.upgrades.waiting().count() == 1


def test_p5_a_wave_above_its_limit_halts_the_run_and_nothing_more_begins() -> None:
    run = make_run_of(10)

    end("live-00", Outcome.ROLLED_BACK)
    assert Run.objects.get().state is RunState.RUNNING
    end("live-01", Outcome.FAILED_CLEAN)

    halt = RunHalt.objects.get()
    assert (halt.code, halt.wave and halt.wave.number) == ("share", 1)
    assert [build.version for build in halt.builds.all()] == ["2.0"]
    assert Run.objects.get().state is RunState.HALTED
    assert may_begin(LATER) == []
    assert not claims.begin(run.upgrades.waiting().for_list()[0], now=LATER)
    assert Change.objects.get(kind="run.halted").after == {"halt": "2 of 10 failed in wave 1, and the limit is 1."}


def test_p5_a_halt_wins_over_what_succeeds_beside_it_and_what_runs_finishes() -> None:
    make_run_of(10)
    running = Upgrade.objects.get(instance__slug="live-09")
    running.move(UpgradeState.STARTING, now=NOW, started_at=NOW)
    end("live-00", Outcome.ROLLED_BACK)
    end("live-01", Outcome.ROLLED_BACK)

    running.end(Outcome.SUCCEEDED, EndCode.DONE, now=LATER)
    settle(LATER)

    assert RunHalt.objects.undecided().count() == 1
    assert Run.objects.get().ended_at is None


def test_p5_unreachable_sites_never_count_as_failed_but_make_an_incident() -> None:
    make_run_of(4)
    for number in range(2):
        end(f"live-0{number}", Outcome.BLOCKED, code="unreachable")
    assert not RunHalt.objects.exists()

    end("live-02", Outcome.BLOCKED, code="unreachable")

    halt = RunHalt.objects.get()
    assert (halt.code, halt.builds.count()) == ("unreachable", 0)


def test_p5_equal_failures_over_waves_halt() -> None:
    make_run_of(40, tests=2, wave_sizes="20", halt_share=50)
    end("test-0", Outcome.ROLLED_BACK, fingerprint="same")
    end("test-1")
    end("live-00", Outcome.ROLLED_BACK, fingerprint="same")
    end("live-01", Outcome.ROLLED_BACK, fingerprint="other")
    assert not RunHalt.objects.exists()

    end("live-02", Outcome.FAILED_CLEAN, fingerprint="same")

    assert RunHalt.objects.get().code == "same_failure"


def test_p5_resuming_goes_on_and_failures_up_to_then_count_no_more(manager: Actor) -> None:
    run = make_run_of(10)
    end("live-00", Outcome.ROLLED_BACK)
    end("live-01", Outcome.ROLLED_BACK)

    halt = resume_run(run, actor=manager, now=LATER, reason="The mail server was down.")

    assert (halt.end, halt.ended_by, halt.released_by) == (HaltEnd.RESUMED, manager.user, manager.user)
    assert len(may_begin(LATER)) == 8
    end("live-02", Outcome.ROLLED_BACK)
    assert not RunHalt.objects.undecided().exists(), "one failure since then is not two"
    with pytest.raises(RunChanged, match="not halted"):
        resume_run(run, actor=manager, now=LATER, reason="Again.")


def test_p5_ending_records_what_had_not_begun_with_the_reason(manager: Actor) -> None:
    run = make_run_of(10)
    end("live-00", Outcome.ROLLED_BACK)
    end("live-01", Outcome.ROLLED_BACK)
    assert run.upgrades.waiting().count() == 8, "until the run ends they wait"

    assert end_run(run, actor=manager, now=LATER, reason="Not tonight.") == 8

    left = run.upgrades.filter(outcome=Outcome.NOT_STARTED)
    assert left.count() == 8
    assert left[0].end_values["text"] == "2 of 10 failed in wave 1, and the limit is 1."
    assert Run.objects.get().ended_at == LATER


def test_p5_when_its_time_is_over_a_halted_run_ends_and_still_asks_for_a_person() -> None:
    make_run_of(3, halt_minimum=1)
    end("live-00", Outcome.ROLLED_BACK)
    over = NOW + timedelta(hours=12)

    assert close_overdue_runs(over) == 2

    run = Run.objects.get()
    assert (run.ended_at, run.state) == (over, RunState.HALTED)
    assert set(run.upgrades.filter(outcome="not_started").values_list("end_code", flat=True)) == {"run_halted"}


def test_p5_a_build_that_halted_a_run_is_offered_to_nobody_until_a_person_decides(manager: Actor) -> None:
    run = make_run_of(3, halt_minimum=1)
    end("live-00", Outcome.ROLLED_BACK)
    close_overdue_runs(NOW + timedelta(hours=12))
    other = make_instance("other")
    assert decide_site(other, TONIGHT).code is Code.BLOCKED_BY_HALT

    release_builds(run.halts.get(), actor=manager, now=LATER, reason="The migration was mended.")

    assert decide_site(other, TONIGHT).upgrades
    assert Run.objects.get().state is RunState.WITH_FAILURES
    with pytest.raises(RunChanged):
        release_builds(run.halts.get(), actor=manager, now=LATER, reason="Again.")


def test_p5_a_person_can_halt_at_any_time_and_says_why(manager: Actor) -> None:
    run = make_run_of(3)
    with pytest.raises(ReasonMissing):
        halt_run(run, actor=manager, now=NOW, reason=" ")

    halt = halt_run(run, actor=manager, now=NOW, reason="The data centre is on fire.")

    assert (halt.by, halt.reason, halt.builds.count()) == (manager.user, "The data centre is on fire.", 0)
    assert may_begin() == []
    with pytest.raises(RunChanged, match="halted already"):
        halt_run(run, actor=manager, now=NOW, reason="Again.")


def test_t8_a_leg_waits_for_the_leg_before_and_a_failing_one_ends_the_path() -> None:
    Policy.objects.update(canary_share=0, wave_sizes="")
    make_build("1.5", stepping_stone=True)
    make_build("2.0", maturity=Maturity.RELEASE)
    site = make_instance("acme", runs="1.0")
    run = start_upgrades([site], actor=COMMAND, now=NOW)
    legs = run.upgrades.order_by("leg")
    assert [(one.leg, one.from_version, one.build.version) for one in legs] == [(1, "1.0", "1.5"), (2, "1.5", "2.0")]
    assert run.waves.get().planned == 2
    first, second = legs
    assert [one.number for one in waves.claimable(NOW)] == [first.pk]

    first.move(UpgradeState.STARTING, now=NOW, started_at=NOW)
    first.end(Outcome.SUCCEEDED, EndCode.DONE, now=LATER)
    site.report("1.5.0", now=LATER)
    assert [one.number for one in waves.claimable(LATER)] == [second.pk]
    assert claims.begin(Upgrade.objects.for_list().get(pk=second.pk), now=LATER)

    Upgrade.objects.filter(pk=second.pk).update(state=UpgradeState.WAITING, started_at=None)
    Upgrade.objects.filter(pk=first.pk).update(outcome=Outcome.ROLLED_BACK)
    settle(LATER)
    second.refresh_from_db()
    assert (second.outcome, second.end_code, second.end_values["leg"]) == ("not_started", "path_ended", 1)
    assert Run.objects.get().ended_at == LATER


def test_p11_what_failed_is_not_tried_again_by_itself_but_a_newer_build_is() -> None:
    make_run_of(2)
    end("live-00", Outcome.ROLLED_BACK)
    end("live-01", Outcome.BLOCKED, code="unreachable")
    failed, unreached = (Upgrade.objects.get(instance__slug=f"live-0{number}").instance for number in range(2))

    assert decide_site(failed, TONIGHT).code is Code.PARKED
    assert decide_site(unreached, TONIGHT).upgrades
    make_build("2.1", maturity=Maturity.RELEASE)
    assert decide_site(failed, TONIGHT).upgrades
