"""Promotion, demotion and withdrawal: the page is the confirmation."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from builds.maturity import Maturity
from builds.models import Build, Promotion
from builds.services import mark_stepping_stone
from instances.choices import Kind
from instances.models import Instance, Target
from instances.services import set_target
from releasemgr.lib.actors import COMMAND
from tests.factories import NOW, make_build, make_host, make_instance
from upgrades.models import Upgrade

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

PAGE = "/builds/4.2/promote/stable/"


@pytest.fixture
def manager(client: Client, release_manager: User) -> Client:
    client.force_login(release_manager)
    return client


@pytest.fixture(autouse=True)
def build() -> Build:
    """Has been release for 14 days; stable is 4.1."""
    make_build("4.1", maturity=Maturity.STABLE)
    return make_build("4.2", maturity=Maturity.RELEASE, channel_since=NOW - timedelta(days=14))


@pytest.fixture
def fleet() -> None:
    """Two upgrade, one waits, one is there already, two are not concerned; one has an upgrade tonight anyway."""
    make_instance("goes", runs="4.1", target_channel_id="stable")
    make_instance("goes-further", runs="4.0", target_channel_id="stable", kind=Kind.TEST)
    make_instance("waits", runs="4.1", target_channel_id="stable", host=make_host(enabled=False))
    make_instance("there", runs="4.2", target_channel_id="stable")
    make_instance("follows-release", runs="4.1", target_channel_id="release")
    make_instance("pinned", runs="4.1", target_build=Build.objects.get(version="4.1"))


def sent(page: Any, **more: str) -> dict[str, str]:
    """What the form on this page sends."""
    initial = page.context["form"].initial
    shown = {"seen": initial["seen"], "shown": json.dumps(initial["shown"]), "last_change": initial["last_change"]}
    return {**shown, "reason": "", **more}


def maturity() -> Maturity:
    return Build.objects.get(version="4.2").stage


@pytest.mark.usefixtures("fleet")
def test_the_page_shows_the_numbers_and_every_site_that_changes(manager: Client) -> None:
    answer = manager.get(PAGE)

    context = answer.context
    assert [(row.slug, row.reported, row.to, row.note) for row in context["upgrading"]] == [
        ("goes-further", "4.0", "4.2", "Was to get 4.1 tonight"), ("goes", "4.1", "4.2", ""),
    ]  # fmt: skip
    assert [(row.slug, str(row.look.label)) for row in context["staying"]] == [
        ("there", "On target"), ("waits", "Host switched off"),
    ]  # fmt: skip
    preview = context["preview"]
    assert (preview.upgrades_before, preview.upgrades_after, preview.untouched) == (2, 3, 2)
    html = answer.content.decode()
    assert "Promote to stable, upgrade 2 sites tonight" in html
    assert "Replaces 4.1 as stable. Nothing is upgraded now: tonight’s run does it, from 01:00 UTC." in html
    assert "6 of 6 passed" in html


@pytest.mark.usefixtures("fleet")
def test_promoting_moves_the_build_and_records_who_and_why_and_starts_nothing(
    manager: Client, release_manager: User
) -> None:
    """R5."""
    answer = manager.post(PAGE, sent(manager.get(PAGE), reason="Quiet fortnight."), follow=True)

    promotion = Promotion.objects.get()
    assert (promotion.from_maturity, promotion.to_maturity) == (Maturity.RELEASE, Maturity.STABLE)
    assert (promotion.by, promotion.at, promotion.reason) == (release_manager, NOW, "Quiet fortnight.")
    assert maturity() is Maturity.STABLE
    assert not Upgrade.objects.exists()
    assert answer.redirect_chain == [("/builds/4.2/", 302)]
    assert "Tonight 2 sites upgrade because of it." in answer.content.decode()


@pytest.mark.usefixtures("fleet")
def test_a_plan_that_changed_promotes_nothing_and_marks_what_differs(manager: Client) -> None:
    """P1."""
    form = sent(manager.get(PAGE))
    pinned = Instance.objects.get(slug="goes")
    set_target(pinned, Target(build=Build.objects.get(version="4.1")), actor=COMMAND, now=NOW, reason="A fix")
    make_instance("arrived", runs="4.1", target_channel_id="stable")
    Instance.objects.filter(slug="goes-further").update(reported_version="3.9", reported_key="3.9")

    answer = manager.post(PAGE, form)

    assert answer.status_code == 409
    assert maturity() is Maturity.RELEASE
    assert not Promotion.objects.exists()
    rows = [*answer.context["upgrading"], *answer.context["staying"]]
    marks = {row.slug: row.mark for row in rows}
    assert marks == {"arrived": "new", "goes-further": "changed", "waits": "", "there": ""}
    assert [row.slug for row in answer.context["gone"]] == ["goes"]
    assert "The plan changed since it was shown. Nothing was promoted." in answer.content.decode()


@pytest.mark.usefixtures("fleet")
def test_the_new_preview_can_be_confirmed(manager: Client) -> None:
    form = sent(manager.get(PAGE), reason="Kept.")
    make_instance("arrived", runs="4.1", target_channel_id="stable")
    again = manager.post(PAGE, form)
    assert again.context["form"].initial["reason"] == "Kept."

    manager.post(PAGE, sent(again))

    assert maturity() is Maturity.STABLE


@pytest.mark.parametrize("shown", ["", "null", "[1]", "{", '{"x": {}}'])
@pytest.mark.usefixtures("fleet")
def test_a_mangled_form_promotes_nothing(manager: Client, shown: str) -> None:
    answer = manager.post(PAGE, {"seen": "0", "shown": shown, "reason": ""})

    assert answer.status_code in (409, 422)
    assert maturity() is Maturity.RELEASE


def test_the_page_says_what_is_replaced_and_what_is_not(manager: Client) -> None:
    """R4: the newer build stays."""
    first = "No build is stable yet. Nothing is upgraded now: tonight’s run does it, from 01:00 UTC."
    newer = "4.3 stays stable, because it is newer. This changes no site."
    make_instance(runs="4.0", target_channel_id="stable")

    make_build("4.3", maturity=Maturity.STABLE)
    html = manager.get(PAGE).content.decode()
    assert newer in html
    assert "Promote to stable, upgrade no site tonight" in html

    Build.objects.exclude(version="4.2").update(maturity=Maturity.CANDIDATE)
    assert first in manager.get(PAGE).content.decode()


def test_what_changes_elsewhere_does_not_stand_in_the_way(manager: Client) -> None:
    form = sent(manager.get(PAGE))
    make_instance(runs="4.1", target_channel_id="release")

    manager.post(PAGE, form)

    assert maturity() is Maturity.STABLE


def test_gates_not_met_have_no_button_only_reasons(manager: Client) -> None:
    """R6, R11."""
    Build.objects.filter(version="4.2").update(channel_since=NOW - timedelta(days=13))

    answer = manager.get(PAGE)

    html = answer.content.decode()
    assert "Not possible yet: 1 of 6 gates is not met." in html
    assert "Day 14 of 14, ends 24 Nov 12:00" in html
    assert "btn-go" not in html
    assert 'class="confirm-bar" method="post"' not in html


def test_a_post_through_a_failing_gate_is_refused(manager: Client) -> None:
    """R6."""
    form = sent(manager.get(PAGE))
    Build.objects.filter(version="4.2").update(channel_since=NOW - timedelta(days=13))

    answer = manager.post(PAGE, form)

    assert answer.status_code == 409
    assert "4.2 cannot enter stable." in answer.content.decode()
    assert maturity() is Maturity.RELEASE
    assert not Promotion.objects.exists()


def test_promoting_to_where_it_is_does_nothing(manager: Client) -> None:
    """R5: an act done twice names the first."""
    form = sent(manager.get(PAGE))
    manager.post(PAGE, form)

    answer = manager.post(PAGE, form, follow=True)

    assert "4.2 is in stable already." in answer.content.decode()
    assert Promotion.objects.count() == 1


def test_going_back_needs_a_reason_and_moves_no_site(manager: Client) -> None:
    """R5."""
    make_instance("there", runs="4.2", target_channel_id="release")
    address = "/builds/4.2/promote/candidate/"
    page = manager.get(address)
    assert "Going back moves no site." in page.content.decode()

    refused = manager.post(address, sent(page))

    assert refused.status_code == 422
    assert "Going back needs a reason." in refused.content.decode()
    assert maturity() is Maturity.RELEASE

    manager.post(address, sent(page, reason="Loses dates."))

    assert maturity() is Maturity.CANDIDATE
    assert Promotion.objects.get().reason == "Loses dates."
    assert Instance.objects.get().reported_version == "4.2"
    assert not Upgrade.objects.exists()


def test_p1_t7_a_form_without_a_reason_comes_back_with_what_differs_since(manager: Client) -> None:
    make_instance("there", runs="4.1", target_channel_id="release")
    address = "/builds/4.2/promote/candidate/"
    form = sent(manager.get(address))
    make_instance("arrived", runs="4.1", target_channel_id="release")
    Instance.objects.filter(slug="there").update(target_channel_id="alpha")
    mark_stepping_stone(Build.objects.get(version="4.2"), actor=COMMAND, now=NOW, reason="Its migration")

    refused = manager.post(address, form)
    unseen = manager.post(address, sent(refused, reason="Loses dates."))

    assert refused.status_code == 422
    assert [(row.slug, row.mark) for row in refused.context["staying"]][:1] == [("arrived", "new")]
    assert "with what differs marked" in refused.content.decode()
    assert unseen.status_code == 409
    assert "Its migration" in unseen.content.decode()
    assert maturity() is Maturity.RELEASE


def test_it_shows_what_every_build_since_the_one_that_is_there_brings_newest_first(manager: Client) -> None:
    for number in range(1, 5):
        make_build(f"4.1.{number}", changelog=f"- Change {number}.")

    answer = manager.get(PAGE)

    html = answer.content.decode()
    versions = [note.build.version for note in answer.context["changes"].notes]
    assert versions == ["4.2", "4.1.4", "4.1.3", "4.1.2", "4.1.1"]
    assert html.count('<details class="note-of" open>') == 3
    assert "Change 1." in html
    assert "/builds/changes/?from=4.1&amp;to=4.2" in html


def test_it_shows_what_the_build_itself_brings_where_the_channel_has_none_or_a_newer_one(manager: Client) -> None:
    make_build("4.3", maturity=Maturity.STABLE)

    answer = manager.get(PAGE)

    assert [note.build.version for note in answer.context["changes"].notes] == ["4.2"]
