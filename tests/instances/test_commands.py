"""hold_site, end_hold, freeze and end_freeze."""

import pytest

from instances.models import Freeze, Hold
from instances.services import change_tags
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from tests.commands import json_of, refusal_of, text_of
from tests.factories import NOW, make_customer, make_instance

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

HOLD = ("hold_site", "acme", "globex", "--until", "2026-12-01T06:00", "--reason", "Audit")
WEEK = ("--from", "2026-11-30T18:00", "--until", "2026-12-01T06:00", "--reason", "Books")


@pytest.fixture(autouse=True)
def sites() -> None:
    acme = make_instance("acme", customer=make_customer("Acme"))
    make_instance("globex")
    change_tags([acme], add=["canary"], actor=COMMAND, now=NOW)


def test_hold_site_holds_every_site_named_and_end_hold_lets_them_go() -> None:
    assert text_of(*HOLD).splitlines() == [
        "acme: held from 23 Nov 12:00 until 1 Dec 06:00.",
        "globex: held from 23 Nov 12:00 until 1 Dec 06:00.",
    ]
    ended = json_of("end_hold", "acme", "--reason", "Done")["ended"]

    held = Hold.objects.get(instance__slug="acme")
    assert ended == [{
        "hold": held.pk, "site": "acme", "starts_at": "2026-11-23T12:00:00+00:00",
        "ends_at": "2026-12-01T06:00:00+00:00", "ended_at": "2026-11-23T12:00:00+00:00", "reason": "Audit",
    }]  # fmt: skip
    assert text_of("end_hold", "acme") == "No site was held."
    assert Hold.objects.get(instance__slug="globex").ended_at is None


def test_hold_site_refuses_in_one_line_and_holds_none() -> None:
    assert refusal_of(*HOLD[:2], "nobody", *HOLD[3:]) == "No site is named nobody."
    assert refusal_of(*HOLD[:4], "2026-11-01", *HOLD[5:]) == "ends_at: The end has to be after the start."
    assert refusal_of(*HOLD[:-1], " ") == "reason: The reason is missing."
    assert "is not a time" in refusal_of(*HOLD[:4], "tomorrow", *HOLD[5:])
    assert not Hold.objects.exists()


def test_freeze_keeps_the_hours_of_its_zone_and_end_freeze_ends_it() -> None:
    said = json_of(
        "freeze", "Month end", "--live", *WEEK, "--zone", "America/New_York", "--repeats", "FREQ=MONTHLY;BYMONTHDAY=-1"
    )

    number = Freeze.objects.get().pk
    assert said == {
        "freeze": number, "name": "Month end", "scope": "live", "customer": None, "tag": None,
        "starts_at": "2026-11-30T23:00:00+00:00", "ends_at": "2026-12-01T11:00:00+00:00",
        "repeats": "FREQ=MONTHLY;BYMONTHDAY=-1", "zone": "America/New_York", "ended_at": None, "reason": "Books",
    }  # fmt: skip
    assert text_of("end_freeze", number) == "Month end is over."
    assert not json_of("end_freeze", number)["ended"]
    assert [change.kind for change in Change.objects.filter(subject_type="freeze")] == [
        "freeze.ended", "freeze.opened",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("scope", "words"),
    [(["--customer", "acme"], "customer Acme"), (["--tag", "canary"], "tag canary"), (["--all"], "all sites")],
)
def test_freeze_takes_one_scope(scope: list[str], words: str) -> None:
    assert words in text_of("freeze", "Week", *scope, *WEEK)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--customer", "nobody"], "No customer is named nobody."),
        (["--tag", "nothing"], "No site has ever had the tag nothing."),
        (["--all", "--zone", "Mars"], "zone: “Mars” is not a time zone."),
        (["--all", "--repeats", "daily"], "repeats: “daily” is not how something repeats."),
        (["--all", "--live"], "not allowed with"),
        ([], "is required"),
    ],
)
def test_freeze_refuses_in_one_line_and_freezes_nothing(arguments: list[str], words: str) -> None:
    assert words in refusal_of("freeze", "Week", *arguments, *WEEK)
    assert refusal_of("end_freeze", 1) == "There is no freeze 1."
    assert not Freeze.objects.exists()
