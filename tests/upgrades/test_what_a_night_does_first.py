"""P1, R10, T2: what changes by itself comes before the plan, and Tonight has shown it all along."""

from datetime import UTC, datetime, time, timedelta

import pytest

from builds.maturity import Maturity
from builds.models import Channel, Promotion
from instances.models import Instance, Target, TargetChange
from instances.pins import PinEnd
from instances.services import set_target
from releasemgr.lib.actors import COMMAND, Origin
from releasemgr.lib.history.models import Change
from tests.factories import NOW, make_build, make_instance, make_problem
from upgrades.models import Schedule
from upgrades.plan import Decision
from upgrades.services.planning import plan_night
from upgrades.services.runs import open_due_night

pytestmark = pytest.mark.django_db

ONE = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
TWO_WEEKS = timedelta(days=14)


@pytest.fixture(autouse=True)
def installed_at_noon(db: None) -> None:
    Schedule.objects.update(since=NOW, start=time(1, 0), end=time(5, 0))


def gist(decisions: list[Decision]) -> list[tuple[str, str, str | None]]:
    return [(one.site.slug, one.code, one.to.version if one.to else None) for one in decisions]


def test_r10_the_night_promotes_what_passes_every_gate_and_goes_on_from_there() -> None:
    Channel.objects.filter(name="stable").update(automatic=True)
    make_build("1.0", maturity=Maturity.STABLE)
    build = make_build("2.0", maturity=Maturity.RELEASE, channel_since=ONE - TWO_WEEKS)
    make_instance("slow", runs="1.0", target_channel_id="stable")
    shown = plan_night(NOW)[1]
    assert gist(shown) == [("slow", "upgrade", "2.0")]

    run = open_due_night(ONE)

    build.refresh_from_db()
    assert build.stage is Maturity.STABLE
    promotion = Promotion.objects.get()
    assert (promotion.origin, promotion.by, promotion.at) == (Origin.AUTOMATIC, None, ONE)
    assert run
    assert [(one.instance.slug, one.code) for one in run.decisions.all()] == [("slow", "upgrade")]


def test_r10_without_the_switch_or_with_an_open_problem_nothing_is_promoted() -> None:
    build = make_build("2.0", maturity=Maturity.RELEASE, channel_since=ONE - TWO_WEEKS)
    open_due_night(ONE)
    assert not Promotion.objects.exists()
    assert Change.objects.get(kind="build.eligible").after["channel"] == "stable"

    Channel.objects.filter(name="stable").update(automatic=True)
    make_problem(build)
    open_due_night(ONE + timedelta(days=1))
    assert not Promotion.objects.exists()


def test_r6_a_soak_that_completes_a_second_late_waits_for_the_next_night() -> None:
    Channel.objects.filter(name="stable").update(automatic=True)
    make_build("2.0", maturity=Maturity.RELEASE, channel_since=ONE - TWO_WEEKS + timedelta(seconds=1))

    open_due_night(ONE)
    assert not Promotion.objects.exists()

    open_due_night(ONE + timedelta(days=1))
    assert Promotion.objects.get().to_maturity == Maturity.STABLE


def test_t2_a_pin_ends_before_the_plan_is_made_and_is_recorded_as_automatic() -> None:
    make_build("1.0", maturity=Maturity.STABLE)
    fix = make_build("1.9", maturity=Maturity.BETA)
    site = make_instance("early", runs="1.9")
    until = ONE - timedelta(minutes=1)
    set_target(
        site, Target(build=fix, ends=PinEnd.ON_DATE, until=until), actor=COMMAND, now=NOW, reason="Needs it early."
    )
    make_build("2.0", maturity=Maturity.RELEASE)
    shown = plan_night(NOW)[1]

    run = open_due_night(ONE)

    assert run
    assert gist(shown) == [("early", "upgrade", "2.0")]
    assert run.upgrades.get().build.version == "2.0"
    site = Instance.objects.get()
    assert (site.target_channel_id, site.target_build) == ("release", None)
    assert TargetChange.objects.first().origin == Origin.AUTOMATIC  # type: ignore[union-attr]


def test_t2_a_pin_rejoins_its_channel_when_that_catches_up_by_a_promotion_of_the_same_night() -> None:
    Channel.objects.filter(name="stable").update(automatic=True)
    fix = make_build("1.9", maturity=Maturity.BETA)
    site = make_instance("early", runs="1.9", target_channel_id="stable")
    set_target(site, Target(build=fix, ends=PinEnd.CAUGHT_UP), actor=COMMAND, now=NOW, reason="Needs it early.")
    make_build("2.0", maturity=Maturity.RELEASE, channel_since=ONE - TWO_WEEKS)

    run = open_due_night(ONE)

    assert run
    assert run.upgrades.get().build.version == "2.0"
    assert Instance.objects.get().target_channel_id == "stable"
