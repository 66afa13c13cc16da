"""U4: the pages and the command that cancel an upgrade or give it up."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.commands import json_of, text_of
from tests.factories import NOW, make_upgrade, make_user
from upgrades.choices import EndCode, Outcome, StepState, UpgradeState
from upgrades.models import Step, Upgrade

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager(client: Client, release_manager: User) -> Client:
    client.force_login(release_manager)
    return client


def running(step: str = "", phase: str = "change") -> Upgrade:
    upgrade = make_upgrade(state=UpgradeState.RUNNING, started_at=NOW)
    if step:
        Step.objects.create(
            upgrade=upgrade, position=1, name="one", title=step, phase=phase, state=StepState.RUNNING, started_at=NOW
        )
    return upgrade


@pytest.mark.parametrize("act", ["cancel", "give-up"])
def test_who_may(client: Client, act: str) -> None:
    upgrade = running()
    upgrade.instance.host.failing_since = NOW
    upgrade.instance.host.save()
    path = f"/upgrades/{upgrade.pk}/{act}/"
    assert client.post(path, {"reason": "x"}).status_code == 302
    for role in ("Viewer", "Support"):
        client.force_login(make_user(role=role))
        assert client.post(path, {"reason": "x"}).status_code == 403
        assert "Needs Release manager" in client.get(f"/upgrades/{upgrade.pk}/").content.decode()
    client.force_login(make_user(role="Release manager"))
    assert client.put(path).status_code == 405
    assert client.get(f"/upgrades/4711/{act}/").status_code == 404
    assert client.get(path).status_code == 200
    upgrade.refresh_from_db()
    assert (upgrade.state, upgrade.cancel_asked_at) == (UpgradeState.RUNNING, None)


@pytest.mark.parametrize(
    ("phase", "effect"),
    [
        ("change", "“Migrate” changes the site: its end is waited for, then"),
        ("prepare", "is ended with all its processes, and"),
    ],
)
def test_the_page_says_what_a_cancel_does_at_this_moment(manager: Client, phase: str, effect: str) -> None:
    upgrade = running("Migrate", phase)
    page = manager.get(f"/upgrades/{upgrade.pk}/cancel/").content.decode()
    assert effect in page
    assert "until somebody retries" in page


def test_a_person_cancels_and_the_upgrade_s_page_says_what_it_waits_for(manager: Client) -> None:
    upgrade = running("Migrate")
    path = f"/upgrades/{upgrade.pk}/cancel/"
    missing = manager.post(path, {"reason": " ", "seen": "0"})
    assert missing.status_code == 422
    answer = manager.post(path, {"reason": "Wrong build.", "seen": "0"}, follow=True)
    assert answer.redirect_chain == [(f"/upgrades/{upgrade.pk}/", 302)]
    page = answer.content.decode()
    assert "is asked to end upgrade" in page
    assert "Wrong build.”. “Migrate” changes the site, so its end is waited for. Then it goes back." in page
    upgrade.refresh_from_db()
    assert (upgrade.cancel_reason, upgrade.cancel_asked_by) == ("Wrong build.", User.objects.get())
    again = manager.get(path, follow=True)
    assert "is being cancelled already" in again.content.decode()


def test_what_cannot_be_cancelled_any_more_leads_back_and_says_so(manager: Client) -> None:
    ended = make_upgrade(outcome=Outcome.SUCCEEDED)
    back = make_upgrade(state=UpgradeState.ROLLING_BACK)
    said = manager.post(f"/upgrades/{ended.pk}/cancel/", {"reason": "x", "seen": "0"}, follow=True)
    assert "had ended before" in said.content.decode()
    assert "has ended" in manager.get(f"/upgrades/{ended.pk}/cancel/", follow=True).content.decode()
    refused = manager.post(f"/upgrades/{back.pk}/give-up/", {"reason": "x", "seen": "0"})
    assert refused.status_code == 409
    assert "Nothing was changed." in refused.content.decode()
    assert "Give the upgrade up" not in refused.content.decode()
    assert "goes back already" in manager.get(f"/upgrades/{back.pk}/cancel/", follow=True).content.decode()
    assert "answers: cancel" in manager.get(f"/upgrades/{back.pk}/give-up/", follow=True).content.decode()


def test_the_command_cancels_and_gives_up() -> None:
    upgrade = running()
    assert json_of("cancel_upgrade", upgrade.pk, "--reason", "x") == {
        "upgrade": upgrade.pk, "cancel": "asked",
    }  # fmt: skip
    upgrade.instance.host.failing_since = NOW
    upgrade.instance.host.save()
    text_of("cancel_upgrade", upgrade.pk, "--reason", "x", "--give-up")
    upgrade.refresh_from_db()
    assert upgrade.end_code == EndCode.GIVEN_UP
