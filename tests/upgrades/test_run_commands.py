"""P5, P11: halt_run, resume_run, end_run, release_builds, retry_run, let_retry, nights; show_plan in waves."""

from datetime import timedelta

import pytest

from builds.maturity import Maturity
from builds.models import Channel
from instances.choices import Kind
from instances.services import open_hold
from releasemgr.lib.actors import COMMAND
from tests.commands import json_of, refusal_of, text_of
from tests.factories import NOW, make_build, make_instance
from tests.upgrades.halted import end, make_run_of
from upgrades.choices import Outcome, RunKind
from upgrades.management.shapes import run_shape, run_text
from upgrades.models import Policy, Run, RunHalt, Upgrade

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]
NEEDS_A_REASON = ["halt_run", "resume_run", "end_run", "release_builds", "let_retry"]


@pytest.mark.parametrize("name", NEEDS_A_REASON)
def test_a_verb_about_a_run_needs_a_reason_and_something_that_exists(name: str) -> None:
    what = "upgrade" if name == "let_retry" else "run"

    assert "--reason" in refusal_of(name, 4711)
    assert refusal_of(name, 4711, "--reason", "x") == f"There is no {what} 4711."


def test_p5_a_run_is_halted_and_resumed() -> None:
    run = make_run_of(3)

    halted = json_of("halt_run", run.pk, "--reason", "Stop.")
    assert (halted["run"], halted["halt"]["code"], halted["halt"]["reason"]) == (run.pk, "person", "Stop.")
    assert refusal_of("halt_run", run.pk, "--reason", "Again.") == f"Run {run.pk} is halted already."
    said = text_of("resume_run", run.pk, "--reason", "Mended.")

    assert said == ("Halted at 12:00 by the command line: “Stop.”. Resumed at 12:00 by the command line: “Mended.”.")
    assert not RunHalt.objects.undecided().exists()


def test_p5_a_run_is_ended_its_builds_are_released_and_what_failed_is_tried_again() -> None:
    run = make_run_of(3, halt_minimum=1)
    end("live-00", Outcome.ROLLED_BACK)

    assert json_of("end_run", run.pk, "--reason", "Not tonight.") == {"run": run.pk, "not_started": 2}
    assert text_of("release_builds", run.pk, "--reason", "Mended.") == "Offered to sites again: 2.0."
    assert refusal_of("release_builds", run.pk, "--reason", "x") == f"Run {run.pk} keeps no build from the sites."

    again = json_of("retry_run", run.pk, "live-00")

    assert (again["kind"], [one["site"] for one in again["upgrades"]]) == (RunKind.RETRY, ["live-00"])
    assert "is left to be tried again" in refusal_of("retry_run", run.pk, "live-01")
    assert refusal_of("retry_run", run.pk, "nobody") == "No site is named nobody."


def test_p11_the_nights_are_let_try_again() -> None:
    make_run_of(2)
    end("live-00", Outcome.ROLLED_BACK)
    failed = Upgrade.objects.get(instance__slug="live-00")

    said = text_of("let_retry", failed.pk, "--reason", "Disk cleared.")

    assert said == "live-00: 2.0 may be tried again. Next night: Upgrades from 1.0 to 2.0."
    assert refusal_of("let_retry", failed.pk, "--reason", "x") == f"Upgrade {failed.pk} is not parked."


def test_p5_nights_are_switched_off_and_on() -> None:
    assert refusal_of("nights", "off") == "Switching the nights off needs a reason."

    off = json_of("nights", "off", "--reason", "Audit.")

    assert (off["changed"], off["reason"]) == (True, "Audit.")
    assert text_of("nights", "off", "--reason", "x") == "Nights are switched off already."
    assert json_of("show_plan")["nights_off"]
    assert "nothing of this happens" in text_of("show_plan")
    assert text_of("nights", "on") == "Nights are switched on."
    assert Policy.objects.get().nights_off_since is None


def test_p4_t8_r10_show_plan_has_waves_legs_promotions_and_the_next_chance() -> None:
    make_build("2.0", maturity=Maturity.RELEASE, stepping_stone=True)
    make_build("3.0", maturity=Maturity.BETA)
    Channel.objects.filter(name="release").update(automatic=True)
    make_instance("a-test", kind=Kind.TEST)
    open_hold(
        make_instance("b-held"), ends_at=NOW + timedelta(days=4), reason="Stocktaking", actor=COMMAND, now=NOW
    )  # fmt: skip

    plan = json_of("show_plan")

    assert plan["promotions"] == [{"version": "3.0", "to": "release"}]
    assert [(one["wave"], one["kind"], one["sites"], one["planned"], one["halts_above"]) for one in plan["waves"]] == [
        (1, "test", 1, 2, 1)
    ]
    going, held = plan["sites"]
    assert (going["legs"], going["wave"], going["opens_at"]) == (["2.0", "3.0"], 1, "2026-11-24T01:00:00+00:00")
    assert (held["legs"], held["wave"], held["next_chance"]) == ([], None, "2026-11-28T01:00:00+00:00")
    text = text_of("show_plan")
    assert "First 3.0 is promoted to release by itself." in text
    assert "Wave 1, test sites, from 01:00 (UTC). Sites: 1." in text


def test_p5_a_run_has_its_waves_and_halts() -> None:
    make_run_of(3, halt_minimum=1)
    end("live-00", Outcome.ROLLED_BACK)

    shape = run_shape(Run.objects.get())

    assert [(one["wave"], one["planned"]) for one in shape["waves"]] == [(1, 3)]
    assert [(one["code"], one["wave"], one["builds"]) for one in shape["halts"]] == [("share", 1, ["2.0"])]
    assert {(one["wave"], one["leg"]) for one in shape["upgrades"]} == {(1, 1)}
    assert "1 of 3 failed in wave 1, and the limit is 0." in run_text(Run.objects.get())
