"""T1, T4 and the pins of R3, R9, T2: what a site should run."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from builds.choices import Smoke
from builds.maturity import Maturity
from builds.models import Build
from builds.services import withdraw_build
from instances.choices import Kind
from instances.exceptions import DowngradeRefused, TargetChanged, TargetRefused
from instances.models import Instance, Target, TargetChange
from instances.services import default_target, set_target
from releasemgr.lib.actors import COMMAND, Actor, Origin
from tests.factories import NOW, make_build, make_instance

pytestmark = pytest.mark.django_db


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

    assert set_target(make_instance(runs="4.9.0"), Target(build=build), actor=COMMAND, now=NOW)
    assert set_target(make_instance(runs=None), Target(build=build), actor=COMMAND, now=NOW)


def test_t5_following_a_channel_whose_build_is_older_is_allowed() -> None:
    """It moves no site: the plan makes it wait."""
    make_build("4.1", maturity=Maturity.STABLE)

    assert set_target(make_instance(runs="4.2"), Target(channel="stable"), actor=COMMAND, now=NOW)


def test_t7_a_change_over_one_that_the_caller_has_not_seen_is_refused() -> None:
    instance = make_instance(target_channel_id="release")
    first = set_target(instance, Target(channel="beta"), actor=COMMAND, now=NOW, seen=0)
    assert first

    with pytest.raises(TargetChanged, match="by someone else meanwhile"):
        set_target(instance, Target(channel="alpha"), actor=COMMAND, now=NOW, seen=0)

    assert TargetChange.objects.get() == first
    assert stored(instance).target == Target(channel="beta")
    assert set_target(instance, Target(channel="alpha"), actor=COMMAND, now=NOW, seen=first.pk)
