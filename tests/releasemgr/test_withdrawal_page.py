"""R9, T8: withdrawing a build does what its page showed, or nothing."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from builds.maturity import Maturity
from builds.models import Build
from builds.services import mark_stepping_stone
from instances.models import Instance
from releasemgr.lib.actors import COMMAND
from tests.factories import NOW, make_build, make_instance, make_upgrade
from upgrades.choices import StepState, UpgradeState
from upgrades.models import Step

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

PAGE = "/builds/4.2/withdraw/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def manager(client: Client, release_manager: User) -> Client:
    client.force_login(release_manager)
    return client


@pytest.fixture(autouse=True)
def build() -> Build:
    make_build("4.1", maturity=Maturity.STABLE)
    return make_build("4.2", maturity=Maturity.RELEASE, channel_since=NOW - timedelta(days=14))


def sent(page: Any, **more: str) -> dict[str, str]:
    """What the form on this page sends."""
    initial = page.context["form"].initial
    shown = {"seen": initial["seen"], "shown": json.dumps(initial["shown"]), "last_change": initial["last_change"]}
    return {**shown, "reason": "Loses dates.", "version": "4.2", **more}


def withdrawn() -> bool:
    return Build.objects.get(version="4.2").is_withdrawn


def test_the_page_shows_every_site_whose_plan_changes_and_what_is_under_way(manager: Client, build: Build) -> None:
    make_instance("follows", runs="4.1", target_channel_id="release")
    make_instance("pinned", runs="4.1", target_build=build)
    going = make_upgrade(build=build, instance=make_instance("going", runs="4.1"), state=UpgradeState.RUNNING)

    answer = manager.get(PAGE)

    assert [(row.slug, row.before, row.to) for row in answer.context["rows"]] == [
        ("follows", "4.2", "4.1"), ("going", "4.2", "4.1"), ("pinned", "4.2", "4.2"),
    ]  # fmt: skip
    html = answer.content.decode()
    assert f'<a href="/upgrades/{going.pk}/">upgrade {going.pk} of going</a>' in html
    assert "Stopped before their switch, the site stays as it is:" in html
    assert "until their owners choose another target" in html


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"reason": ""}, "Withdrawing needs a reason."),
        ({"version": "4.1"}, "That is not 4.2."),
        ({"version": ""}, "Type the version."),
    ],
)
def test_it_asks_for_a_reason_and_the_version(manager: Client, more: dict[str, str], error: str) -> None:
    answer = manager.post(PAGE, sent(manager.get(PAGE), **more))

    assert answer.status_code == 422
    assert error in answer.content.decode()
    assert not withdrawn()


def test_withdrawing_records_who_when_and_why_and_happens_once(manager: Client, release_manager: User) -> None:
    form = sent(manager.get(PAGE))
    manager.post(PAGE, form)

    build = Build.objects.get(version="4.2")
    assert (build.withdrawn_at, build.withdrawn_by, build.withdrawn_reason) == (NOW, release_manager, "Loses dates.")
    again = manager.post(PAGE, form | {"reason": "Twice."}, follow=True)
    assert "4.2 is withdrawn already." in again.content.decode()
    assert Build.objects.get(version="4.2").withdrawn_reason == "Loses dates."


def test_r9_it_says_which_upgrades_are_stopped_and_which_finish_before_and_after(manager: Client, build: Build) -> None:
    early, late, back = (
        make_upgrade(build=build, instance=make_instance(name, runs="4.1"), state=state)
        for name, state in [
            ("early", UpgradeState.RUNNING), ("late", UpgradeState.RUNNING), ("back", UpgradeState.ROLLING_BACK),
        ]
    )  # fmt: skip
    for upgrade, state in [(early, StepState.WAITING), (late, StepState.RUNNING), (back, StepState.SUCCEEDED)]:
        Step.objects.create(
            upgrade=upgrade, position=6, name="switch", title="Switch", phase="change", state=state
        )  # fmt: skip

    page = manager.get(PAGE)
    answer = manager.post(PAGE, sent(page), follow=True)

    under_way = page.context["under_way"]
    assert (under_way.stopped, under_way.finishing, under_way.going_back) == ([early], [late], [back])
    said = "1 upgrade to it is stopped before its switch. 1 is past it and finishes."
    assert said in answer.content.decode()


def test_p1_a_form_without_a_reason_comes_back_with_what_differs_since(manager: Client) -> None:
    form = sent(manager.get(PAGE), reason="", version="4.2")
    make_instance("arrived", runs="4.1", target_channel_id="release")

    answer = manager.post(PAGE, form)

    assert answer.status_code == 422
    assert {row.slug: row.mark for row in answer.context["rows"]} == {"arrived": "new"}
    assert answer.context["form"]["version"].value() == "4.2"


def test_p1_a_plan_that_changed_withdraws_nothing_and_marks_what_differs(manager: Client) -> None:
    make_instance("goes", runs="4.1", target_channel_id="release")
    form = sent(manager.get(PAGE))
    make_instance("arrived", runs="4.1", target_channel_id="release")
    Instance.objects.filter(slug="goes").update(target_channel_id="stable")

    answer = manager.post(PAGE, form)

    assert answer.status_code == 409
    assert not withdrawn()
    assert {row.slug: row.mark for row in answer.context["rows"]} == {"arrived": "new"}
    assert [row.slug for row in answer.context["gone"]] == ["goes"]
    assert answer.context["form"].initial["reason"] == "Loses dates."
    manager.post(PAGE, sent(answer))
    assert withdrawn()


def test_t7_who_did_not_see_the_last_change_of_the_build_withdraws_nothing(manager: Client, build: Build) -> None:
    form = sent(manager.get(PAGE))
    mark_stepping_stone(build, actor=COMMAND, now=NOW, reason="Moves data.")

    answer = manager.post(PAGE, form | {"replacement": "none"})

    assert answer.status_code == 409
    assert "command line changed 4.2 meanwhile" in answer.content.decode()
    assert "Moves data." in answer.content.decode()
    assert not withdrawn()


class TestAStone:
    """T8: a stepping stone's replacement is asked for."""

    @pytest.fixture(autouse=True)
    def stone(self) -> None:
        Build.objects.filter(version="4.2").update(stepping_stone=True)
        make_build("4.3", maturity=Maturity.RELEASE)
        make_instance("goes", runs="4.0", target_channel_id="release")

    def test_it_is_refused_until_somebody_says_what_takes_its_place(self, manager: Client) -> None:
        answer = manager.post(PAGE, sent(manager.get(PAGE), replacement=""))

        assert answer.status_code == 422
        assert "Say which build takes its place, or that none does." in answer.content.decode()
        assert not withdrawn()

    def test_the_effect_follows_the_choice(self, manager: Client) -> None:
        answer = manager.get(f"{PAGE}?replacement=4.1", headers=HTMX)

        html = answer.content.decode()
        assert html.strip().startswith('<div id="effect"')
        assert "goes" in html
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', html))
        manager.post(PAGE, {**hidden, "reason": "Loses dates.", "version": "4.2", "replacement": "4.1"})
        assert withdrawn()
        assert [build.version for build in Build.objects.stepping_stones()] == ["4.1"]

    def test_none_may_take_its_place(self, manager: Client) -> None:
        manager.post(PAGE, sent(manager.get(PAGE), replacement="none"))

        assert withdrawn()
        assert not Build.objects.stepping_stones()

    def test_without_script_the_choice_is_previewed_by_a_button(self, manager: Client) -> None:
        page = manager.post(PAGE, sent(manager.get(PAGE), replacement="4.1", preview="1"))

        assert (page.status_code, withdrawn()) == (200, False)
        assert page.context["form"].initial["replacement"] == "4.1"
        manager.post(PAGE, sent(page, replacement="4.1"))
        assert withdrawn()

    @pytest.mark.parametrize("choice", ["4.2", "9.9", "\x00"])
    def test_what_cannot_take_its_place_is_refused(self, manager: Client, choice: str) -> None:
        answer = manager.post(PAGE, sent(manager.get(PAGE), replacement=choice))

        assert answer.status_code == 422
        assert not withdrawn()
