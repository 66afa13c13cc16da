"""The bar that says that nothing works in the background."""

from datetime import timedelta
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from releasemgr.lib.heartbeats.models import Heartbeat
from releasemgr.lib.heartbeats.services import CONTROL, SCHEDULE, UPGRADES, beat
from tests.factories import make_run, make_upgrade
from upgrades.choices import UpgradeState

PAGE = "/account/"
BAR = "fleet-bar bad"

pytestmark = pytest.mark.django_db


def silent_for(name: str, *, minutes: float) -> None:
    Heartbeat.objects.filter(name=name).update(at=Now() - timedelta(minutes=minutes))


def shown(client: Client, user: User, page: str = PAGE) -> str:
    client.force_login(user)
    return client.get(page).content.decode()


@pytest.mark.parametrize("role", ["stranger", "viewer", "administrator"])
def test_everyone_signed_in_reads_that_no_upgrade_worker_answers_and_what_to_do(
    client: Client, role: str, request: pytest.FixtureRequest
) -> None:
    silent_for(UPGRADES, minutes=3.5)

    html = shown(client, request.getfixturevalue(role))

    assert html.count(BAR) == 1
    assert "No upgrade worker has answered for 3 min." in html
    assert "<code>manage.py serve</code>" in html
    assert "<code>manage.py doctor</code>" in html


def test_it_is_gone_as_soon_as_a_worker_answers(client: Client, viewer: User) -> None:
    silent_for(UPGRADES, minutes=200)
    assert "No upgrade worker has answered for 3 h 20 min." in shown(client, viewer)

    beat(UPGRADES)

    assert BAR not in client.get(PAGE).content.decode()


def test_three_minutes_are_not_yet_silence(client: Client, viewer: User) -> None:
    for name in (CONTROL, SCHEDULE, UPGRADES):
        silent_for(name, minutes=2.9)

    assert BAR not in shown(client, viewer)


@pytest.mark.parametrize(
    ("silent", "words"),
    [
        ((CONTROL, SCHEDULE, UPGRADES), "No worker has answered for 4 min."),
        ((SCHEDULE, UPGRADES), "The schedule has not run for 4 min."),
        ((UPGRADES,), "No upgrade worker has answered for 4 min."),
    ],
)
def test_one_bar_names_the_first_that_is_silent(
    client: Client, viewer: User, silent: tuple[str, ...], words: str
) -> None:
    """While no control worker answers, nobody asks the upgrade workers."""
    for name in silent:
        silent_for(name, minutes=4)

    html = shown(client, viewer)

    assert html.count(BAR) == 1
    assert words in html


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (CONTROL, "No worker has answered yet."),
        (SCHEDULE, "The schedule has not run yet."),
        (UPGRADES, "No upgrade worker has answered yet."),
    ],
)
def test_a_new_installation_without_workers_says_so(client: Client, viewer: User, name: str, words: str) -> None:
    Heartbeat.objects.filter(name=name).update(at=None)

    assert words in shown(client, viewer)


def test_a_page_without_sign_in_does_not_tell(client: Client) -> None:
    silent_for(UPGRADES, minutes=4)

    with CaptureQueriesContext(connection) as asked:
        html = client.get("/sign-in/").content.decode()

    assert BAR not in html
    assert not [query for query in asked.captured_queries if "heartbeats" in query["sql"]]


def test_it_costs_a_page_one_query(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    with CaptureQueriesContext(connection) as asked:
        client.get(PAGE)

    assert len([query for query in asked.captured_queries if "heartbeats" in query["sql"]]) == 1


def test_a_page_that_is_left_open_on_a_run_tells_it_too(client: Client, viewer: User) -> None:
    run = make_run()
    upgrade = make_upgrade(run=run, state=UpgradeState.RUNNING)
    silent_for(UPGRADES, minutes=4)
    client.force_login(viewer)

    for path in (f"/runs/{run.pk}/", f"/upgrades/{upgrade.pk}/log/?after=0-1&steps=0"):
        html = client.get(path, headers={"hx-request": "true"}).content.decode()
        assert html.count('id="engine" hx-swap-oob="true"') == 1
        assert "No upgrade worker has answered for 4 min." in html
    assert client.get(f"/runs/{run.pk}/").content.decode().count('id="engine"') == 1


def test_a_run_on_which_nothing_changes_tells_it_when_the_workers_fall_silent(client: Client, viewer: User) -> None:
    run = make_run()
    client.force_login(viewer)
    seen = client.get(f"/runs/{run.pk}/").context["seen"]
    poll = partial(client.get, f"/runs/{run.pk}/?seen={seen}", headers={"hx-request": "true"})
    assert poll().status_code == 204

    silent_for(UPGRADES, minutes=4)

    answer = poll()
    assert answer.status_code == 200
    assert "No upgrade worker has answered for 4 min." in answer.content.decode()
