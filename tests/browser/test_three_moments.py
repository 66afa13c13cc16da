"""The three moments that the product is for, in a real browser against the real pages."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from builds.maturity import Maturity
from builds.models import Build
from instances.models import Instance, TargetChange
from releasemgr.lib import clock
from tests.browser.conftest import SignIn
from tests.factories import make_build, make_host, make_instance, make_run, make_upgrade
from upgrades.choices import EndCode, Outcome, StepState, UpgradeState
from upgrades.models import LogChunk, Run, Step, Upgrade

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def fleet(transactional_db: None) -> Instance:
    """Stable is 4.19.6; 4.20.2 has been release for 15 days; one live site on stable, one test site on beta."""
    two_weeks_ago = clock.now() - timedelta(days=15)
    make_build("4.19.6", maturity=Maturity.STABLE)
    make_build("4.20.2", maturity=Maturity.RELEASE, channel_since=two_weeks_ago, changelog="- A new rota view.")
    host = make_host("app-dub-01")
    make_instance("novara-test", kind="test", runs="4.20.2", host=host)
    return make_instance("brightwater-ie-live", runs="4.19.6", host=host, target_channel_id="stable")


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
    LogChunk.objects.create(upgrade=upgrade, offset=0, at=began, data=check + health)
    _step(upgrade, 1, "Check the site", StepState.SUCCEEDED, 0, len(check))
    _step(upgrade, 8, "Health check", StepState.FAILED, len(check), len(check + health))
    return upgrade


def _step(upgrade: Upgrade, position: int, title: str, state: StepState, start: int, end: int) -> None:
    Step.objects.create(
        upgrade=upgrade, position=position, name=title.split()[0].lower(), title=title, phase="verify", state=state,
        started_at=upgrade.started_at, ended_at=upgrade.ended_at, log_start=start, log_end=end,
    )  # fmt: skip


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
        LogChunk.objects.create(upgrade=upgrade, offset=offset, at=now, data=piece)
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


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_every_page_fits_its_width_speaks_to_everyone_and_breaks_no_rule_of_its_own(
    sign_in: SignIn, live_server: LiveServer, last_night: Upgrade, administrator: User, width: int, theme: str
) -> None:
    """axe finds nothing, nothing overflows, and the console stays silent (a broken CSP would speak there)."""
    page = sign_in(administrator)
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    for path in pages_of(last_night):
        page.goto(live_server.url + path)
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{path} is {overflow} px too wide"
        assert axe_findings(page) == [], path
        assert said == [], path


def pages_of(upgrade: Upgrade) -> list[str]:
    return [
        "/", "/sites/", "/sites/?kind=live&version=4", "/sites/?host=typo", "/views/",
        "/sites/bulk/target/?kind=live&matching=1", "/sites/bulk/skip/?kind=test&matching=1",
        "/sites/bulk/tags/?site=brightwater-ie-live",
        "/sites/brightwater-ie-live/", "/sites/brightwater-ie-live/history/", "/builds/",
        "/builds/4.20.2/", "/builds/4.20.2/promote/stable/", "/builds/4.20.2/promote/alpha/",
        "/builds/4.20.2/withdraw/", "/search/?q=nothing", "/search/", "/runs/",
        f"/runs/{upgrade.run_id}/", "/runs/tonight/",
        f"/upgrades/{upgrade.pk}/", "/upgrades/now/?all=test", "/hosts/",
        "/hosts/app-dub-01/", "/customers/" + upgrade.instance.customer.slug + "/", "/search/?q=a", "/account/",
    ]  # fmt: skip


def axe_findings(page: Page) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    results = Axe().run(page, options={"resultTypes": ["violations"]}).response
    return [f"{one['id']}: {one['nodes'][0]['html'][:150]}" for one in results["violations"]]
