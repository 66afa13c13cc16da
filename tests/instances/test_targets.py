"""T1, T4, T7, T9 and the pins of R3, R9, T2: what a site should run."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from builds.choices import Smoke
from builds.maturity import BuildFacts, Maturity
from builds.models import Build
from builds.services import withdraw_build
from builds.versions import key_of
from instances.choices import Kind
from instances.exceptions import (
    DowngradeRefused,
    PinEndRefused,
    ReasonMissing,
    TargetRefused,
    TargetsRefused,
    UnknownSite,
)
from instances.models import Instance, Target, TargetChange
from instances.pins import PinEnd, pin_is_over
from instances.services import default_target, end_pins, last_seen_of, set_target, set_targets
from releasemgr.lib.actors import COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import ChangedMeanwhile, last_seen
from tests.factories import NOW, make_build, make_instance
from tests.together import run_together

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def stored(instance: Instance) -> Instance:
    return Instance.objects.get(pk=instance.pk)


def test_t1_new_live_sites_follow_release_and_new_test_sites_beta() -> None:
    assert default_target(Kind.LIVE) == Target(channel="release")
    assert default_target(Kind.TEST) == Target(channel="beta")


def test_t1_a_target_is_never_both_and_never_neither() -> None:
    for values in ({}, {"channel": "beta", "build": make_build()}):
        with pytest.raises(ValueError, match="a channel or a build"):
            Target(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("both", [True, False])
def test_t1_the_database_refuses_both_and_neither(both: bool) -> None:
    instance = make_instance(target_channel_id="beta")
    build = make_build()

    with pytest.raises(IntegrityError, match="instance_target_is_channel_or_build"), transaction.atomic():
        Instance.objects.filter(pk=instance.pk).update(
            target_channel="beta" if both else None, target_build=build if both else None
        )


def test_t1_a_change_is_recorded_with_who_when_from_to_why_and_from_where(support: User) -> None:
    instance = make_instance(runs="4.2", target_channel_id="release")
    build = make_build("4.3")

    change = set_target(
        instance, Target(build=build), actor=Actor(Origin.PAGE, support), now=NOW, reason=" Needs the fix "
    )

    assert TargetChange.objects.get() == change
    assert change
    assert (change.instance, change.by, change.at, change.origin) == (instance, support, NOW, Origin.PAGE)
    assert (change.before, change.after) == (Target(channel="release"), Target(build=build))
    assert change.reason == "Needs the fix"
    assert stored(instance).target == instance.target == Target(build=build)


def test_t1_the_same_target_again_is_not_a_change() -> None:
    instance = make_instance(target_channel_id="release")

    assert set_target(instance, Target(channel="release"), actor=COMMAND, now=NOW) is None

    assert not TargetChange.objects.exists()


def test_t1_what_someone_else_set_in_between_is_where_the_change_comes_from() -> None:
    """The record names the row's target, not that of the caller's old object."""
    stale = make_instance(target_channel_id="release")
    set_target(stored(stale), Target(channel="beta"), actor=COMMAND, now=NOW)

    change = set_target(stale, Target(channel="alpha"), actor=COMMAND, now=NOW)

    assert change
    assert change.before == Target(channel="beta")


def refused(instance: Instance, build: Build, words: str) -> None:
    before = stored(instance).target
    with pytest.raises(TargetRefused, match=words):
        set_target(instance, Target(build=build), actor=COMMAND, now=NOW)
    assert stored(instance).target == before
    assert not TargetChange.objects.exists()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"withdrawn_at": NOW}, "was withdrawn"),
        ({"quarantined_at": NOW}, "no longer matches"),
        ({"smoke": Smoke.FAILED}, "have not passed"),
        ({"smoke": Smoke.PENDING}, "have not passed"),
    ],
)
def test_r3_t2_a_new_pin_to_a_build_that_may_not_be_installed_is_refused(values: dict[str, Any], words: str) -> None:
    refused(make_instance(runs="4.2"), make_build("4.3", **values), words)


def test_r9_a_build_withdrawn_since_the_caller_read_it_is_refused() -> None:
    build = make_build("4.3")
    withdraw_build(build, actor=COMMAND, now=NOW, reason="Loses mail")

    refused(make_instance(runs="4.2"), build, "was withdrawn")


def test_r9_a_pin_to_a_build_that_is_withdrawn_later_stays() -> None:
    build = make_build("4.3")
    instance = make_instance(target_build=build)

    withdraw_build(build, actor=COMMAND, now=NOW, reason="Loses mail")

    assert stored(instance).target == Target(build=build)


def test_t4_a_pin_older_than_what_runs_is_refused() -> None:
    instance = make_instance("shop", runs="4.10")

    with pytest.raises(DowngradeRefused, match=r"shop runs 4\.10\. 4\.9 is older"):
        set_target(instance, Target(build=make_build("4.9")), actor=COMMAND, now=NOW)

    assert not TargetChange.objects.exists()


def test_t4_a_pin_to_what_runs_or_to_a_site_of_unknown_version_is_not_a_downgrade() -> None:
    build = make_build("4.9")

    assert set_target(make_instance(runs="4.9.0"), Target(build=build), actor=COMMAND, now=NOW, reason="A fix")
    assert set_target(make_instance(runs=None), Target(build=build), actor=COMMAND, now=NOW, reason="A fix")


def test_t5_following_a_channel_whose_build_is_older_is_allowed() -> None:
    """It moves no site: the plan makes it wait."""
    make_build("4.1", maturity=Maturity.STABLE)

    assert set_target(make_instance(runs="4.2"), Target(channel="stable"), actor=COMMAND, now=NOW)


def test_t7_a_change_over_one_that_the_caller_has_not_seen_is_refused() -> None:
    instance = make_instance(target_channel_id="release")
    first = set_target(instance, Target(channel="beta"), actor=COMMAND, now=NOW, seen=0)

    with pytest.raises(ChangedMeanwhile, match="was changed by command line meanwhile"):
        set_target(instance, Target(channel="alpha"), actor=COMMAND, now=NOW, seen=0)

    assert TargetChange.objects.get() == first
    assert stored(instance).target == Target(channel="beta")
    assert set_target(instance, Target(channel="alpha"), actor=COMMAND, now=NOW, seen=last_seen(instance))


def test_every_change_of_a_target_is_in_the_history() -> None:
    instance = make_instance(runs="4.2", target_channel_id="release")
    pin(instance, make_build("4.3"), ends=PinEnd.ON_DATE, until=NOW + DAY)

    change = Change.objects.get()
    assert (change.kind, change.subject_type, change.subject_id) == ("target.changed", "instance", str(instance.pk))
    assert change.before == {"channel": "release"}
    assert change.after == {
        "version": "4.3", "ends": "on_date", "until": "2026-11-24T12:00:00Z", "then": "release",
    }  # fmt: skip
    assert (change.origin, change.reason) == ("command", "Needs the fix")


def pin(instance: Instance, build: Build, *, downgrade: bool = False, **terms: Any) -> TargetChange | None:
    target = Target(build=build, **terms)
    return set_target(instance, target, actor=COMMAND, now=NOW, reason="Needs the fix", downgrade=downgrade)


def test_t2_a_pin_has_an_owner_and_a_reason(support: User) -> None:
    instance, build, actor = make_instance(runs="4.2"), make_build("4.3"), Actor(Origin.PAGE, support)

    with pytest.raises(ReasonMissing, match="needs a reason"):
        set_target(instance, Target(build=build), actor=actor, now=NOW, reason=" ")
    set_target(instance, Target(build=build), actor=actor, now=NOW, reason=" A fix ")

    row = stored(instance)
    assert (row.pin_owner, row.pin_reason, row.pin_since, row.pin_end) == (support, "A fix", NOW, PinEnd.NEVER)
    assert instance.pin_owner == support
    set_target(instance, Target(channel="beta"), actor=actor, now=NOW)
    row = stored(instance)
    assert (row.pin_owner, row.pin_reason, row.pin_since, row.pin_ends) == (None, "", None, "")


@pytest.mark.parametrize(
    "terms",
    [
        {"pin_reason": ""},
        {"pin_ends": ""},
        {"pin_ends": "on_date"},
        {"pin_ends": "caught_up"},
        {"pin_until": NOW},
        {"pin_then": "beta"},
        {"target_build": None, "target_channel": "beta"},
    ],
)
def test_t2_the_database_refuses_a_pin_without_its_terms_and_terms_without_a_pin(terms: dict[str, Any]) -> None:
    instance = make_instance(target_build=make_build())

    with pytest.raises(IntegrityError, match="instance_target_pin_has_its_terms"), transaction.atomic():
        Instance.objects.filter(pk=instance.pk).update(**terms)


@pytest.mark.parametrize(
    "values",
    [
        {"channel": "beta", "ends": PinEnd.CAUGHT_UP},
        {"channel": "beta", "then": "beta"},
        {"channel": "beta", "until": NOW},
    ],
)
def test_t2_only_a_pin_ends(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"pin|never ends"):
        Target(**values)


def test_t2_what_is_followed_after_a_pin_is_what_was_followed_before_unless_said_otherwise() -> None:
    first, second = make_build("4.3"), make_build("4.4")
    instance = make_instance(runs="4.2", target_channel_id="stable")

    pin(instance, first, ends=PinEnd.CAUGHT_UP)
    assert stored(instance).target == Target(build=first, ends=PinEnd.CAUGHT_UP, then="stable")
    pin(instance, second, ends=PinEnd.ON_DATE, until=NOW + DAY)
    assert stored(instance).target.then == "stable"
    pin(instance, second, ends=PinEnd.ON_DATE, until=NOW + DAY, then="beta")
    assert stored(instance).target.then == "beta"


def test_t2_other_terms_of_the_same_pin_are_a_change_and_the_same_terms_are_none() -> None:
    build = make_build("4.3")
    instance = make_instance(runs="4.2", target_build=build, pin_since=NOW - DAY)

    change = pin(instance, build, ends=PinEnd.ON_DATE, until=NOW + DAY)

    assert change
    assert (change.before, change.after) == (Target(build=build), stored(instance).target)
    assert stored(instance).pin_since == NOW - DAY
    assert pin(instance, build, ends=PinEnd.ON_DATE, until=NOW + DAY) is None


@pytest.mark.parametrize(("head", "words"), [("4.3", "is at 4.3 already"), ("4.4", "is at 4.4 already")])
def test_t2_a_pin_that_its_channel_has_passed_cannot_end_by_catching_up(head: str, words: str) -> None:
    build = make_build("4.3", maturity=Maturity.RELEASE)
    if head != "4.3":
        make_build(head, maturity=Maturity.RELEASE)

    with pytest.raises(PinEndRefused, match=words):
        pin(make_instance(runs="4.2", target_channel_id="release"), build, ends=PinEnd.CAUGHT_UP)


def test_t2_a_pin_that_is_a_downgrade_cannot_end_by_catching_up_nor_any_on_a_date_that_is_over() -> None:
    build, instance = make_build("4.3"), make_instance(runs="4.4")

    with pytest.raises(PinEndRefused, match=r"4\.3 is older than what"):
        pin(instance, build, downgrade=True, ends=PinEnd.CAUGHT_UP)
    with pytest.raises(PinEndRefused, match="is over"):
        pin(instance, build, downgrade=True, ends=PinEnd.ON_DATE, until=NOW)
    assert not TargetChange.objects.exists()


def test_t4_a_downgrade_with_consent_holds_for_this_pair_of_versions_only() -> None:
    build, instance = make_build("4.3"), make_instance(runs="4.4")

    with pytest.raises(ReasonMissing):
        set_target(instance, Target(build=build), actor=COMMAND, now=NOW, downgrade=True)
    pin(instance, build, downgrade=True)

    row = stored(instance)
    assert (row.downgrade_from_key, row.may_downgrade) == (key_of("4.4"), True)
    assert Change.objects.get().after["downgrade_from"] == "4.4"
    row.report("4.5", now=NOW)
    assert not stored(instance).may_downgrade
    pin(instance, make_build("4.5.1"))
    assert stored(instance).downgrade_from_key is None


def test_t4_consent_may_be_given_to_a_pin_that_is_there_and_stays_when_its_terms_change() -> None:
    build = make_build("4.3")
    instance = make_instance(runs="4.4", target_build=build)

    assert pin(instance, build) is None
    assert pin(instance, build, downgrade=True)
    assert pin(instance, build, downgrade=True) is None
    assert pin(instance, build, ends=PinEnd.ON_DATE, until=NOW + DAY)
    assert stored(instance).may_downgrade


def test_t9_one_target_for_many_is_set_for_all_or_for_none() -> None:
    build = make_build("4.3")
    sites = [make_instance("a", runs="4.2"), make_instance("b", runs="4.4"), make_instance("c", runs="4.5")]

    with pytest.raises(TargetsRefused) as refused:
        set_targets(sites, Target(build=build), actor=COMMAND, now=NOW, reason="A fix")

    assert list(refused.value.refusals) == ["b", "c"]
    assert str(refused.value).splitlines()[0].startswith("b runs 4.4.")
    assert not TargetChange.objects.exists()
    assert not Change.objects.exists()

    changes = set_targets(sites, Target(build=build), actor=COMMAND, now=NOW, reason="A fix", downgrade=True)

    assert [(one.instance.slug, one.after) for one in changes] == [(slug, Target(build=build)) for slug in "abc"]
    assert [stored(site).may_downgrade for site in sites] == [False, True, True]
    assert Change.objects.count() == 3
    assert set_targets(sites, Target(build=build), actor=COMMAND, now=NOW, reason="A fix") == []


def test_t7_t9_one_change_that_was_not_seen_refuses_all() -> None:
    sites = [make_instance(), make_instance(), make_instance()]
    seen = last_seen_of(sites)
    set_target(sites[1], Target(channel="alpha"), actor=COMMAND, now=NOW)

    with pytest.raises(ChangedMeanwhile):
        set_targets(sites, Target(channel="beta"), actor=COMMAND, now=NOW, seen=seen)
    assert len(set_targets(sites, Target(channel="beta"), actor=COMMAND, now=NOW, seen=last_seen_of(sites))) == 3


def test_t7_t9_a_change_that_became_visible_late_is_noticed_by_whose_it_is() -> None:
    """It was numbered before the newest one that the person saw, and its transaction ended after."""
    first, second = make_instance("first"), make_instance("second")
    set_target(first, Target(channel="alpha"), actor=COMMAND, now=NOW)
    set_target(second, Target(channel="alpha"), actor=COMMAND, now=NOW)
    seen = last_seen_of([first, second])
    assert seen[first.pk] < seen[second.pk]

    with pytest.raises(ChangedMeanwhile) as refused:
        set_targets([first, second], Target(channel="beta"), actor=COMMAND, now=NOW, seen=seen | {first.pk: 0})
    assert refused.value.theirs.subject_name == "first"


def test_a_site_that_was_deleted_meanwhile_is_named() -> None:
    site = make_instance("shop")
    Instance.objects.all().delete()

    with pytest.raises(UnknownSite, match="No site is named shop any more"):
        set_target(site, Target(channel="beta"), actor=COMMAND, now=NOW)


@pytest.mark.django_db(transaction=True)
def test_t7_of_two_who_save_at_the_same_moment_one_is_refused() -> None:
    site = make_instance()

    def save(channel: str) -> str:
        try:
            set_target(stored(site), Target(channel=channel), actor=COMMAND, now=NOW, seen=0)
        except ChangedMeanwhile:
            return ""
        return channel

    answers = run_together(lambda: save("alpha"), lambda: save("beta"))

    assert sorted(answers)[0] == ""
    assert stored(site).target == Target(channel=max(answers))
    assert (TargetChange.objects.count(), Change.objects.count()) == (1, 1)


def test_t9_the_queries_do_not_grow_with_the_sites() -> None:
    build = make_build("4.3")

    def queries(number: int) -> int:
        sites = [make_instance(runs="4.2") for _each in range(number)]
        target = Target(build=build, ends=PinEnd.CAUGHT_UP)
        with CaptureQueriesContext(connection) as found:
            assert len(set_targets(sites, target, actor=COMMAND, now=NOW, reason="A fix", seen={})) == number
        return len(found)

    assert queries(2) == queries(12)


@pytest.mark.parametrize(
    ("ends", "head", "at", "over"),
    [
        (PinEnd.NEVER, "9", NOW, False),
        (PinEnd.ON_DATE, None, NOW, True),
        (PinEnd.ON_DATE, "9", NOW - DAY, False),
        (PinEnd.CAUGHT_UP, "4.2", NOW, False),
        (PinEnd.CAUGHT_UP, "4.3", NOW, True),
        (PinEnd.CAUGHT_UP, "4.4", NOW, True),
        (PinEnd.CAUGHT_UP, None, NOW, False),
    ],
)
def test_t2_when_a_pin_is_over(ends: PinEnd, head: str | None, at: datetime, over: bool) -> None:
    found = BuildFacts(1, head, key_of(head) or "", Maturity.RELEASE, NOW, smoke_passed=True) if head else None
    heads = {channel: found if channel is Maturity.RELEASE else None for channel in Maturity}

    assert pin_is_over(ends, NOW, Maturity.RELEASE, key_of("4.3") or "", heads, at) is over


def test_t2_pins_that_are_over_end_by_themselves_and_that_is_recorded_as_automatic() -> None:
    pinned, newer = make_build("4.3"), make_build("4.5")
    dated, waiting, caught, ahead, kept = (make_instance(slug, runs="4.2") for slug in "abcde")
    pin(dated, pinned, ends=PinEnd.ON_DATE, until=NOW + DAY)
    pin(waiting, pinned, ends=PinEnd.ON_DATE, until=NOW + 2 * DAY)
    pin(caught, pinned, ends=PinEnd.CAUGHT_UP)
    pin(ahead, newer, ends=PinEnd.CAUGHT_UP)
    pin(kept, pinned)
    builds = [pinned, newer, make_build("4.4", maturity=Maturity.RELEASE)]
    facts = {build.pk: build.facts() for build in builds}

    changes = end_pins(facts, NOW + DAY)

    assert [(one.instance.slug, one.after, one.origin, one.reason) for one in changes] == [
        ("a", Target(channel="release"), Origin.AUTOMATIC, "The pin to 4.3 ended on its date."),
        ("c", Target(channel="release"), Origin.AUTOMATIC, "release has caught up with 4.3."),
    ]
    assert stored(dated).target == stored(caught).target == Target(channel="release")
    assert [stored(site).target.build for site in (waiting, ahead, kept)] == [pinned, newer, pinned]
    assert Change.objects.filter(origin=Origin.AUTOMATIC).count() == 2
    assert end_pins(facts, NOW + DAY) == []


def test_t2_ending_pins_costs_the_same_queries_for_any_number() -> None:
    build = make_build("4.3")

    def queries(number: int) -> int:
        for _each in range(number):
            pin(make_instance(runs="4.2"), build, ends=PinEnd.ON_DATE, until=NOW + DAY)
        with CaptureQueriesContext(connection) as found:
            assert len(end_pins({build.pk: build.facts()}, NOW + DAY)) == number
        return len(found)

    assert queries(1) == queries(8)


def test_t2_pins_that_end_soon_come_first() -> None:
    build = make_build("4.3")
    for slug, days in (("late", 6), ("soon", 2), ("later", 8)):
        pin(make_instance(slug, runs="4.2"), build, ends=PinEnd.ON_DATE, until=NOW + days * DAY)

    assert [site.slug for site in Instance.objects.pins_ending(NOW, NOW + 7 * DAY)] == ["soon", "late"]
