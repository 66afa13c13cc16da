"""P1, P9, T3: the plan over rows, and previews of changes that are not made."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from builds.maturity import Maturity, Override, Severity
from builds.models import Build, Promotion
from builds.services import judge_promotion, promote_build, withdraw_build
from instances.choices import Kind
from instances.models import Instance, Target, TargetChange
from instances.pins import PinEnd
from instances.services import set_target
from releasemgr.lib.actors import COMMAND
from tests.factories import NOW, make_build, make_host, make_instance, make_problem, make_run, make_upgrade
from upgrades.choices import EndCode, Outcome, UpgradeState
from upgrades.models import Schedule, Upgrade
from upgrades.night import Night
from upgrades.plan import Code, Decision
from upgrades.services.facts import facts_of_night
from upgrades.services.planning import (
    decide_at_start,
    decide_site,
    decisions_of,
    next_night,
    night_from,
    plan_night,
    preview_move,
    preview_target,
    preview_withdrawal,
)
from upgrades.services.retries import let_retry

pytestmark = pytest.mark.django_db


TONIGHT = Night(NOW.date(), NOW, NOW + timedelta(hours=4))


def tonight() -> list[Decision]:
    return decisions_of(facts_of_night(TONIGHT), TONIGHT)


def gist(decisions: list[Decision]) -> list[tuple[str, Code, str | None]]:
    return [(one.site.slug, one.code, one.to.version if one.to else None) for one in decisions]


def one_of_each_kind() -> None:
    """Sites in every situation that a promotion of 4.3 to release may change or leave."""
    make_build("4.2", maturity=Maturity.RELEASE)
    make_build("4.3", maturity=Maturity.BETA)
    make_build("4.4", maturity=Maturity.ALPHA)
    make_instance("follows-release", runs="4.1")
    make_instance("on-release", runs="4.2")
    make_instance("ahead", runs="4.4")
    make_instance("between", runs="4.2.5")
    make_instance("follows-stable", runs="4.1", target_channel_id="stable")
    make_instance("test-site", runs="4.1", kind=Kind.TEST)
    make_instance("unknown", runs=None)
    make_instance("switched-off", runs="4.1", host=make_host(enabled=False))
    make_instance("pinned", runs="4.1", target_build=Build.objects.get(version="4.2"))


def test_p1_the_preview_of_a_promotion_is_the_plan_after_promoting() -> None:
    one_of_each_kind()
    build = Build.objects.get(version="4.3")
    before = gist(tonight())

    preview = preview_move(build, Maturity.RELEASE, TONIGHT, now=NOW)

    assert sorted(gist([effect.before for effect in preview.effects]), key=str) == sorted(before, key=str)
    assert not Promotion.objects.exists()
    promote_build(build, Maturity.RELEASE, actor=COMMAND, now=NOW)
    assert gist([effect.after for effect in preview.effects]) == gist(tonight())
    assert sorted(effect.site.slug for effect in preview.upgrading) == ["between", "follows-release", "on-release"]
    assert {effect.site.slug for effect in preview.waiting} == {"ahead", "switched-off", "unknown"}
    assert (preview.upgrades_before, preview.upgrades_after) == (3, 5)
    assert preview.untouched == 3
    assert preview.replaces
    assert preview.replaces.version == "4.2"


def test_p1_r8_the_preview_of_an_override_is_the_plan_after_it() -> None:
    """Who promotes through a blocker has accepted it for this build, so that it holds no site up."""
    one_of_each_kind()
    build = Build.objects.get(version="4.3")
    make_problem(build, severity=Severity.BLOCKER)

    preview = preview_move(build, Maturity.RELEASE, TONIGHT, now=NOW)

    assert preview.upgrading
    override = Override(judge_promotion(build, Maturity.RELEASE, now=NOW).keys, "They cannot wait.")
    promote_build(build, Maturity.RELEASE, actor=COMMAND, now=NOW, override=override)
    assert gist([effect.after for effect in preview.effects]) == gist(tonight())


def test_p1_a_build_older_than_the_channels_own_changes_no_site() -> None:
    one_of_each_kind()
    older = make_build("4.0", maturity=Maturity.BETA)

    assert preview_move(older, Maturity.RELEASE, TONIGHT, now=NOW).changed == []


@pytest.mark.parametrize("version", ["4.2", "4.3", "4.4"])
def test_p1_r9_the_preview_of_a_withdrawal_is_the_plan_after_withdrawing(version: str) -> None:
    one_of_each_kind()
    build = Build.objects.get(version=version)

    preview = preview_withdrawal(build, TONIGHT)

    assert not Build.objects.exclude(withdrawn_at=None).exists()
    withdraw_build(build, actor=COMMAND, now=NOW, reason="Loses mail")
    assert gist([effect.after for effect in preview.effects]) == gist(tonight())


def test_r5_demoting_moves_no_site_back() -> None:
    make_build("4.2", maturity=Maturity.RELEASE)
    newer = make_build("4.3", maturity=Maturity.RELEASE)
    make_instance(runs="4.3")

    preview = preview_move(newer, Maturity.BETA, TONIGHT, now=NOW)

    assert [effect.after.code for effect in preview.effects] == [Code.AHEAD]


@pytest.mark.parametrize("choose", [lambda: Target(channel="beta"), lambda: Target(build=make_build("4.1.5"))])
def test_t3_the_preview_of_a_target_is_the_plan_after_saving(choose: Callable[[], Target]) -> None:
    one_of_each_kind()
    target = choose()
    for site in Instance.objects.all():
        if site.reported_version > "4.1.5" and target.build:
            continue
        before = site.target

        preview = preview_target(site, target, TONIGHT)

        assert Instance.objects.get(pk=site.pk).target == before
        set_target(site, target, actor=COMMAND, now=NOW, reason="Audit")
        assert gist([preview.after]) == gist([decide_site(site, TONIGHT)])
        assert gist([preview.after])[0] in gist(tonight())
    assert TargetChange.objects.exists()


def test_t3_t4_the_preview_of_another_end_keeps_the_consent_and_fills_in_what_it_follows_then() -> None:
    one_of_each_kind()
    site = make_instance(runs="4.3")
    older = Target(build=Build.objects.get(version="4.2"))
    set_target(site, older, actor=COMMAND, now=NOW, reason="Audit", downgrade=True)
    ends = replace(older, ends=PinEnd.ON_DATE, until=NOW + timedelta(hours=1))

    for target, code in ((ends, Code.DOWNGRADE), (replace(ends, until=NOW + timedelta(seconds=1)), Code.DOWNGRADE)):
        preview = preview_target(site, target, TONIGHT)
        set_target(site, target, actor=COMMAND, now=NOW, reason="Audit")
        assert gist([preview.after]) == gist([decide_site(site, TONIGHT)])
        assert (preview.after.code, preview.after.site.pin_then) == (code, Maturity.RELEASE)


def test_p1_the_plan_costs_the_same_queries_for_any_fleet() -> None:
    one_of_each_kind()
    with CaptureQueriesContext(connection) as few:
        facts_of_night(TONIGHT)
    for _number in range(20):
        make_upgrade(instance=make_instance(runs="4.1"), build=make_build())
    with CaptureQueriesContext(connection) as many:
        facts_of_night(TONIGHT)
    with CaptureQueriesContext(connection) as chosen:
        facts_of_night(TONIGHT, list(Instance.objects.all()[:25]))

    assert len(few) == len(many) == 14
    assert len(chosen) == 15, "one of them reads the list that the test hands over"


def test_p1_the_facts_are_those_of_the_rows_and_not_of_a_stale_object() -> None:
    make_build("4.2", maturity=Maturity.RELEASE)
    stale = make_instance(runs="4.1")
    Instance.objects.get(pk=stale.pk).report("4.2", now=NOW)

    assert decide_site(stale, TONIGHT).code is Code.UP_TO_DATE


def test_p1_tonight_is_the_next_night_that_has_no_run_yet() -> None:
    Schedule.objects.update(since=NOW)
    expected = Schedule.objects.get().timetable.next(NOW)
    assert next_night(NOW) == expected
    assert plan_night(NOW) == (expected, [])

    make_run(date=expected.date)

    assert (next_night(NOW).date - expected.date).days == 1


def test_p1_a_night_that_is_due_and_not_planned_yet_is_still_tonight() -> None:
    """While its sites are asked for their versions, a preview speaks of that night, not of the one after."""
    Schedule.objects.update(since=NOW)
    due = Schedule.objects.get().timetable.next(NOW)
    during = due.starts_at + timedelta(minutes=2)
    assert next_night(during) == Night(due.date, during, due.ends_at)
    assert night_from(during + timedelta(hours=9), during).ends_at - (during + timedelta(hours=9)) == (
        due.ends_at - due.starts_at
    )

    make_run(date=due.date)
    assert (next_night(during).date - due.date).days == 1


def test_p1_a_night_before_the_installation_is_not_tonight() -> None:
    due = Schedule.objects.get().timetable.next(NOW)
    during = due.starts_at + timedelta(minutes=2)
    Schedule.objects.update(since=during)
    assert (next_night(during).date - due.date).days == 1


def starting(version: str = "4.2") -> tuple[Upgrade, Instance]:
    build = make_build(version, maturity=Maturity.RELEASE)
    instance = make_instance(runs="4.1")
    return make_upgrade(instance=instance, build=build), instance


def test_p9_an_upgrade_that_starts_does_not_stand_in_its_own_way() -> None:
    upgrade, instance = starting()

    assert decide_site(instance, TONIGHT).code is Code.ALREADY_RUNNING
    decision = decide_at_start(upgrade, instance, now=NOW)

    assert decision.upgrades
    assert decision.to
    assert decision.to.id == upgrade.build_id


def test_p9_asked_again_at_the_start_it_sees_what_changed_since_the_plan() -> None:
    upgrade, instance = starting()
    withdraw_build(upgrade.build, actor=COMMAND, now=NOW, reason="Loses mail")
    assert decide_at_start(upgrade, instance, now=NOW).code is Code.NO_BUILD

    newer = make_build("4.3", maturity=Maturity.RELEASE)
    newer_decision = decide_at_start(upgrade, instance, now=NOW)
    assert newer_decision.to == newer.facts()

    make_upgrade(instance=instance, build=newer, outcome=Outcome.NEEDS_A_PERSON)
    assert decide_at_start(upgrade, instance, now=NOW).code is Code.NEEDS_A_PERSON


def test_p9_of_two_that_wait_for_one_site_the_first_may_start_and_the_second_then_not() -> None:
    """Each other's waiting must not skip both."""
    upgrade, instance = starting()
    other = make_upgrade(instance=instance, build=upgrade.build)
    assert decide_at_start(upgrade, instance, now=NOW).upgrades

    upgrade.move(UpgradeState.STARTING, now=NOW)

    assert decide_at_start(other, instance, now=NOW).code is Code.ALREADY_RUNNING


def test_p2_an_upgrade_that_needs_a_person_holds_its_site_until_decided() -> None:
    upgrade, instance = starting()
    upgrade.end(Outcome.NEEDS_A_PERSON, EndCode.RUNNER_GONE, now=NOW, step="switch")
    assert decide_site(instance, TONIGHT).code is Code.NEEDS_A_PERSON

    Upgrade.objects.update(decided_at=NOW)

    assert decide_site(instance, TONIGHT).code is Code.PARKED

    let_retry(upgrade, actor=COMMAND, now=NOW, note="The disk was full.")

    assert decide_site(instance, TONIGHT).upgrades


def test_p1_a_missing_artefact_is_seen_in_the_folder() -> None:
    build = make_build("4.2", maturity=Maturity.RELEASE)
    instance = make_instance(runs="4.1")
    build.artifact_path.unlink()

    decision = decide_site(instance, TONIGHT)

    assert decision.code is Code.ARTIFACT_MISSING
    assert decision.to == replace(build.facts(), artifact_present=False)
