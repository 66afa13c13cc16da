"""P1, T3: the preview of a freeze, a policy, a schedule or default windows is the plan after saving it."""

from datetime import time, timedelta
from typing import Any

import pytest

from builds.maturity import Maturity, Severity
from instances.models import Freeze
from instances.services import change_tags, open_freeze, set_windows
from instances.window_text import parse_windows
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from tests.factories import NOW, make_build, make_customer, make_instance, make_problem
from upgrades.exceptions import PolicyRefused
from upgrades.models import Policy, Schedule
from upgrades.plan import Decision
from upgrades.services.facts import facts_of_night
from upgrades.services.planning import decisions_of, next_night
from upgrades.services.policy import Seen, change_rules
from upgrades.services.previews import PlannedNight, planned_night, preview_freeze, preview_rules

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fleet() -> None:
    """Live and test sites of two customers, all behind; one in Auckland, one tagged as a canary."""
    make_build("4.2", maturity=Maturity.RELEASE)
    acme = make_customer("Acme")
    for number in range(6):
        make_instance(f"acme-{number}", runs="4.1", customer=acme, kind="test" if number == 0 else "live",
                      target_channel_id="release")  # fmt: skip
    far = make_instance("far", runs="4.1")
    set_windows(far, parse_windows("daily 01:00-04:00 Pacific/Auckland"), actor=COMMAND, now=NOW)
    change_tags([make_instance("other", runs="4.1")], add=["vip"], actor=COMMAND, now=NOW)


def gist(decisions: Any) -> dict[str, tuple[str, int | None, Any]]:
    return {one.site.slug: (one.code, one.wave, one.opens_at) for one in decisions}


def tonight() -> list[Decision]:
    night = next_night(NOW)
    return decisions_of(facts_of_night(night), night)


def frozen(**values: Any) -> Freeze:
    night = next_night(NOW)
    standard: dict[str, Any] = {
        "name": "Week", "scope": "all", "starts_at": NOW, "ends_at": night.ends_at, "zone": "UTC", "reason": "Audit",
    }  # fmt: skip
    return Freeze(**standard | values)


@pytest.mark.parametrize(
    "values",
    [{}, {"scope": "live"}, {"scope": "test"}, {"starts_at": NOW + timedelta(days=9)}, {"hours": 2}, {"hours": 0.5}],
)
def test_p1_t3_the_preview_of_a_freeze_is_the_plan_after_saving(values: dict[str, Any]) -> None:
    night = next_night(NOW)
    if "hours" in values:
        values = {"ends_at": night.starts_at + timedelta(hours=values["hours"])}
    elif "starts_at" in values:
        values |= {"ends_at": NOW + timedelta(days=10)}
    before, draft = gist(tonight()), frozen(**values)

    effects = preview_freeze(draft, night)

    assert gist(effect.before for effect in effects) == before
    assert not Freeze.objects.exists()
    names = ("name", "scope", "starts_at", "ends_at", "zone", "reason")
    saved = open_freeze({name: getattr(draft, name) for name in names}, actor=COMMAND, now=NOW)
    assert gist(effect.after for effect in effects) == gist(tonight())

    saved.ended_at = NOW
    assert gist(effect.after for effect in preview_freeze(saved, night)) == before, "it takes its own place"


RULES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {}, ""),
    ({"canary_share": 60}, {}, ""),
    ({"canary_share": 0, "canary_tag": "vip", "wave_sizes": "1, 50 %"}, {}, ""),
    ({"hold_on_blockers": False}, {}, ""),
    ({}, {"start": time(22), "end": time(21, 30)}, ""),
    ({}, {"start": time(13)}, "daily 01:00-04:00 America/Los_Angeles"),
    ({"halt_share": 50}, {}, "Tue 02:00-04:00 Europe/Dublin"),
    ({}, {}, "Sun 02:00-04:00 Europe/Dublin"),
]


@pytest.mark.parametrize(("policy", "schedule", "windows"), RULES)
def test_p1_the_preview_of_other_rules_is_the_night_after_saving(
    policy: dict[str, Any], schedule: dict[str, Any], windows: str
) -> None:
    build = make_build("4.3", maturity=Maturity.BETA)
    make_problem(build, severity=Severity.BLOCKER)
    make_instance("on-beta", runs="4.1", target_channel_id="beta")
    row, timetable = Policy.objects.get(), Schedule.objects.get()
    for changed, values in ((row, policy), (timetable, schedule)):
        for name, value in values.items():
            setattr(changed, name, value)
    before = planned_night(NOW)

    found = preview_rules(row, timetable, parse_windows(windows), NOW)

    assert shown(found.before) == shown(before)
    changed_now = change_rules(policy=policy, schedule=schedule, windows=parse_windows(windows), actor=COMMAND, now=NOW)
    assert shown(found.after) == shown(planned_night(NOW))
    assert changed_now == bool(policy or schedule or windows)
    assert {effect.site.slug for effect in found.losing} <= {one.site.slug for one in before.upgrading}


def shown(planned: PlannedNight) -> Any:
    return planned.night, gist(planned.decisions), list(planned.waves), planned.limits


def test_p6_a_site_that_no_night_reaches_is_told_from_one_that_waits() -> None:
    set_windows(None, parse_windows("Sun 02:00-04:00 UTC"), actor=COMMAND, now=NOW)

    planned = planned_night(NOW)

    chances = {one.site.slug: planned.next_chance(one.site) for one in planned.outside}
    assert chances["far"] is None
    assert chances["other"] == NOW.replace(day=29, hour=2)


def test_t7_rules_are_saved_together_or_not_at_all() -> None:
    seen = Seen.now()

    with pytest.raises(PolicyRefused) as refused:
        change_rules(
            policy={"halt_share": 101}, schedule={"start": time(2)}, windows=parse_windows("daily 01:00-04:00 UTC"),
            actor=COMMAND, now=NOW, seen=seen,
        )  # fmt: skip

    assert list(refused.value.errors) == ["halt_share"]
    assert Schedule.objects.get().start == time(1)
    assert Seen.now() == seen
    assert not Change.objects.filter(kind__in=("policy.changed", "schedule.changed")).exists()
