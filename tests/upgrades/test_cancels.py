"""U4: a person cancels an upgrade, or gives up what a host that vanished will not tell."""

from typing import Any

import pytest

from builds.services import withdraw_build
from releasemgr.lib.actors import COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from tests.factories import NOW, make_build, make_host, make_upgrade
from tests.fakes import FakeHost, hang, stop
from tests.upgrades.supervising import due_upgrade, impatient, supervising, supervisor, until
from upgrades import host_thread
from upgrades.choices import EndCode, Outcome, UpgradeState
from upgrades.exceptions import CancelRefused, ReasonMissing, StopFailed
from upgrades.models import Run, RunHalt, Upgrade
from upgrades.sentences import advice, end_sentence
from upgrades.services.cancels import Cancel, cancel_upgrade, give_up
from upgrades.services.exposure import exposure_of
from upgrades.services.facts import facts_now
from upgrades.services.retries import is_parking, let_retry
from upgrades.services.runs import settle

__all__ = ["impatient"]
pytestmark = pytest.mark.django_db(transaction=True)


def cancel(upgrade: Upgrade, reason: str = "Wrong build.") -> Cancel:
    return cancel_upgrade(upgrade, actor=COMMAND, now=NOW, reason=reason)


def state() -> str:
    return Upgrade.objects.order_by("pk")[0].state


def is_running() -> bool:
    return state() == UpgradeState.RUNNING


def has_ended() -> bool:
    return state() == UpgradeState.ENDED


def finish_cancelled(fake: FakeHost, upgrade: Upgrade) -> None:
    """As its runner does that heard of it while it migrated."""
    run = fake.runs[upgrade.pk]
    stop(fake, upgrade.instance.path, run, {})
    run.events = run.events.replace(b" stopped change", b" cancelled change")
    run.result = "cancelled change switch\n"


def test_what_has_not_begun_is_cancelled_at_once_and_its_run_goes_on_without_it() -> None:
    upgrade = due_upgrade(FakeHost())
    later = Upgrade.objects.create(
        run=upgrade.run, instance=upgrade.instance, build=make_build("3.0"), from_version="2.0", recipe=upgrade.recipe,
        position=9, wave=upgrade.wave, leg=2, created_at=NOW, opens_at=NOW,
    )  # fmt: skip
    assert cancel(upgrade) is Cancel.DONE
    upgrade.refresh_from_db()
    later.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code, upgrade.started_at) == (Outcome.CANCELLED, EndCode.CANCELLED, None)
    assert end_sentence(Outcome.CANCELLED, EndCode.CANCELLED, upgrade.end_values) == (
        "Cancelled by command line: “Wrong build.”. Nothing was changed: the site runs 1.0."
    )
    assert (later.outcome, later.end_code) == (Outcome.NOT_STARTED, EndCode.PATH_ENDED)
    assert Run.objects.get().ended_at
    change = Change.objects.get(kind="upgrade.cancelled")
    assert (change.subject_name, change.reason, change.after["upgrade"]) == ("acme-live", "Wrong build.", upgrade.pk)


def test_what_runs_is_cancelled_by_its_host_and_says_who_and_why() -> None:
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)
    with supervising(supervisor(fake)):
        until(is_running)
        assert [cancel(upgrade), cancel(upgrade, "Once more.")] == [Cancel.ASKED, Cancel.ASKED_BEFORE]
        until(lambda: fake.cancelled != [])
        finish_cancelled(fake, upgrade)
        until(has_ended)
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.ROLLED_BACK, EndCode.CANCELLED)
    sentence = end_sentence(Outcome.ROLLED_BACK, EndCode.CANCELLED, upgrade.end_values)
    assert sentence == "Cancelled by command line: “Wrong build.”. The site is up on 1.0 again."
    assert "retry" in advice(Outcome.ROLLED_BACK, EndCode.CANCELLED)
    assert (upgrade.first_error, upgrade.fingerprint) == ("", "")
    assert cancel(upgrade) is Cancel.OVER
    assert Change.objects.filter(kind="upgrade.cancelled").count() == 1


def test_a_host_is_asked_again_and_again_until_it_has_ended_also_over_a_new_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host_thread, "CANCEL_AGAIN", 0.01)
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)
    with supervising(supervisor(fake)):
        until(is_running)
        cancel(upgrade)
        until(lambda: len(fake.cancelled) > 2)
        fake.cut()
        until(lambda: fake.connections > 1)
        before = len(fake.cancelled)
        until(lambda: len(fake.cancelled) > before)
    before = len(fake.cancelled)
    with supervising(supervisor(fake)):
        until(lambda: len(fake.cancelled) > before)
        finish_cancelled(fake, upgrade)
        until(has_ended)
    assert Upgrade.objects.get().end_code == EndCode.CANCELLED


def test_what_is_cancelled_between_the_claim_and_its_start_begins_nowhere() -> None:
    fake = FakeHost()
    upgrade = due_upgrade(fake)
    one = supervisor(fake)

    def cancelled_meanwhile() -> None:
        cancel(upgrade)
        until(lambda: upgrade.pk in one._held[upgrade.instance.host_id].thread._to_cancel)

    fake.sending = cancelled_meanwhile
    with supervising(one):
        until(has_ended)
    upgrade.refresh_from_db()
    assert (fake.begun, fake.cancelled) == ([], [])
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.CANCELLED, EndCode.CANCELLED)


def test_what_cannot_be_ended_needs_a_person() -> None:
    fake = FakeHost(script=hang, lingers=True)
    upgrade = due_upgrade(fake)
    with supervising(supervisor(fake)):
        until(is_running)
        cancel(upgrade)
        until(has_ended)
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.NEEDS_A_PERSON, EndCode.LINGERS)
    sentence = end_sentence(Outcome.NEEDS_A_PERSON, EndCode.LINGERS, upgrade.end_values)
    assert sentence.startswith("Migrate was to be ended, but still runs on app-1.")


def test_a_way_back_is_not_cancelled() -> None:
    upgrade = make_upgrade(state=UpgradeState.ROLLING_BACK)
    with pytest.raises(CancelRefused, match="A way back is never cut short"):
        cancel(upgrade)
    upgrade.refresh_from_db()
    assert upgrade.cancel_asked_at is None
    assert not Change.objects.exists()


@pytest.mark.parametrize("verb", [cancel_upgrade, give_up])
def test_both_need_a_reason(verb: Any) -> None:
    with pytest.raises(ReasonMissing):
        verb(make_upgrade(state=UpgradeState.RUNNING), actor=COMMAND, now=NOW, reason=" ")


@pytest.mark.parametrize("outcome", [Outcome.ROLLED_BACK, Outcome.CANCELLED])
def test_p11_a_cancelled_upgrade_is_parked_like_a_failure_without_counting_as_one(outcome: Outcome) -> None:
    upgrade = due_upgrade(FakeHost())
    upgrade.move(UpgradeState.STARTING, now=NOW, started_at=NOW)
    upgrade.end(outcome, EndCode.CANCELLED, now=NOW, who="Ada", why="Wrong build.", before="Switch")
    settle(NOW)
    assert not RunHalt.objects.exists()
    assert exposure_of(upgrade.build, NOW).upgrades == 0
    assert is_parking(upgrade)
    assert facts_now([upgrade.instance], NOW).sites[0].parked == {upgrade.build_id: upgrade.pk}
    let_retry(upgrade, actor=COMMAND, now=NOW, note="It was right.")
    assert facts_now([upgrade.instance], NOW).sites[0].parked == {}


# Giving up.


def vanish(fake: FakeHost) -> None:
    fake.refusal = StopFailed("No route to host.")
    fake.cut()


def test_an_upgrade_on_a_host_that_vanished_is_given_up_and_its_site_needs_a_person() -> None:
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)
    with supervising(supervisor(fake)) as thread:
        until(is_running)
        vanish(fake)
        until(lambda: Upgrade.objects.get().instance.host.failing_since is not None)
        give_up(upgrade, actor=COMMAND, now=NOW, reason="The machine burnt.")
        thread.join(10)
        assert not thread.is_alive(), "nothing is left to watch"
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.NEEDS_A_PERSON, EndCode.GIVEN_UP)
    assert end_sentence(Outcome.NEEDS_A_PERSON, EndCode.GIVEN_UP, upgrade.end_values).startswith(
        "command line gave it up while app-1 did not answer: “The machine burnt.”."
    )
    assert Run.objects.get().ended_at
    assert Change.objects.get(kind="upgrade.given_up").reason == "The machine burnt."


def test_what_a_host_tells_of_an_upgrade_that_was_given_up_is_not_listened_to() -> None:
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)
    with supervising(supervisor(fake)) as thread:
        until(is_running)
        upgrade.instance.host.failing_since = NOW
        upgrade.instance.host.save()
        give_up(upgrade, actor=COMMAND, now=NOW, reason="It seemed gone.")
        finish_cancelled(fake, upgrade)
        thread.join(10)
        assert not thread.is_alive()
    upgrade.refresh_from_db()
    assert upgrade.end_code == EndCode.GIVEN_UP
    upgrade.instance.host.refresh_from_db()
    assert upgrade.instance.host.failure == ""


def test_one_behind_a_jump_host_that_vanished_can_be_given_up_too() -> None:
    """Nothing is learnt of the host itself then: its own last contact went well."""
    upgrade = make_upgrade(state=UpgradeState.RUNNING)
    upgrade.instance.host.jump = make_host("gate", failing_since=NOW)
    upgrade.instance.host.save()
    give_up(upgrade, actor=COMMAND, now=NOW, reason="The gate burnt.")
    upgrade.refresh_from_db()
    assert (upgrade.end_code, upgrade.end_values["host"]) == (EndCode.GIVEN_UP, "gate")


@pytest.mark.parametrize(("begun", "failing"), [(UpgradeState.WAITING, True), (UpgradeState.RUNNING, False)])
def test_only_what_is_under_way_on_a_host_that_does_not_answer_is_given_up(begun: UpgradeState, failing: bool) -> None:
    upgrade = make_upgrade(state=begun)
    upgrade.instance.host.failing_since = NOW if failing else None
    upgrade.instance.host.save()
    with pytest.raises(CancelRefused):
        give_up(upgrade, actor=COMMAND, now=NOW, reason="x")
    upgrade.refresh_from_db()
    assert upgrade.state == begun


def test_r9_a_build_withdrawn_after_a_cancel_changes_nothing_of_it() -> None:
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)
    with supervising(supervisor(fake)):
        until(is_running)
        cancel(upgrade)
        until(lambda: fake.cancelled != [])
        withdraw_build(upgrade.build, actor=Actor(Origin.COMMAND), now=NOW, reason="Bad.")
        finish_cancelled(fake, upgrade)
        until(has_ended)
    assert Upgrade.objects.get().end_code == EndCode.CANCELLED
