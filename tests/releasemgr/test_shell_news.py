"""The chips and the counts of the shell."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from builds.maturity import Maturity
from instances.models import Target
from instances.services import open_freeze, set_target
from releasemgr.lib.actors import COMMAND
from tests.factories import NOW, make_build, make_host, make_instance, make_run, make_upgrade
from upgrades.choices import Outcome, UpgradeState
from upgrades.services.halts import halt_run
from upgrades.services.policy import switch_nights_off

PAGE = "/account/"
LOCAL_MEMORY = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "shell"}}

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def shown(client: Client, user: User) -> str:
    client.force_login(user)
    return client.get(PAGE).content.decode()


def test_the_chips_say_what_runs_and_what_tonight_does(client: Client, viewer: User) -> None:
    make_build("4.2", maturity=Maturity.RELEASE)
    make_instance(runs="4.1")
    running = make_upgrade(state=UpgradeState.RUNNING, started_at=NOW)

    html = shown(client, viewer)

    assert "1 upgrade running" in html
    assert f'href="/upgrades/{running.pk}/"' in html
    assert "Tonight 01:00, 1 upgrade" in html


def test_nothing_that_runs_has_no_chip(client: Client, viewer: User) -> None:
    make_upgrade(outcome=Outcome.SUCCEEDED)

    html = shown(client, viewer)

    assert "running" not in html
    assert "Tonight 01:00, 0 upgrades" in html


def test_a_count_stands_beside_what_someone_should_look_at(client: Client, viewer: User) -> None:
    make_host(failing_since=NOW, failure="No answer.")
    make_host(offered_key="ssh-ed25519 AAAA", offered_at=NOW)
    make_instance()
    make_upgrade(outcome=Outcome.NEEDS_A_PERSON)

    html = shown(client, viewer)

    assert '<span class="bad">2<span class="visually-hidden"> ask for a person</span></span>' in html
    assert '<span class="bad">1<span class="visually-hidden"> needs a person</span></span>' in html
    assert '<span class="count">2</span>' in html


def test_a_missed_night_stands_beside_the_runs(client: Client, viewer: User) -> None:
    make_run(date=(NOW - timedelta(days=1)).date(), missed=True, ended_at=NOW)

    assert '<span class="bad">missed</span>' in shown(client, viewer)


def test_whoever_may_not_see_the_fleet_sees_nothing_of_it(client: Client, stranger: User) -> None:
    make_instance()

    html = shown(client, stranger)

    assert "Tonight" not in html
    assert '<span class="count">' not in html


def test_a_page_without_sign_in_asks_nothing_of_the_fleet(client: Client) -> None:
    with CaptureQueriesContext(connection) as asked:
        client.get("/sign-in/")

    assert not [query for query in asked.captured_queries if "upgrades_" in query["sql"]]


def test_the_news_are_gathered_once_in_a_while(client: Client, viewer: User, settings: Settings) -> None:
    settings.CACHES = LOCAL_MEMORY
    cache.clear()
    make_instance()
    assert '<span class="count">1</span>' in shown(client, viewer)
    make_instance()

    with CaptureQueriesContext(connection) as asked:
        html = client.get(PAGE).content.decode()

    assert '<span class="count">1</span>' in html
    assert not [query for query in asked.captured_queries if "instances_instance" in query["sql"]]
    cache.clear()
    assert '<span class="count">2</span>' in client.get(PAGE).content.decode()
    cache.clear()


def test_a_changed_target_shows_at_once_in_what_tonight_does(client: Client, viewer: User, settings: Settings) -> None:
    """T3: what was just saved is never shown as it was before."""
    settings.CACHES = LOCAL_MEMORY
    cache.clear()
    make_build("4.1", maturity=Maturity.STABLE)
    make_build("4.2", maturity=Maturity.RELEASE)
    site = make_instance(runs="4.1", target_channel_id="stable")
    assert "0 upgrades" in shown(client, viewer)

    set_target(site, Target(channel="release"), actor=COMMAND, now=NOW)

    assert "1 upgrade" in client.get(PAGE).content.decode()
    cache.clear()


def test_p5_nights_that_are_off_stand_above_every_page_at_once(
    client: Client, viewer: User, settings: Settings
) -> None:
    settings.CACHES = LOCAL_MEMORY
    cache.clear()
    assert "Nights are switched off." not in shown(client, viewer)

    switch_nights_off(actor=COMMAND, now=NOW, reason="Audit.")

    html = client.get(PAGE).content.decode()
    assert "Nights are switched off." in html
    assert "Since 23 Nov 12:00, by the command line: “Audit.”." in html
    assert "Nights are off" in html
    cache.clear()


def test_p8_a_frozen_fleet_stands_above_every_page_while_it_is_frozen(client: Client, viewer: User) -> None:
    values = {"name": "Year end", "zone": "UTC", "reason": "Books", "ends_at": NOW + timedelta(days=3)}
    open_freeze(values | {"scope": "all", "starts_at": NOW}, actor=COMMAND, now=NOW)
    open_freeze(values | {"scope": "live", "starts_at": NOW + timedelta(hours=1)}, actor=COMMAND, now=NOW)

    html = shown(client, viewer)

    assert "All sites are frozen until 26 Nov 12:00." in html
    assert "All live sites are frozen" not in html, "a future freeze has no effect today"


def test_p5_a_halted_run_stands_beside_the_runs(client: Client, viewer: User) -> None:
    run = make_run()
    make_upgrade(outcome=Outcome.NEEDS_A_PERSON, run=run)
    halt_run(run, actor=COMMAND, now=NOW, reason="Stop.")

    assert '<span class="bad">halted</span>' in shown(client, viewer)
