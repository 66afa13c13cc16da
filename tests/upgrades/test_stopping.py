"""Withdrawing a build stops running upgrades to it before their switch step, not after it (R9)."""

import threading

import pytest

from builds.services import quarantine_build, withdraw_build
from releasemgr.lib.actors import COMMAND
from tests.factories import NOW, make_build
from tests.fakes import FakeHost, complete, hang, stop
from tests.upgrades.supervising import due_upgrade, impatient, supervising, supervisor, until
from upgrades import host_thread
from upgrades.choices import EndCode, Outcome, RunState, UpgradeState
from upgrades.exceptions import StopFailed, UpgradeChanged
from upgrades.models import Run, RunHalt, Upgrade
from upgrades.sentences import advice, end_sentence, result_words, run_story
from upgrades.services.exposure import exposure_of
from upgrades.services.facts import facts_now
from upgrades.services.retries import is_parking, let_retry
from upgrades.services.runs import settle
from upgrades.waves import WaveKind

__all__ = ["impatient"]
pytestmark = pytest.mark.django_db(transaction=True)


def withdraw(upgrade: Upgrade) -> None:
    withdraw_build(upgrade.build, actor=COMMAND, now=NOW, reason="It loses invoices.")


def is_running() -> bool:
    return Upgrade.objects.get().state == UpgradeState.RUNNING


def has_ended() -> bool:
    return Upgrade.objects.get().state == UpgradeState.ENDED


def finish_stopped(fake: FakeHost, upgrade: Upgrade) -> None:
    stop(fake, upgrade.instance.path, fake.runs[upgrade.pk], {})


def test_an_upgrade_to_a_build_that_is_withdrawn_is_stopped_on_its_host_and_says_so() -> None:
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)
    with supervising(supervisor(fake)):
        until(is_running)
        withdraw(upgrade)
        until(lambda: fake.stopped != [])
        finish_stopped(fake, upgrade)
        until(has_ended)
    upgrade.refresh_from_db()
    assert fake.stopped == [upgrade.pk]
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.ROLLED_BACK, EndCode.STOPPED)
    sentence = end_sentence(Outcome.ROLLED_BACK, EndCode.STOPPED, upgrade.end_values)
    assert sentence == (
        "Stopped before Switch to the new release: its build was withdrawn. The site is up on 1.0 again."
    )
    assert result_words(Outcome.ROLLED_BACK, upgrade.end_values) == "Stopped before “Switch to the new release”"
    assert "Nobody has to do anything" in advice(Outcome.ROLLED_BACK, EndCode.STOPPED)
    assert (upgrade.first_error, upgrade.fingerprint) == ("", "")


def test_a_quarantined_build_stops_what_leads_to_it() -> None:
    """R2."""
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)
    with supervising(supervisor(fake)):
        until(is_running)
        quarantine_build(upgrade.build, now=NOW)
        until(lambda: fake.stopped != [])
        finish_stopped(fake, upgrade)
        until(has_ended)
    assert "no longer matches its checksum" in Upgrade.objects.get().end_values["text"]


def test_a_stop_that_a_lost_link_took_away_is_sent_again_until_the_host_confirms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """U3: also where the host could not, and by the supervisor that takes over."""
    monkeypatch.setattr(host_thread, "STOP_AGAIN", 0.01)
    fake = FakeHost(script=hang, stop_refusal=StopFailed("sh: 1: cannot create stop: No space left on device"))
    upgrade = due_upgrade(fake)
    with supervising(supervisor(fake)):
        until(is_running)
        withdraw(upgrade)
        until(lambda: len(fake.stopped) > 1)
        fake.cut()
        until(lambda: fake.connections > 1)
        before = len(fake.stopped)
        until(lambda: len(fake.stopped) > before)
        fake.stop_refusal = None
        before = len(fake.stopped)
        until(lambda: len(fake.stopped) > before)
    before = len(fake.stopped)
    with supervising(supervisor(fake)):
        until(lambda: len(fake.stopped) > before)
        finish_stopped(fake, upgrade)
        until(has_ended)
    assert len(fake.stopped) == before + 1


def test_an_upgrade_that_passed_the_point_of_no_return_is_finished() -> None:
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)
    with supervising(supervisor(fake)):
        until(is_running)
        withdraw(upgrade)
        until(lambda: fake.stopped != [])
        complete(fake, upgrade.instance.path, fake.runs[upgrade.pk], {"TO_VERSION": "2.0"})
        until(has_ended)
    assert Upgrade.objects.get().outcome == Outcome.SUCCEEDED


def test_a_build_withdrawn_between_the_claim_and_the_start_on_the_host_begins_nowhere() -> None:
    """P9: sending its artefact may take long. Its turn comes again, and the plan refuses it."""
    fake = FakeHost()
    upgrade = due_upgrade(fake)
    sending, sent = threading.Event(), threading.Event()

    def slowly() -> None:
        sending.set()
        assert sent.wait(10)

    fake.sending = slowly
    one = supervisor(fake)
    with supervising(one):
        assert sending.wait(10)
        withdraw(upgrade)
        until(lambda: upgrade.pk in one._held[upgrade.instance.host_id].thread._to_stop)
        sent.set()
        until(has_ended)
    upgrade.refresh_from_db()
    assert (fake.begun, fake.stopped) == ([], [])
    assert (upgrade.outcome, upgrade.end_code, upgrade.started_at) == (Outcome.SKIPPED, EndCode.REPLANNED, None)
    assert [event.to_state for event in upgrade.events.all()] == ["starting", "waiting", "ended"]


@pytest.mark.parametrize("outcome", [Outcome.ROLLED_BACK, Outcome.FAILED_CLEAN])
def test_a_stopped_upgrade_is_nobody_s_failure(outcome: Outcome) -> None:
    """P5, P11: its canary halts no run, it parks and counts against no build, and cannot be tried again."""
    upgrade = due_upgrade(FakeHost())
    assert upgrade.wave
    assert upgrade.wave.kind == WaveKind.CANARY
    upgrade.move(UpgradeState.STARTING, now=NOW, started_at=NOW)
    upgrade.end(outcome, EndCode.STOPPED, now=NOW, before="Switch", text="its build was withdrawn.")
    settle(NOW)
    assert not RunHalt.objects.exists()
    assert Run.objects.get().ended_at
    assert not is_parking(upgrade)
    (site,) = facts_now([upgrade.instance], NOW).sites
    assert site.parked == {}
    with pytest.raises(UpgradeChanged):
        let_retry(upgrade, actor=COMMAND, now=NOW, note="Again.")
    assert exposure_of(upgrade.build, NOW).upgrades == 0


def test_the_legs_after_one_that_was_stopped_are_not_started() -> None:
    """T8."""
    fake = FakeHost(script=hang)
    first = due_upgrade(fake)
    later = Upgrade.objects.create(
        run=first.run, instance=first.instance, build=make_build("3.0"), from_version="2.0", recipe=first.recipe,
        position=9, wave=first.wave, leg=2, created_at=NOW, opens_at=NOW,
    )  # fmt: skip
    with supervising(supervisor(fake)):
        until(lambda: fake.begun != [])
        withdraw(first)
        until(lambda: fake.stopped != [])
        finish_stopped(fake, first)
        until(lambda: not Upgrade.objects.active().exists())
    later.refresh_from_db()
    assert (later.outcome, later.end_code) == (Outcome.NOT_STARTED, EndCode.PATH_ENDED)
    assert fake.begun == [first.pk]


@pytest.mark.parametrize("code", [EndCode.STOPPED, EndCode.CANCELLED])
def test_p5_a_run_counts_what_was_stopped_or_cancelled_apart_and_ends_without_failures(code: EndCode) -> None:
    upgrade = due_upgrade(FakeHost())
    upgrade.move(UpgradeState.STARTING, now=NOW, started_at=NOW)
    upgrade.end(Outcome.ROLLED_BACK, code, now=NOW, before="Switch", text="its build was withdrawn.", who="A", why="B")
    settle(NOW)
    run = Run.objects.for_list().get()
    counted = [getattr(run, name) for name in ("planned", "failed", "stopped", "succeeded")]
    assert counted == [1, 0, 1, 0]
    assert run.state is RunState.ENDED
    assert Run.objects.get().state is RunState.ENDED
    story = run_story(run.state, planned=1, good=0, failed=0, stopped=1, ended=1, late=0, awaiting=0)
    assert story == ["0 of 1 upgrades succeeded.", "1 was stopped or cancelled."]
    upgrade.refresh_from_db()
    assert (upgrade.was_stopped, upgrade.has_failed) == (True, False)
