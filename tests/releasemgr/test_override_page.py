"""R8: promoting through failing gates from the page does exactly what it showed, or nothing."""

import html as html_words
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from builds.choices import Smoke
from builds.maturity import Maturity, Severity
from builds.models import Build, GateOverride, Problem, Promotion
from builds.services import report_smoke, set_channel_policy
from releasemgr.lib.actors import COMMAND
from tests.factories import NOW, make_build, make_instance, make_problem
from upgrades.services.planning import plan_night

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

PAGE = "/builds/4.2/promote/release/"


@pytest.fixture
def manager(client: Client, release_manager: User) -> Client:
    client.force_login(release_manager)
    return client


@pytest.fixture(autouse=True)
def build() -> Build:
    """In beta with a blocker of its own; release is 4.1."""
    make_build("4.1", maturity=Maturity.STABLE)
    build = make_build("4.2", maturity=Maturity.BETA, channel_since=NOW - timedelta(days=1))
    make_problem(build, severity=Severity.BLOCKER, title="Loses mail")
    make_instance("goes", runs="4.1", target_channel_id="release")
    return build


def sent(page: Any, **more: str) -> dict[str, str]:
    """What the form of the folded section sends."""
    section = page.content.decode().partition('id="override"')[2]
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', section)
    values = {name: html_words.unescape(value) for name, value in hidden}
    return {**values, "reason": "They cannot wait.", "version": "4.2", **more}


def stage() -> Maturity:
    return Build.objects.get(version="4.2").stage


def test_each_failing_gate_leads_to_what_clears_it(manager: Client, build: Build) -> None:
    """R11."""
    problem = Problem.objects.get()
    minor = make_problem(build, title="Typing error")

    [line] = [line for line in manager.get(PAGE).context["gates"] if line.actions]
    assert [(action.label, action.url) for action in line.actions] == [
        (f"Open P-{problem.pk}", f"/problems/{problem.pk}/"),
    ]  # fmt: skip
    lines = [line for line in manager.get("/builds/4.2/promote/stable/").context["gates"] if line.actions]
    assert [(action.label, action.url) for line in lines for action in line.actions] == [
        (f"Open P-{problem.pk}", f"/problems/{problem.pk}/"),
        (f"Acknowledge P-{minor.pk}…", f"/problems/{minor.pk}/acknowledge/4.2/?to=stable"),
    ]  # fmt: skip


def test_an_override_promotes_is_kept_for_ever_and_does_what_its_preview_showed(
    manager: Client, release_manager: User
) -> None:
    """P1: who overrides a problem accepts it, so the sites go."""
    page = manager.get(PAGE)
    assert [row.slug for row in page.context["upgrading"]] == ["goes"]

    answer = manager.post(PAGE, sent(page), follow=True)

    assert stage() is Maturity.RELEASE
    [kept] = GateOverride.objects.all()
    assert (kept.reason, kept.promotion.by, kept.problem) == (
        "They cannot wait.", release_manager, Problem.objects.get(),
    )  # fmt: skip
    html = answer.content.decode()
    assert "Promoted through a failing gate" in html
    assert "Tonight 1 site upgrades because of it." in html
    assert [str(one.code) for one in plan_night(NOW)[1]] == ["upgrade"]


@pytest.mark.parametrize(
    ("more", "error"),
    [({"reason": " "}, "needs a reason."), ({"version": "4.1"}, "That is not 4.2."), ({"version": ""}, "Type the")],
)
def test_it_asks_for_a_reason_and_the_version(manager: Client, more: dict[str, str], error: str) -> None:
    answer = manager.post(PAGE, sent(manager.get(PAGE), **more))

    assert answer.status_code == 422
    assert error in answer.content.decode()
    assert 'id="override"' in answer.content.decode()
    assert answer.context["override_open"]
    assert stage() is Maturity.BETA


def test_a_problem_that_came_meanwhile_refuses_and_is_marked(manager: Client, build: Build) -> None:
    form = sent(manager.get(PAGE))
    make_problem(build, severity=Severity.BLOCKER, title="Loses dates")

    answer = manager.post(PAGE, form)

    assert answer.status_code == 409
    assert [line.new for line in answer.context["gates"] if not line.gate.passed] == [True]
    assert "Nothing was done." in answer.content.decode()
    assert "They cannot wait." in answer.content.decode()
    assert stage() is Maturity.BETA
    assert not GateOverride.objects.exists()
    manager.post(PAGE, sent(answer))
    assert stage() is Maturity.RELEASE
    assert GateOverride.objects.count() == 2


def test_a_gate_that_came_meanwhile_refuses_and_only_it_is_marked(manager: Client) -> None:
    form = sent(manager.get(PAGE))
    set_channel_policy(Maturity.RELEASE, soak=timedelta(days=3), actor=COMMAND, now=NOW)

    answer = manager.post(PAGE, form)

    assert answer.status_code == 409
    failing = {line.title: line.new for line in answer.context["gates"] if not line.gate.passed}
    assert failing == {"3 days in beta": True, "No open blocker": False}
    assert not Promotion.objects.exists()


def test_a_plan_that_changed_meanwhile_refuses_and_marks_the_site(manager: Client) -> None:
    """P1."""
    form = sent(manager.get(PAGE))
    make_instance("arrived", runs="4.1", target_channel_id="release")

    answer = manager.post(PAGE, form)

    assert answer.status_code == 409
    assert {row.slug: row.mark for row in answer.context["upgrading"]} == {"goes": "", "arrived": "new"}
    assert stage() is Maturity.BETA


def test_t7_who_did_not_see_the_last_change_of_the_build_is_told_what_it_was(manager: Client, build: Build) -> None:
    form = sent(manager.get(PAGE))
    report_smoke(build, Smoke.PASSED, now=NOW)

    answer = manager.post(PAGE, form)

    assert answer.status_code == 409
    assert "command line changed 4.2 meanwhile: smoke tests reported" in answer.content.decode()
    assert not Promotion.objects.exists()


def test_nobody_overrides_smoke_tests(manager: Client) -> None:
    form = sent(manager.get(PAGE))
    Build.objects.filter(version="4.2").update(smoke=Smoke.FAILED)

    page = manager.get(PAGE)
    assert "Nobody overrides this:" in page.content.decode()
    assert 'name="keys"' not in page.content.decode()
    assert manager.post(PAGE, form).status_code == 409
    assert stage() is Maturity.BETA


def test_who_may_not_override_sees_the_role_that_may(client: Client, viewer: User) -> None:
    client.force_login(viewer)

    html = client.get(PAGE).content.decode()

    assert "Overriding a gate needs Release manager." in html
    assert 'name="keys"' not in html
