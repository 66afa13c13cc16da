"""A real Chromium against the real pages."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from builds.maturity import Maturity
from builds.models import Build
from instances.models import Instance
from releasemgr.lib import clock
from tests.conftest import CHROMIUMS, found
from tests.factories import make_build, make_host, make_instance, make_run, make_upgrade
from upgrades.choices import EndCode, Outcome, StepState
from upgrades.models import LogChunk, Step, Upgrade

PASSWORD = "correct horse"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

SignIn = Callable[[User], Page]


@pytest.fixture(scope="session", autouse=True)
def database_beside_a_loop() -> None:
    """Playwright keeps an event loop in the tests' thread to the end; Django would refuse the database there."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    return {**browser_type_launch_args, "executable_path": found(CHROMIUMS), "args": QUIET}


@pytest.fixture
def sign_in(page: Page, live_server: LiveServer, transactional_db: None) -> SignIn:
    """Signs a person in through the page and answers with the browser's page, on Overview."""

    def as_person(user: User) -> Page:
        page.goto(f"{live_server.url}/sign-in/")
        page.get_by_label("Username").fill(user.username)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{live_server.url}/")
        return page

    return as_person


@pytest.fixture
def fleet(transactional_db: None) -> Instance:
    """Stable is 4.19.6; 4.20.2 has been release for 15 days; one live site on stable, one test site on beta."""
    two_weeks_ago = clock.now() - timedelta(days=15)
    make_build("4.19.6", maturity=Maturity.STABLE)
    make_build("4.20.2", maturity=Maturity.RELEASE, channel_since=two_weeks_ago, changelog="- A new rota view.")
    host = make_host("app-dub-01")
    make_instance("novara-test", kind="test", runs="4.20.2", host=host)
    return make_instance("brightwater-ie-live", runs="4.19.6", host=host, target_channel_id="stable")


@pytest.fixture
def last_night(fleet: Instance) -> Upgrade:
    """One upgrade of last night that rolled back at its health check."""
    began = clock.now() - timedelta(hours=8)
    ended = began + timedelta(minutes=6)
    run = make_run(
        date=began.date(), starts_at=began, ends_at=began + timedelta(hours=4), planned_at=began, ended_at=ended
    )
    upgrade = make_upgrade(
        run=run, instance=fleet, build=Build.objects.get(version="4.20.2"), outcome=Outcome.ROLLED_BACK,
        started_at=began, ended_at=ended, end_code=EndCode.STEP_FAILED, first_error_line=4,
        first_error="GET /login/ returned 502 Bad Gateway",
        end_values={"step": "Health check", "from": "4.19.6", "to": "4.20.2", "host": "app-1", "reported": "4.19.6"},
    )  # fmt: skip
    check, health = b"$ check\nThe site is fine.\n", b"$ health\nGET /login/ returned 502 Bad Gateway\n"
    LogChunk.of(upgrade, 0, check + health, began).save()
    _step(upgrade, 1, "Check the site", StepState.SUCCEEDED, 0, len(check))
    _step(upgrade, 8, "Health check", StepState.FAILED, len(check), len(check + health))
    return upgrade


def _step(upgrade: Upgrade, position: int, title: str, state: StepState, start: int, end: int) -> None:
    Step.objects.create(
        upgrade=upgrade, position=position, name=title.split()[0].lower(), title=title, phase="verify", state=state,
        started_at=upgrade.started_at, ended_at=upgrade.ended_at, log_start=start, log_end=end,
    )  # fmt: skip
