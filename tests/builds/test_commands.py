"""The commands for builds: what they print, and that a refusal changes nothing."""

import hashlib
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import ManagementUtility
from django.db import OperationalError

from builds.choices import Smoke
from builds.maturity import Maturity
from builds.models import Build, Problem, Promotion
from tests.commands import json_of, refusal_of, text_of
from tests.factories import NOW, make_build, make_problem

pytestmark = pytest.mark.django_db


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    path = tmp_path / "shop.tar.gz"
    path.write_bytes(b"the application")
    return path


def test_register_build_registers_and_says_so(artifact: Path, tmp_path: Path) -> None:
    changelog = tmp_path / "changes.md"
    changelog.write_text("* Schneller für alle", encoding="utf-8")

    said = text_of(
        "register_build", "4.2.107", "--artifact", artifact, "--commit", "abc123", "--changelog", changelog,
        "--smoke", "passed",
    )  # fmt: skip

    build = Build.objects.get()
    assert (build.version, build.commit, build.smoke) == ("4.2.107", "abc123", Smoke.PASSED)
    assert build.changelog == "* Schneller für alle"
    assert said.replace("\xa0", " ") == (
        f"Registered 4.2.107: 15 bytes, SHA-256 {build.sha256}, smoke tests passed."
    )  # fmt: skip


def test_register_build_again_is_a_no_op_and_says_so(artifact: Path) -> None:
    first = json_of("register_build", "4.2.107", "--artifact", artifact)
    again = json_of("register_build", "4.2.107", "--artifact", artifact)

    assert (first["created"], again["created"]) == (True, False)
    assert first["build"] == again["build"]
    assert first["build"]["sha256"] == hashlib.sha256(b"the application").hexdigest()
    assert first["build"]["channel"] == "candidate"
    assert "Nothing changed." in text_of("register_build", "4.2.107", "--artifact", artifact)


def test_register_build_refuses_in_one_line(artifact: Path, tmp_path: Path) -> None:
    binary = tmp_path / "changes.md"
    binary.write_bytes(b"\xff\xfe")
    make_build("4.2.107")

    assert "Accepted is" in refusal_of("register_build", "banana", "--artifact", artifact)
    assert "A build never changes" in refusal_of("register_build", "4.2.107", "--artifact", artifact)
    assert "No such file" in refusal_of("register_build", "5", "--artifact", tmp_path / "missing")
    assert "not UTF-8" in refusal_of("register_build", "5", "--artifact", artifact, "--changelog", binary)
    assert "cannot be read" in refusal_of("register_build", "5", "--artifact", artifact, "--changelog", tmp_path)
    assert Build.objects.count() == 1
    assert len(list(settings.ARTIFACT_DIR.iterdir())) == 1


def test_report_smoke_records_the_result() -> None:
    make_build("4.2.107", smoke=Smoke.PENDING)

    assert text_of("report_smoke", "4.2.107", "failed") == "The smoke tests of 4.2.107 are recorded as failed."
    assert json_of("report_smoke", "v4.2.107", "passed")["build"]["smoke"] == "passed"
    assert Build.objects.get().smoke == Smoke.PASSED
    assert refusal_of("report_smoke", "5.0", "passed") == "No build 5.0 is registered."


def test_promote_build_moves_it_and_records_the_command_line() -> None:
    make_build("4.2.107")

    assert (
        text_of("promote_build", "4.2.107", "beta", "--reason", "Asked for") == "4.2.107 went from candidate to beta."
    )

    promotion = Promotion.objects.get()
    assert (promotion.origin, promotion.by, promotion.reason) == ("command", None, "Asked for")
    again = json_of("promote_build", "4.2.107", "beta")
    assert (again["moved"], again["promotion"]["from"], again["build"]["channel"]) == (False, "candidate", "beta")
    assert "is beta already, since" in text_of("promote_build", "4.2.107", "beta")
    assert Promotion.objects.count() == 1


def test_promote_build_refuses_with_the_gate_and_when() -> None:
    make_build("4.2.107", maturity=Maturity.RELEASE, channel_since=NOW.replace(year=2099))

    assert refusal_of("promote_build", "4.2.107", "stable") == (
        "4.2.107 cannot enter stable. It needs 14 days in release: since 23 Nov 12:00, complete on 7 Dec 12:00."
    )
    assert refusal_of("promote_build", "4.2.107", "alpha") == "Moving 4.2.107 back to alpha needs a reason."
    assert Build.objects.get().stage is Maturity.RELEASE
    assert not Promotion.objects.exists()


def test_promote_build_moves_a_build_back_with_a_reason() -> None:
    make_build("4.2.107", maturity=Maturity.BETA)

    assert json_of("promote_build", "4.2.107", "candidate", "--reason", "Broken")["moved"]
    assert Build.objects.get().stage is Maturity.CANDIDATE


def test_withdraw_build_withdraws_once() -> None:
    make_build("4.2.107")

    assert text_of("withdraw_build", "4.2.107", "--reason", "Loses mail") == "4.2.107 is withdrawn."
    assert text_of("withdraw_build", "4.2.107", "--reason", "Other") == "4.2.107 was withdrawn already: Loses mail"
    again = json_of("withdraw_build", "4.2.107", "--reason", "Other")
    assert (again["withdrawn"], again["build"]["withdrawn_reason"]) == (False, "Loses mail")


def test_withdraw_build_needs_a_reason_that_says_something() -> None:
    make_build("4.2.107")

    assert refusal_of("withdraw_build", "4.2.107", "--reason", " ") == "Withdrawing 4.2.107 needs a reason."
    assert "--reason" in refusal_of("withdraw_build", "4.2.107")
    assert not Build.objects.get().is_withdrawn


def test_promote_build_overrides_what_fails_with_a_reason_and_says_what_it_was() -> None:
    """R8."""
    make_build("4.2.107", maturity=Maturity.RELEASE, channel_since=NOW.replace(year=2099))

    assert "needs a reason" in refusal_of("promote_build", "4.2.107", "stable", "--override", " ")
    said = text_of("promote_build", "4.2.107", "stable", "--override", "They cannot wait")

    assert said.splitlines()[0] == "4.2.107 went from release to stable."
    assert said.splitlines()[1].startswith("Overridden: 14 days in release: ")
    (row,) = json_of("promote_build", "4.2.107", "stable")["promotion"]["overrides"]
    assert (row["gate"], row["problem"], row["reason"]) == ("soak", None, "They cannot wait")


def test_withdraw_build_asks_what_replaces_a_stepping_stone() -> None:
    """T8."""
    make_build("4.2.107")
    make_build("4.2.108")
    assert text_of("mark_stepping_stone", "4.2.107") == "Every site must pass through 4.2.107."
    assert json_of("mark_stepping_stone", "4.2.107")["changed"] is False

    assert "which build takes its place" in refusal_of("withdraw_build", "4.2.107", "--reason", "Loses mail")
    assert "No build 9" in refusal_of("withdraw_build", "4.2.107", "--reason", "Bad", "--replacement", "9")
    text_of("withdraw_build", "4.2.107", "--reason", "Loses mail", "--replacement", "4.2.108")

    assert Build.objects.stepping_stones().get().version == "4.2.108"
    assert json_of("mark_stepping_stone", "4.2.108", "--remove")["build"]["stepping_stone"] is False
    text_of("mark_stepping_stone", "4.2.108")
    assert json_of("withdraw_build", "4.2.108", "--reason", "Bad", "--replacement", "none")["withdrawn"]


def test_a_problem_is_reported_changed_acknowledged_and_closed() -> None:
    """R7."""
    make_build("4.2.107")
    make_build("4.2.108")
    made = json_of("report_problem", "4.2.107", "Loses mail", "--severity", "minor", "--url", "https://bugs.example/7")
    name, number = made["problem"]["name"], made["problem"]["number"]
    assert (made["problem"]["state"], made["problem"]["first_affected"]) == ("open", "4.2.107")

    assert text_of("change_problem", name, "--severity", "blocker") == f"{name} is open: Loses mail"
    assert text_of("change_problem", number, "--title", "Loses mail") == (
        f"{name} is open: Loses mail\nNothing changed."
    )
    accepted = json_of("change_problem", number, "--acknowledge", "4.2.107", "--reason", "Known")
    assert (accepted["changed"], accepted["acknowledgement"]["severity"]) == (True, "blocker")
    assert "already" in text_of("change_problem", number, "--acknowledge", "4.2.107")
    assert json_of("change_problem", number, "--fixed", "4.2.108")["problem"]["fixed_in"] == "4.2.108"
    assert json_of("change_problem", number, "--reopen")["problem"]["state"] == "open"
    assert json_of("change_problem", number, "--dismiss", "--reason", "Not real")["problem"]["state"] == "dismissed"


def test_what_cannot_be_said_of_a_problem_is_refused_in_one_line() -> None:
    problem = make_problem(make_build("4.2.107"))

    assert "No build 9" in refusal_of("report_problem", "9", "Loses mail", "--severity", "minor")
    assert "title" in refusal_of("report_problem", "4.2.107", " ", "--severity", "minor")
    assert "No problem P-0" in refusal_of("change_problem", 0, "--reopen")
    assert "not the number" in refusal_of("change_problem", "banana", "--reopen")
    assert "Say what changes" in refusal_of("change_problem", problem.pk)
    assert "of its own" in refusal_of("change_problem", problem.pk, "--reopen", "--title", "Other")
    assert "needs a reason" in refusal_of("change_problem", problem.pk, "--dismiss")
    assert "not newer" in refusal_of("change_problem", problem.pk, "--fixed", "4.2.107")
    assert Problem.objects.get().state == "open"


def test_set_channel_sets_the_soak_time_and_the_switch() -> None:
    """R6, R10."""
    assert text_of("set_channel", "stable", "--soak", "7", "--automatic", "on") == (
        "A build enters stable after 7 days in the channel before, by itself."
    )
    assert json_of("set_channel", "stable", "--soak", "7") == {
        "channel": "stable", "soak": 604800.0, "automatic": True, "changed": False,
    }  # fmt: skip
    assert text_of("set_channel", "stable", "--soak", "0", "--automatic", "off") == (
        "A build enters stable without a soak time, by hand."
    )
    assert "Say what changes" in refusal_of("set_channel", "stable")
    assert "between 0 and 365 days" in refusal_of("set_channel", "stable", "--soak", "366")
    for odd in ("nan", "inf", "banana"):
        assert "not a number of days" in refusal_of("set_channel", "stable", "--soak", odd)


@pytest.mark.django_db(transaction=True)
def test_a_refusal_is_one_line_on_standard_error_and_the_exit_status_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["manage.py"])

    with pytest.raises(SystemExit) as exit_:
        ManagementUtility(["manage.py", "report_smoke", "5.0", "passed"]).execute()

    printed = capsys.readouterr()
    assert exit_.value.code == 1
    assert printed.out == ""
    assert printed.err == "CommandError: No build 5.0 is registered.\n"


def test_a_database_that_does_not_answer_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(_version: str) -> Build:
        raise OperationalError("connection to server failed\n\tIs the server running?")

    monkeypatch.setattr("builds.management.commands.report_smoke.build_named", down)

    assert refusal_of("report_smoke", "5.0", "passed") == "The database does not answer: connection to server failed"
