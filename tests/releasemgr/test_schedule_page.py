"""Settings, schedule and waves: what they do to tonight before they are saved, and their history."""

from datetime import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from builds.maturity import Maturity
from instances.models import SiteWindow
from instances.services import set_windows, windows_of
from instances.window_text import format_windows, parse_windows
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from releasemgr.pages.wave_rows import opening_words
from tests.factories import NOW, make_build, make_instance
from upgrades.models import Policy, Schedule
from upgrades.services.policy import change_policy

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

HTMX = {"HX-Request": "true"}
PAGE = "/settings/schedule/"
FORM = {
    "start": "01:00", "end": "05:00", "windows": "", "canary_share": "10", "canary_tag": "canary", "wave_sizes": "25 %",
    "wave_pause_min": "0", "max_parallel": "20", "halt_share": "10", "halt_minimum": "2", "halt_canaries": "1",
    "halt_same": "3", "hold_on_blockers": "on", "seen": "0,0,0",
}  # fmt: skip
NIGHTS = "Mon-Fri 01:00-04:00 Europe/Dublin"


@pytest.fixture
def fleet() -> None:
    """Ten live sites and a test site that tonight upgrades, and one that is open in Auckland only."""
    make_build("4.2", maturity=Maturity.RELEASE)
    for number in range(10):
        make_instance(f"live-{number}", runs="4.1")
    make_instance("test", runs="4.1", kind="test", target_channel_id="release")
    far = make_instance("far", runs="4.1")
    set_windows(far, parse_windows("daily 01:00-04:00 Pacific/Auckland"), actor=COMMAND, now=NOW)


@pytest.fixture
def writer(client: Client, release_manager: User) -> Client:
    client.force_login(release_manager)
    return client


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def unchanged() -> bool:
    policy, schedule = Policy.objects.get(), Schedule.objects.get()
    rows = (policy.canary_share, policy.halt_share, schedule.start, schedule.end)
    return rows == (10, 10, time(1), time(5)) and not SiteWindow.objects.filter(instance=None).exists()


@pytest.mark.usefixtures("fleet")
def test_the_page_shows_tonights_waves_and_who_has_no_turn(writer: Client) -> None:
    answer = writer.get(PAGE)

    assert [(wave.who, wave.sites, wave.halts) for wave in answer.context["waves"]] == [
        ("Test sites", 1, "too small to halt by its failures"),
        ("Canaries of the live sites", 1, "halts at the first failure"),
        ("Live sites", 3, "halts above 1 failure"), ("Live sites", 6, "halts above 1 failure"),
    ]  # fmt: skip
    assert {wave.opens for wave in answer.context["waves"]} == {"from 01:00 in UTC"}
    assert "in no night of a week" in text(answer)


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, ["The same sites upgrade tonight.", "The waves stay as they are"]),
        ({"canary_share": "50"}, ["Waves after the change", "Canaries of the live sites</b>, 5 sites"]),
        ({"wave_sizes": "2, 50 %"}, ["Live sites</b>, 5 sites"]),
        ({"halt_minimum": "1"}, ["Waves after the change", "halts at the first failure"]),
        ({"windows": "Sun 01:00-04:00 UTC"}, ["11 sites do not upgrade tonight.", "Sun 29 Nov 01:00", "live-0"]),
        ({"windows": NIGHTS}, ["from 01:00 in Dublin"]),
        ({"start": "22:00", "end": "21:30"}, ["1 site more upgrades tonight.", "from 01:00 in Auckland"]),
        ({"start": "22:00"}, ["The next night is"]),
        ({"end": "01:00"}, ["A night ends at another time than it starts."]),
        ({"halt_share": "101"}, ["less than or equal to 100"]),
        ({"wave_sizes": "five"}, ["“five” is not a size."]),
        ({"windows": "at night"}, ["this is not a window"]),
        ({"start": "soon"}, ["Enter a valid time."]),
    ],
)  # fmt: skip
def test_t3_a_change_says_what_it_does_to_tonight_and_saves_nothing(
    writer: Client, values: dict[str, str], said: list[str]
) -> None:
    answer = writer.get(PAGE, FORM | values, headers=HTMX)

    assert answer.status_code == 200
    assert [words for words in said if words not in text(answer)] == []
    assert "<h1" not in text(answer)
    assert unchanged()


def test_a_change_is_saved_with_its_history_and_wakes_the_night_at_its_new_time(writer: Client) -> None:
    sent = {"start": "23:00", "end": "06:30", "windows": f"{NIGHTS}\n\nSun 02:00-05:00 UTC", "canary_share": "20"}

    answer = writer.post(PAGE, FORM | sent | {"reason": "Ticket 7"}, follow=True)

    policy, schedule = Policy.objects.get(), Schedule.objects.get()
    assert (policy.canary_share, schedule.start, schedule.end) == (20, time(23), time(6, 30))
    assert format_windows(windows_of(None)) == f"{NIGHTS}; Sun 02:00-05:00 UTC"
    changes = Change.objects.filter(reason="Ticket 7")
    assert {change.kind for change in changes} == {"policy.changed", "schedule.changed", "window.changed"}
    assert "Saved. It acts on what has not begun." in text(answer)
    assert text(answer).count("Ticket 7") == 3
    form = answer.context["form"]
    again = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    assert "Nothing was changed." in text(writer.post(PAGE, again | {"reason": ""}, follow=True))
    assert Change.objects.filter(kind__contains="changed").count() == 3


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"end": "01:00"}, "end"), ({"canary_share": "-1"}, "canary_share"), ({"canary_share": "101"}, "canary_share"),
        ({"max_parallel": "0"}, "max_parallel"), ({"halt_same": "1"}, "halt_same"),
        ({"halt_minimum": "0"}, "halt_minimum"),
        ({"wave_sizes": "0 %"}, "wave_sizes"), ({"wave_pause_min": "721"}, "wave_pause_min"),
        ({"windows": "Mon 01:00-01:10 UTC"}, "windows"), ({"canary_tag": "no slug"}, "canary_tag"),
        ({"halt_share": ""}, "halt_share"),
    ],
)  # fmt: skip
def test_what_is_refused_stands_beside_its_field_and_nothing_is_saved(
    writer: Client, values: dict[str, str], field: str
) -> None:
    answer = writer.post(PAGE, FORM | values | {"canary_share": values.get("canary_share", "33")})

    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert unchanged()


@pytest.mark.parametrize("theirs", ["policy", "windows"])
def test_t7_the_second_of_two_people_is_refused_and_shown_what_the_first_did(writer: Client, theirs: str) -> None:
    if theirs == "policy":
        change_policy({"max_parallel": 7}, actor=COMMAND, now=NOW)
    else:
        set_windows(None, parse_windows(NIGHTS), actor=COMMAND, now=NOW)
    SiteWindow.objects.filter(instance=None).delete()

    answer = writer.post(PAGE, FORM | {"halt_share": "44", "start": "02:00"})

    assert answer.status_code == 409
    assert "Nothing was saved." in text(answer)
    assert ("7" if theirs == "policy" else NIGHTS) in text(answer)
    assert 'value="44"' in text(answer)
    assert unchanged()


def test_without_script_a_button_previews(writer: Client) -> None:
    answer = writer.post(PAGE, FORM | {"halt_share": "44", "preview": "1"})

    assert answer.status_code == 200
    assert "The same sites upgrade tonight." in text(answer)
    assert unchanged()


def test_who_may_look_and_who_may_change(client: Client, support: User, stranger: User) -> None:
    assert client.get(PAGE)["Location"].startswith("/sign-in/?next=")
    client.force_login(stranger)
    assert client.get(PAGE).status_code == 403
    client.force_login(support)
    assert "that needs Release manager" in text(client.get(PAGE))

    answer = client.post(PAGE, FORM | {"halt_share": "44"})

    assert answer.status_code == 403
    assert "Release manager" in text(answer)
    assert unchanged()


def test_the_page_costs_the_same_queries_for_any_fleet(writer: Client) -> None:
    counts = []
    for number in (2, 20):
        for _each in range(number):
            set_windows(make_instance(runs="4.1"), parse_windows(NIGHTS), actor=COMMAND, now=NOW)
        with CaptureQueriesContext(connection) as queries:
            assert writer.get(PAGE).status_code == 200
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_p4_a_wave_opens_in_each_zone_by_its_own_clock() -> None:
    zones = ["Europe/Dublin", "Europe/Paris"]

    assert opening_words(NOW, zones) == "from 12:00 in Dublin, 13:00 in Paris"
    assert (
        opening_words(NOW, [*zones, "UTC", "Asia/Kolkata"])
        == "from 12:00 in Dublin, 17:30 in Kolkata, 13:00 in Paris, 1 more zones"
    )
