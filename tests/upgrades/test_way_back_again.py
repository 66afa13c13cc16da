"""U2, U5: a person has the way back of an upgrade run once more, asks its site again, or adopts what it reports."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from instances.services import note_version
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from tests.factories import NOW, make_instance, make_upgrade, make_user
from tests.fakes import FakeHost, hang
from tests.upgrades.supervising import due_upgrade, impatient, supervising, supervisor, until
from upgrades.choices import EndCode, Outcome, StepState, UpgradeState
from upgrades.exceptions import ReasonMissing, SiteLocked, UpgradeChanged
from upgrades.models import Upgrade
from upgrades.sentences import end_sentence
from upgrades.services.ends import run_way_back, unlock_site
from upgrades.services.runs import start_upgrades

__all__ = ["impatient"]
pytestmark = pytest.mark.django_db(transaction=True)


def run_back(upgrade: Upgrade) -> None:
    run_way_back(upgrade, actor=COMMAND, now=NOW, reason="The database is up again.")


def in_doubt(fake: FakeHost) -> Upgrade:
    """Its way back failed."""
    upgrade = due_upgrade(fake)
    fake.script = hang
    with supervising(supervisor(fake)):
        until(lambda: Upgrade.objects.get().state == UpgradeState.RUNNING)
        run = fake.runs[upgrade.pk]
        run.finish("change", 5, "migrate", 1)
        run.tell("way-back-begins")
        run.step("back", 1, "switch-back", "$ switch-back\nNo space left on device\n", status=1)
        run.result = "failed change migrate\n"
        until(lambda: Upgrade.objects.get().state == UpgradeState.ENDED)
    fake.script = None
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.NEEDS_A_PERSON, EndCode.WAY_BACK_FAILED)
    return upgrade


def supervise_to_the_end(fake: FakeHost) -> None:
    with supervising(supervisor(fake)):
        until(lambda: not Upgrade.objects.active().exists())


def test_a_way_back_that_works_the_second_time_ends_as_rolled_back_with_one_whole_log() -> None:
    fake = FakeHost()
    upgrade = in_doubt(fake)
    run_back(upgrade)
    assert Upgrade.objects.get().status == UpgradeState.ROLLING_BACK
    supervise_to_the_end(fake)
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.ROLLED_BACK, EndCode.SENT_BACK)
    assert end_sentence(Outcome.ROLLED_BACK, EndCode.SENT_BACK, upgrade.end_values) == (
        "Had failed at Migrate. A person had the way back run again. The site is up on 1.0 again."
    )
    assert b"".join(piece.data for piece in upgrade.log_pieces()) == fake.runs[upgrade.pk].log
    step = upgrade.steps.get(name="switch-back")
    assert (step.state, step.exit_status) == (StepState.SUCCEEDED, 0)
    assert fake.sent_back == [(upgrade.pk, 1)]
    change = Change.objects.get(kind="upgrade.sent_back")
    assert (change.reason, change.after) == ("The database is up again.", {"upgrade": upgrade.pk})


def test_one_that_fails_again_still_needs_a_person_and_may_be_run_a_third_time() -> None:
    fake = FakeHost()
    upgrade = in_doubt(fake)

    def fail(host: FakeHost, path: str, run: object, values: object) -> None:
        told = host.runs[upgrade.pk]
        told.tell("way-back-begins")
        told.step("back", 1, "switch-back", "$ switch-back\n", status=1)
        told.result = "went-back\n"

    fake.script = fail
    run_back(upgrade)
    supervise_to_the_end(fake)
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.NEEDS_A_PERSON, EndCode.WAY_BACK_FAILED)
    fake.script = None
    run_back(upgrade)
    supervise_to_the_end(fake)
    assert Upgrade.objects.get().outcome == Outcome.ROLLED_BACK
    assert fake.sent_back == [(upgrade.pk, 1), (upgrade.pk, 2)]


def test_a_supervisor_that_takes_over_does_not_run_it_twice() -> None:
    fake = FakeHost()
    upgrade = in_doubt(fake)
    fake.script = lambda host, path, run, values: run.tell("way-back-begins")
    run_back(upgrade)
    with supervising(supervisor(fake)):
        until(lambda: fake.sent_back != [])
    with supervising(supervisor(fake)):
        run = fake.runs[upgrade.pk]
        run.step("back", 1, "switch-back", "$ switch-back\n")
        run.tell("version after 1.0")
        run.result = "went-back\n"
        until(lambda: Upgrade.objects.get().outcome == Outcome.ROLLED_BACK)
    assert fake.sent_back == [(upgrade.pk, 1)]


def test_a_supervisor_that_holds_the_host_already_takes_it_up() -> None:
    fake = FakeHost()
    upgrade = in_doubt(fake)
    other = due_upgrade_beside(upgrade)
    fake.versions[other.instance.path] = "1.0"
    fake.script = hang
    with supervising(supervisor(fake)):
        until(lambda: other.pk in fake.begun)
        fake.script = None
        run_back(upgrade)
        until(lambda: Upgrade.objects.get(pk=upgrade.pk).outcome == Outcome.ROLLED_BACK)
    assert Upgrade.objects.get(pk=other.pk).state == UpgradeState.RUNNING


def due_upgrade_beside(upgrade: Upgrade) -> Upgrade:
    site = make_instance("acme-test", runs="1.0", host=upgrade.instance.host)
    return start_upgrades([site], actor=COMMAND, now=NOW).upgrades.get()


def test_a_host_that_cannot_begin_it_leaves_the_site_locked_and_says_why() -> None:
    fake = FakeHost(start_refusal=None)
    upgrade = in_doubt(fake)
    fake.start_refusal = SiteLocked("deploy, process 41: sh deploy.sh")
    run_back(upgrade)
    supervise_to_the_end(fake)
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.NEEDS_A_PERSON, EndCode.NOT_SENT_BACK)
    assert "could not be run again: deploy, process 41: sh deploy.sh" in end_sentence(
        Outcome.NEEDS_A_PERSON, EndCode.NOT_SENT_BACK, upgrade.end_values
    )


def test_only_what_waits_for_a_person_goes_back_and_only_with_a_reason() -> None:
    upgrade = make_upgrade(outcome=Outcome.NEEDS_A_PERSON, end_code=EndCode.RUNNER_GONE, started_at=NOW)
    with pytest.raises(ReasonMissing):
        run_way_back(upgrade, actor=COMMAND, now=NOW, reason=" ")
    unlock_site(upgrade, actor=COMMAND, now=NOW, note="It runs.")
    with pytest.raises(UpgradeChanged):
        run_back(upgrade)
    assert Upgrade.objects.get().status == Outcome.NEEDS_A_PERSON


def test_of_two_who_decide_at_once_one_is_told() -> None:
    upgrade = make_upgrade(outcome=Outcome.NEEDS_A_PERSON, end_code=EndCode.RUNNER_GONE, started_at=NOW)
    refused: list[str] = []

    def decide(verb: str) -> None:
        try:
            if verb == "back":
                run_back(upgrade)
            else:
                unlock_site(upgrade, actor=COMMAND, now=NOW, note="It runs.")
        except UpgradeChanged as error:
            refused.append(str(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=decide, args=[verb]) for verb in ("back", "unlock")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1


# The page.


def test_who_may(client: Client) -> None:
    upgrade = make_upgrade(outcome=Outcome.NEEDS_A_PERSON, end_code=EndCode.RUNNER_GONE, started_at=NOW)
    for act in ("go-back", "ask"):
        path = f"/upgrades/{upgrade.pk}/{act}/"
        client.logout()
        assert client.post(path, {"reason": "x"}).status_code == 302
        client.force_login(make_user(role="Support"))
        assert client.post(path, {"reason": "x"}).status_code == 403
        client.force_login(make_user(role="Release manager"))
        assert client.put(path).status_code == 405
        assert client.post(f"/upgrades/4711/{act}/").status_code == 404
    assert Upgrade.objects.get().status == Outcome.NEEDS_A_PERSON


def test_the_page_offers_what_can_be_done(client: Client, release_manager: User) -> None:
    upgrade = make_upgrade(
        outcome=Outcome.NEEDS_A_PERSON, end_code=EndCode.RUNNER_GONE, end_values={"step": ""}, started_at=NOW
    )
    site = upgrade.instance
    site.reported_at = upgrade.ended_at
    site.save()
    client.force_login(release_manager)
    path = f"/upgrades/{upgrade.pk}/"
    page = client.get(path).content.decode()
    assert "The site has not reported its version since then." in page
    assert "Ask the site again" in page
    assert f'href="/upgrades/{upgrade.pk}/go-back/"' in page

    asked = client.post(f"{path}ask/", follow=True).content.decode()
    assert "is being asked for its version" in asked

    assert upgrade.ended_at
    note_version(site, "2.0", now=upgrade.ended_at + timedelta(minutes=1))
    page = client.get(path).content.decode()
    assert "Since then the site has reported <b>2.0</b>." in page
    assert "Adopt 2.0 and unlock the site" in page


def test_a_person_runs_the_way_back_from_the_page(client: Client, release_manager: User) -> None:
    upgrade = make_upgrade(
        outcome=Outcome.NEEDS_A_PERSON, end_code=EndCode.RUNNER_GONE, end_values={"step": ""}, started_at=NOW
    )
    client.force_login(release_manager)
    path = f"/upgrades/{upgrade.pk}/go-back/"
    assert "runs once more on the site" in client.get(path).content.decode()
    assert client.post(path, {"reason": "", "seen": "0"}).status_code == 422
    answer = client.post(path, {"reason": "Disk is free again.", "seen": "0"}, follow=True)
    assert "runs once more" in answer.content.decode()
    assert Upgrade.objects.get().status == UpgradeState.ROLLING_BACK
    assert "does not wait for a person" in client.get(path, follow=True).content.decode()
