"""P5, P11: what a person does about a run, on pages of their own."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from builds.maturity import Maturity
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from tests.clients import carried
from tests.factories import NOW, make_build, make_instance, make_run, make_upgrade, make_user
from tests.upgrades.halted import LATER, end, make_run_of
from upgrades.choices import HaltEnd, Outcome, RunKind, RunState
from upgrades.models import Policy, Run, RunHalt
from upgrades.services.halts import halt_run, resume_run
from upgrades.services.policy import switch_nights_off

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def manager(client: Client, release_manager: User) -> Client:
    client.force_login(release_manager)
    return client


def halted_run(**policy: Any) -> Run:
    run = make_run_of(3, **{"halt_minimum": 1} | policy)
    end("live-00", Outcome.ROLLED_BACK, fingerprint="f")
    return run


def post(client: Client, path: str, **data: Any) -> Any:
    """As the page's own form sends it: with what the page carries."""
    return client.post(path, carried(client.get(path)) | data)


ACTS = ["halt", "resume", "end", "release"]


@pytest.mark.parametrize("act", [*ACTS, "retry"])
def test_who_may_act_on_a_run(client: Client, act: str) -> None:
    run = halted_run()
    path = f"/runs/{run.pk}/{act}/"
    assert client.post(path, {"reason": "x", "seen": "0"}).status_code == 302

    for role in ("Viewer", "Support"):
        client.force_login(make_user(role=role))
        answer = client.post(path, {"reason": "x", "seen": "0"})
        assert answer.status_code == 403
        assert "Release manager" in answer.content.decode()

    client.force_login(make_user(role="Release manager"))
    assert client.put(path).status_code == 405
    assert client.get("/runs/4711/halt/").status_code == 404
    assert RunHalt.objects.undecided().count() == 1
    assert Run.objects.count() == 1


def test_p5_a_person_halts_a_run_with_a_reason(manager: Client) -> None:
    run = make_run_of(3)
    path = f"/runs/{run.pk}/halt/"

    page = manager.get(path).content.decode()
    assert "3 upgrades that have not begun wait" in page
    missing = post(manager, path, reason=" ")
    assert missing.status_code == 422
    assert 'id="error_1_id_reason"' in missing.content.decode()
    assert not RunHalt.objects.exists()

    answer = post(manager, path, reason="The mail server is down.")

    assert answer.headers["Location"] == f"/runs/{run.pk}/"
    halt = RunHalt.objects.get()
    assert (halt.code, halt.reason, halt.by) == ("person", "The mail server is down.", User.objects.last())
    assert Run.objects.get().state is RunState.HALTED


def test_p5_what_is_not_possible_leads_back_and_says_why(manager: Client) -> None:
    run = halted_run()

    answer = manager.get(f"/runs/{run.pk}/halt/", follow=True)

    assert answer.redirect_chain == [(f"/runs/{run.pk}/", 302)]
    assert "is halted already." in answer.content.decode()


def test_t7_halting_what_someone_else_has_halted_changes_nothing(manager: Client) -> None:
    run = make_run_of(3)
    path = f"/runs/{run.pk}/halt/"
    seen = carried(manager.get(path))["seen"]
    halt_run(run, actor=COMMAND, now=NOW, reason="Theirs.")

    answer = manager.post(path, {"reason": "Mine.", "seen": seen})

    assert answer.status_code == 409
    assert "is halted already." in answer.content.decode()
    assert "Mine." in answer.content.decode()
    assert RunHalt.objects.get().reason == "Theirs."


def test_t7_resuming_refuses_a_halt_that_the_person_has_not_seen(manager: Client) -> None:
    run = halted_run()
    path = f"/runs/{run.pk}/resume/"
    seen = carried(manager.get(path))["seen"]
    resume_run(run, actor=COMMAND, now=LATER, reason="Theirs.")
    halt_run(run, actor=COMMAND, now=LATER, reason="Another cause.")

    answer = manager.post(path, {"reason": "Mine.", "seen": seen})

    assert answer.status_code == 409
    assert "Another cause." in answer.content.decode()
    assert RunHalt.objects.undecided().count() == 1
    assert post(manager, path, reason="Mine.").status_code == 302


def test_p5_a_person_resumes_and_the_builds_are_offered_again(manager: Client) -> None:
    run = halted_run()

    assert "2.0 is offered to sites again." in manager.get(f"/runs/{run.pk}/resume/").content.decode()
    post(manager, f"/runs/{run.pk}/resume/", reason="Mended.")

    halt = RunHalt.objects.get()
    assert (halt.end, halt.end_reason, halt.released_at) == (HaltEnd.RESUMED, "Mended.", NOW)


def test_p5_a_person_ends_a_run_and_offers_the_build_again_later(manager: Client) -> None:
    run = halted_run()

    ended = post(manager, f"/runs/{run.pk}/end/", reason="Not tonight.")
    assert ended.status_code == 302
    assert run.upgrades.filter(outcome=Outcome.NOT_STARTED).count() == 2
    page = manager.get(f"/runs/{run.pk}/").content.decode()
    assert "Offer 2.0 again…" in page
    assert "2.0 is offered to no site until" in page

    post(manager, f"/runs/{run.pk}/release/", reason="Mended.")

    assert not RunHalt.objects.unreleased().exists()
    assert "Offer 2.0 again…" not in manager.get(f"/runs/{run.pk}/").content.decode()


def test_p5_withdrawing_the_build_decides_about_the_halt_too() -> None:
    run = halted_run()
    RunHalt.objects.update(ended_at=NOW, end=HaltEnd.RUN_OVER)
    assert Run.objects.halted().exists()

    run.halts.get().builds.update(withdrawn_at=NOW, withdrawn_reason="Loses mail.")

    assert not Run.objects.halted().exists()
    assert not RunHalt.objects.unreleased().exists()


def test_p11_what_failed_is_tried_again_as_it_was_shown(manager: Client) -> None:
    run = halted_run(halt_minimum=2)
    path = f"/runs/{run.pk}/retry/"

    page = manager.get(path)
    assert "Retry 1 failed site?" in page.content.decode()
    data = {"seen": page.context["preview"].fingerprint, "reason": "The disk was full.", "typed": "live-00"}
    assert manager.post(path, data | {"reason": ""}).status_code == 422
    untyped = manager.post(path, data | {"typed": ""})
    assert (untyped.status_code, untyped.context["form"].errors["typed"]) == (422, ["Type live-00 to confirm."])
    assert Run.objects.count() == 1
    answer = manager.post(path, data)

    retry = Run.objects.get(kind=RunKind.RETRY)
    assert answer.headers["Location"] == f"/runs/{retry.pk}/"
    assert retry.reason == "The disk was full."
    assert [upgrade.instance.slug for upgrade in retry.upgrades.all()] == ["live-00"]


def test_p1_a_retry_that_would_do_something_else_than_shown_is_refused(manager: Client) -> None:
    run = halted_run(halt_minimum=2)
    path = f"/runs/{run.pk}/retry/?site=live-00"
    seen = manager.get(path).context["preview"].fingerprint
    make_build("2.1", maturity=Maturity.STABLE)

    answer = manager.post(path, {"seen": seen, "reason": "Again.", "site": "live-00", "typed": "live-00"})

    assert answer.status_code == 409
    assert "Nothing was started." in answer.content.decode()
    assert Run.objects.count() == 1


def test_p11_nothing_left_to_retry_leads_back(manager: Client) -> None:
    run = make_run_of(2)

    assert "is left to be tried again" in manager.get(f"/runs/{run.pk}/retry/", follow=True).content.decode()
    assert manager.get(f"/runs/{run.pk}/retry/?site=nobody").status_code == 404


def test_p11_a_parked_upgrade_leads_to_the_one_page_that_lets_the_nights_try_again(manager: Client) -> None:
    failed = make_upgrade(instance=make_instance("acme"), run=make_run(ended_at=NOW), outcome=Outcome.ROLLED_BACK,
                          end_code="step_failed", end_values={"step": "Migrate", "from": "1", "to": "2"})  # fmt: skip
    path = f"/sites/acme/retry/{failed.pk}/"
    assert path in manager.get(f"/upgrades/{failed.pk}/").content.decode()

    assert manager.post(path, {"note": "", "seen": "0"}).status_code == 422
    assert manager.post(path, {"note": "Disk cleared.", "seen": "0"}).status_code == 302
    again = manager.post(path, {"note": "Me too.", "seen": "0"}, follow=True)

    assert "Nothing was changed." in again.content.decode()
    failed.refresh_from_db()
    assert (failed.retry_note, failed.retried_at) == ("Disk cleared.", NOW)
    assert "Disk cleared." in manager.get(f"/upgrades/{failed.pk}/").content.decode()


def test_p11_who_may_not_let_the_nights_try_again_reads_who_may(client: Client, support: User) -> None:
    failed = make_upgrade(outcome=Outcome.ROLLED_BACK, end_code="step_failed",
                          end_values={"step": "x", "from": "1", "to": "2"})  # fmt: skip
    client.force_login(support)

    assert "Letting them try again needs: Release manager" in client.get(f"/upgrades/{failed.pk}/").content.decode()


def test_t8_an_upgrade_says_which_leg_it_is_and_where_else_it_failed_so(manager: Client) -> None:
    run, site = make_run(ended_at=NOW), make_instance("acme")
    values: dict[str, Any] = {"outcome": Outcome.ROLLED_BACK, "end_code": "step_failed", "fingerprint": "same"}
    values |= {"end_values": {"step": "Migrate", "from": "1", "to": "2"}}
    first = make_upgrade(run=run, instance=site, leg=1, outcome=Outcome.SUCCEEDED)
    second = make_upgrade(run=run, instance=site, leg=2, **values)
    other = make_upgrade(instance=make_instance("globex"), **values)

    page = manager.get(f"/upgrades/{second.pk}/")

    assert "leg 2 of 2" in page.content.decode()
    assert (page.context["legs"], page.context["same"]) == ([first, second], [other])


# Nights off and on.


def test_p5_nights_are_switched_off_and_on_by_who_may(client: Client, support: User, release_manager: User) -> None:
    assert client.get("/runs/nights/").status_code == 302
    client.force_login(support)
    assert client.post("/runs/nights/", {"switch": "off", "reason": "x"}).status_code == 403
    client.force_login(release_manager)
    assert client.put("/runs/nights/").status_code == 405

    assert client.post("/runs/nights/", {"switch": "off", "reason": "", "seen": "0"}).status_code == 422
    assert Policy.objects.get().nights_off_since is None
    assert post(client, "/runs/nights/", switch="off", reason="Audit.").status_code == 302
    policy = Policy.objects.get()
    assert (policy.nights_off_since, policy.nights_off_by, policy.nights_off_reason) == (NOW, release_manager, "Audit.")
    assert "Nothing of this happens" in client.get("/runs/tonight/").content.decode()
    assert post(client, "/runs/nights/", switch="on").status_code == 302
    assert Policy.objects.get().nights_off_since is None
    assert list(Change.objects.values_list("kind", flat=True)) == ["nights.switched_on", "nights.switched_off"]


def test_t7_switching_off_what_someone_else_switched_off_changes_nothing(manager: Client) -> None:
    switch_nights_off(actor=COMMAND, now=NOW, reason="Theirs.")

    answer = manager.post("/runs/nights/", {"switch": "off", "reason": "Mine."})

    assert answer.status_code == 409
    assert Policy.objects.get().nights_off_reason == "Theirs."
