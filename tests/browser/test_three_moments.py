"""The three moments that the product is for, in a real browser against the real pages."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from builds.maturity import Maturity
from builds.models import Build
from instances.models import Instance, TargetChange
from releasemgr.lib import clock
from tests.browser.conftest import SignIn
from tests.factories import make_upgrade
from upgrades.choices import EndCode, Outcome, StepState, UpgradeState
from upgrades.models import LogChunk, Run, Step, Upgrade

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_support_changes_a_target_and_sees_tonight_change(
    sign_in: SignIn, live_server: LiveServer, fleet: Instance, support: User
) -> None:
    """T3: the customer is on the phone."""
    page = sign_in(support)
    page.get_by_role("searchbox", name="Search").fill("brightwater")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="brightwater-ie-live").click()
    expect(page.get_by_role("heading", name="brightwater-ie-live")).to_be_visible()
    expect(page.locator("main")).to_contain_text("On target")

    page.locator("label", has_text="release").first.click()
    expect(page.get_by_text("If saved:").first).to_be_visible()
    expect(page.locator("main")).to_contain_text("4.20.2")
    page.locator("#reason").fill("Customer wants the new rota view, ticket 48377")
    page.get_by_role("button", name="Save target").click()

    expect(page.locator("main")).to_contain_text("Upgrade to 4.20.2")
    expect(page.locator("main")).to_contain_text("ticket 48377")
    page.goto(f"{live_server.url}/runs/tonight/")
    expect(page.get_by_role("link", name="brightwater-ie-live").first).to_be_visible()
    change = TargetChange.objects.get()
    assert (change.by, change.to_channel_id, change.origin) == (support, "release", "page")
    assert not Run.objects.exists()


def test_the_release_manager_promotes_to_stable_and_sees_what_that_moves(
    sign_in: SignIn, live_server: LiveServer, fleet: Instance, release_manager: User
) -> None:
    """R5, R11, P1."""
    page = sign_in(release_manager)
    page.get_by_role("link", name="Review promotion").click()
    expect(page.get_by_role("heading", name="Promote 4.20.2 to stable")).to_be_visible()
    expect(page.get_by_role("link", name="brightwater-ie-live")).to_be_visible()
    expect(page.locator("main")).to_contain_text("14 days in release")
    page.get_by_role("button", name="Promote to stable, upgrade 1 site tonight").click()

    page.wait_for_load_state()
    build = Build.objects.get(version="4.20.2")
    assert build.stage is Maturity.STABLE
    assert build.promotions.get().by == release_manager
    page.goto(f"{live_server.url}/runs/tonight/")
    expect(page.get_by_role("link", name="brightwater-ie-live").first).to_be_visible()


def test_someone_reads_last_nights_results_and_the_line_that_says_why(
    sign_in: SignIn, last_night: Upgrade, viewer: User
) -> None:
    page = sign_in(viewer)
    card = page.locator("section", has=page.get_by_role("heading", name="Last night"))
    expect(card).to_contain_text("GET /login/ returned 502 Bad Gateway")
    card.get_by_role("link", name="Log, line 4").click()
    expect(page.get_by_role("heading", name="brightwater-ie-live")).to_be_visible()
    expect(page.locator("main")).to_contain_text("The site is up on 4.19.6 again.")
    expect(page.locator("#L4")).to_be_visible()
    expect(page.locator("#L4")).to_contain_text("502 Bad Gateway")
    page.get_by_role("link", name=f"Run #{last_night.run_id}").click()
    expect(page.get_by_role("heading", name="Night of")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Rolled back")


def test_a_running_log_grows_on_the_page_and_ends_with_the_outcome(
    sign_in: SignIn, live_server: LiveServer, fleet: Instance, viewer: User
) -> None:
    """U3 as the reader sees it: no line lost or doubled, also one that came in two pieces."""
    now = clock.now()
    upgrade = make_upgrade(
        instance=fleet, build=Build.objects.get(version="4.20.2"), state=UpgradeState.RUNNING, started_at=now
    )
    Step.objects.create(
        upgrade=upgrade, position=5, name="migrate", title="Migrate", phase="change", state=StepState.RUNNING,
        started_at=now, log_start=0,
    )  # fmt: skip
    pieces = [b"$ migrate\nfirst line\nsecond ", "line – whole\nthird".encode(), b" line\nlast line\n"]
    offset = 0
    page = sign_in(viewer)
    for number, piece in enumerate(pieces):
        LogChunk.of(upgrade, offset, piece, now).save()
        offset += len(piece)
        if number == 0:
            page.goto(f"{live_server.url}/upgrades/{upgrade.pk}/")
            expect(page.locator("main")).to_contain_text("first line")
        else:
            expect(page.locator("main")).to_contain_text(piece.decode().splitlines()[0].strip(), timeout=10_000)
    expect(page.locator("main")).to_contain_text("last line", timeout=10_000)
    for line in ("first line", "second line – whole", "third line", "last line"):
        expect(page.locator(".ln", has_text=line)).to_have_count(1, timeout=10_000)
    upgrade.end(Outcome.SUCCEEDED, EndCode.DONE, now=now)
    expect(page.locator("h1")).to_contain_text("Succeeded", timeout=10_000)
