"""set_policy, set_schedule and set_windows."""

import pytest

from instances.models import SiteWindow
from releasemgr.lib.history.models import Change
from tests.commands import json_of, refusal_of, text_of
from tests.factories import make_instance
from upgrades.models import Policy, Schedule

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def test_set_policy_sets_what_is_named_and_says_the_rest() -> None:
    said = json_of("set_policy", "--canaries", 20, "--waves", "5, 25 %", "--blockers", "go", "--reason", "Ticket 7")

    assert said["changed"] is True
    assert said["policy"] == {
        "canary_share": 20, "canary_tag": "canary", "wave_sizes": "5, 25 %", "wave_pause_min": 0, "max_parallel": 20,
        "halt_share": 10, "halt_minimum": 2, "halt_canaries": 1, "halt_same": 3, "hold_on_blockers": False,
    }  # fmt: skip
    assert Change.objects.get().reason == "Ticket 7"
    assert text_of("set_policy", "--canaries", 20).endswith("Nothing changed.")
    assert text_of("set_policy").splitlines()[0] == (
        "Canaries: 20 % of the live sites of each window and those tagged canary."
    )  # fmt: skip
    assert Change.objects.count() == 1


def test_set_policy_refuses_in_a_sentence_and_changes_nothing() -> None:
    assert "“five” is not a size." in refusal_of("set_policy", "--waves", "five", "--canaries", 33)
    assert "100" in refusal_of("set_policy", "--share", 101)
    assert refusal_of("set_policy", "--reason", "Ticket 7") == "Say what changes."
    assert Policy.objects.get().canary_share == 10
    assert not Change.objects.exists()


def test_set_schedule_moves_the_nights() -> None:
    said = json_of("set_schedule", "--start", "22:00", "--end", "21:30")

    assert said == {
        "changed": True, "start": "22:00", "end": "21:30",
        "next_night": {
            "date": "2026-11-23", "starts_at": "2026-11-23T22:00:00+00:00", "ends_at": "2026-11-24T21:30:00+00:00",
        },
    }  # fmt: skip
    assert text_of("set_schedule", "--start", "22:00") == "Nights run from 22:00 to 21:30, UTC.\nNothing changed."
    assert refusal_of("set_schedule", "--end", "22:00") == "A night ends at another time than it starts."
    assert refusal_of("set_schedule") == "Say what changes: --start or --end."
    assert "is not a time of the day" in refusal_of("set_schedule", "--start", "soon")
    assert f"{Schedule.objects.get()}" == "22:00 to 21:30"


def test_set_windows_gives_sites_their_own_and_the_rest_the_default() -> None:
    make_instance("acme")
    make_instance("bolt")

    said = json_of("set_windows", "acme", "bolt", "--windows", "Mon-Fri 01:00-04:00 Europe/Dublin")
    assert said == {
        "windows": [
            {"site": name, "windows": ["Mon-Fri 01:00-04:00 Europe/Dublin"], "changed": True}
            for name in ("acme", "bolt")
        ]
    }
    assert text_of("set_windows", "--default", "--windows", "daily 02:00-05:00 UTC") == (
        "Default: Mon-Sun 02:00-05:00 UTC."
    )  # fmt: skip
    assert text_of("set_windows", "acme", "--windows", "") == "acme: no windows of its own."
    assert text_of("set_windows", "acme", "--windows", "") == "acme: no windows of its own. Nothing changed."
    assert SiteWindow.objects.count() == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["acme", "--windows", "Mon"], "this is not a window"),
        (["acme", "nobody", "--windows", "daily 02:00-05:00 UTC"], "No site is named nobody."),
        (["--windows", "daily 02:00-05:00 UTC"], "Name the sites, or give --default."),
        (["acme", "--default", "--windows", "daily 02:00-05:00 UTC"], "Name the sites, or give --default."),
    ],
)
def test_set_windows_refuses_and_changes_nothing(arguments: list[str], said: str) -> None:
    make_instance("acme")

    assert said in refusal_of("set_windows", *arguments)
    assert not SiteWindow.objects.exists()
