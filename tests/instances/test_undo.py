"""An act on many sites is taken back in one transaction, where nobody has changed them again (T9)."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from instances.exceptions import NothingToUndo, Overtaken
from instances.models import Hold, Instance, Target
from instances.pins import PinEnd
from instances.services import (
    Undo,
    change_tags,
    end_holds,
    open_hold,
    open_holds,
    set_target,
    set_targets,
    take_back,
    undo_between,
    undo_of,
)
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.history.models import Change
from tests.factories import NOW, make_build, make_instance, make_user

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def actor() -> Actor:
    return Actor(Origin.PAGE, make_user(role="Support"))


@pytest.fixture
def sites() -> list[Instance]:
    return [make_instance(slug, runs="4.1") for slug in ("a", "b", "c")]


def just_done(sites: list[Instance], kind: str, actor: Actor) -> Undo:
    span = undo_of(sites, kind, actor=actor, now=NOW)
    assert span
    return undo_between(*span, now=LATER)


def test_t9_each_site_gets_its_own_target_back_with_owner_reason_and_end(sites: list[Instance], actor: Actor) -> None:
    pin, owner = make_build("4.2"), User.objects.create(username="ines")
    until = NOW + timedelta(days=9)
    set_target(
        sites[0], Target(build=pin, ends=PinEnd.ON_DATE, until=until), actor=Actor(Origin.PAGE, owner),
        now=NOW - timedelta(days=2), reason="One fix.",
    )  # fmt: skip
    set_targets(sites, Target("beta"), actor=actor, now=NOW)

    undo = just_done(sites, "target.changed", actor)
    take_back(undo, undo.sites, actor=actor, now=LATER, reason="Wrong list.")

    [a, b, c] = Instance.objects.order_by("slug")
    assert (a.target, a.pin_owner, a.pin_reason) == (
        Target(build=pin, ends=PinEnd.ON_DATE, until=until, then="release"), owner, "One fix.",
    )  # fmt: skip
    assert (b.target, c.target) == (Target("release"), Target("release"))
    assert Change.objects.filter(kind="target.changed", at=LATER, reason="Wrong list.").count() == 3


def test_t9_a_site_that_was_changed_again_keeps_that_and_is_named(sites: list[Instance], actor: Actor) -> None:
    set_targets(sites, Target("beta"), actor=actor, now=NOW)
    set_target(sites[1], Target("stable"), actor=actor, now=LATER)

    undo = just_done(sites, "target.changed", actor)

    assert [site.slug for site in undo.sites] == ["a", "c"]
    assert undo.overtaken["b"].endswith("changed it again at 13:00 on 23 Nov.")
    with pytest.raises(Overtaken, match=r"Changed again meanwhile: b\."):
        take_back(undo, sites, actor=actor, now=LATER)
    assert Instance.objects.filter(target_channel="beta").count() == 2


def test_a_hold_of_a_site_does_not_keep_its_target_from_going_back(sites: list[Instance], actor: Actor) -> None:
    set_targets(sites, Target("beta"), actor=actor, now=NOW)
    open_hold(sites[1], ends_at=NOW + timedelta(days=3), reason="Test.", actor=actor, now=LATER)

    assert len(just_done(sites, "target.changed", actor).sites) == 3


def test_t9_holds_are_ended_and_nothing_else(sites: list[Instance], actor: Actor) -> None:
    kept = open_hold(sites[0], ends_at=NOW + timedelta(days=9), reason="Old.", actor=actor, now=NOW - timedelta(days=1))
    open_holds(sites, ends_at=NOW + timedelta(days=3), reason="Test.", actor=actor, now=NOW)

    undo = just_done(sites, "hold.opened", actor)
    take_back(undo, undo.sites, actor=actor, now=LATER)

    assert list(Hold.objects.not_over(LATER)) == [kept]


def test_t9_holds_that_were_ended_run_again_to_their_old_end(sites: list[Instance], actor: Actor) -> None:
    early, late = NOW + timedelta(days=1), NOW + timedelta(days=5)
    open_holds(sites[:2], ends_at=late, reason="Test.", actor=actor, now=NOW - timedelta(days=1))
    open_hold(sites[0], ends_at=early, reason="Other.", actor=actor, now=NOW - timedelta(days=1))
    end_holds(sites, actor=actor, now=NOW)

    undo = just_done(sites, "hold.ended", actor)
    take_back(undo, undo.sites, actor=actor, now=LATER)

    again = Hold.objects.not_over(LATER).values_list("instance__slug", "ends_at", "reason")
    assert sorted(again) == [("a", early, "Other."), ("a", late, "Test."), ("b", late, "Test.")]


def test_a_hold_that_is_over_by_itself_is_left(sites: list[Instance], actor: Actor) -> None:
    open_holds(sites, ends_at=NOW + timedelta(minutes=30), reason="Test.", actor=actor, now=NOW)

    undo = just_done(sites, "hold.opened", actor)

    assert undo.sites == []
    assert undo.overtaken["a"] == "Its hold is over by itself."


def test_t9_tags_go_back_to_what_each_site_had(sites: list[Instance], actor: Actor) -> None:
    change_tags(sites[:1], add=["canary"], actor=actor, now=NOW - timedelta(days=1))
    change_tags(sites, add=["canary", "care"], actor=actor, now=NOW)

    undo = just_done(sites, "tags.changed", actor)
    take_back(undo, undo.sites, actor=actor, now=LATER)

    assert [sorted(tag.name for tag in site.tags.all()) for site in Instance.objects.order_by("slug")] == [
        ["canary"], [], [],
    ]  # fmt: skip


def test_what_is_no_act_on_sites_cannot_be_taken_back(sites: list[Instance], actor: Actor) -> None:
    set_targets(sites, Target("beta"), actor=actor, now=NOW)
    first = Change.objects.order_by("pk").values_list("pk", flat=True)[0]

    for span in ((first, first - 1), (first + 99, first + 100)):
        with pytest.raises(NothingToUndo):
            undo_between(*span, now=LATER)


def test_t9_an_act_is_taken_back_apart_from_another_of_the_same_moment(sites: list[Instance], actor: Actor) -> None:
    set_targets(sites[:2], Target("beta"), actor=actor, now=NOW)
    first = Change.objects.order_by("pk").values_list("pk", flat=True)
    span = (first[0], first[1])
    set_targets(sites[2:], Target("beta"), actor=actor, now=NOW)

    assert [site.slug for site in undo_between(*span, now=LATER).sites] == ["a", "b"]
