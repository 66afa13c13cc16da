"""Every page fits its width, is usable by everyone, and says nothing on the console."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.urls import URLPattern, URLResolver, get_resolver
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from builds.models import Build
from instances.models import HostAuthority, Instance, Target
from instances.services import open_freeze, open_hold, set_targets
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from releasemgr.models import SavedView
from tests.browser.conftest import SignIn
from tests.factories import HOST_KEY, make_host, make_instance, make_problem, make_run, make_upgrade
from upgrades.choices import EndCode, HaltEnd, Outcome, UpgradeState
from upgrades.models import RunHalt, Upgrade

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
NO_PAGES = {
    "sign-in", "sign-out", "change-password", "set-theme", "sites-csv", "pins-csv", "activity-csv", "activity-json",
    "first-view",
    "saved-view", "site-target", "site-skip", "site-ask", "host-key", "host-scan",
    "host-scanning", "snooze", "upgrade-ask",
    "upgrade-unlock", "upgrade-log", "upgrade-raw",
}  # fmt: skip
"""What answers without a page of its own: acts, files and fragments."""


@pytest.fixture
def addresses(last_night: Upgrade, administrator: User) -> dict[str, list[str]]:
    """By the name of their URL, pages with something of everything on them."""
    now, site, run = clock.now(), last_night.instance, last_night.run
    build = last_night.build
    problem = make_problem(build, severity="minor")
    closed = make_problem(Build.objects.get(version="4.19.6"), fixed_in=build)
    term = {"starts_at": now + timedelta(days=2), "ends_at": now + timedelta(days=3), "zone": "Europe/Dublin"}
    freeze = open_freeze(
        term | {"name": "Year end", "scope": "live", "reason": "Audit"}, actor=COMMAND, now=now
    )  # fmt: skip
    held = make_instance("held-live", runs="4.19.6", host=site.host, target_channel_id="stable")
    hold = open_hold(
        held, ends_at=now + timedelta(days=9), reason="Move", actor=Actor(Origin.PAGE, administrator), now=now
    )  # fmt: skip
    make_host("app-new", host_key="", offered_key=HOST_KEY, offered_at=now)
    halted = make_run(reason="Now")
    RunHalt.objects.create(run=halted, at=now, code="person", reason="The mail server is down.")
    make_upgrade(run=halted, instance=make_instance("waits-live", runs="4.19.6", host=site.host), build=build)
    kept = make_run(reason="Then", ended_at=now)
    halt = RunHalt.objects.create(run=kept, at=now, code="canary", end=HaltEnd.RUN_OVER, ended_at=now, values={
        "failed": 1, "planned": 1, "wave": 1, "limit": 1,
    })  # fmt: skip
    halt.builds.add(build)
    silent = make_host("app-gone", failing_since=now, failure="No route to host.")
    begun = make_upgrade(
        instance=make_instance("gone-live", runs="4.19.6", host=silent), build=build, state=UpgradeState.RUNNING,
        started_at=now,
    )  # fmt: skip
    doubt = make_upgrade(
        instance=make_instance("doubt-live", runs="4.19.6", host=site.host), build=build, started_at=now,
        outcome=Outcome.NEEDS_A_PERSON, end_code=EndCode.RUNNER_GONE, end_values={"step": "Migrate"}, ended_at=now,
    )  # fmt: skip
    make_instance("marked-live", runs="4.19.6", host=site.host, foreign_mark=f"{uuid4()} 7 other-live")
    authority = HostAuthority.objects.create(names="*.example.net", key=HOST_KEY, added_at=now, reason="Ours")
    SavedView.objects.create(name="Ours", query="kind=live", owner=administrator)
    first, last = _acted(administrator)
    customer = site.customer.slug
    return {
        "account": ["/account/"],
        "overview": ["/"],
        "sites": ["/sites/", "/sites/?kind=live&version=4", "/sites/?host=typo"],
        "saved-views": ["/views/"],
        "bulk": [f"/sites/bulk/{act}/?site={site.slug}&site=held-live" for act in ("target", "hold", "skip", "tags")],
        "bulk-undo": [f"/sites/bulk/undo/{first}-{last}/"],
        "site-new": ["/sites/new/"],
        "pins": ["/sites/pins/"],
        "site": [f"/sites/{site.slug}/", "/sites/held-live/", "/sites/doubt-live/"],
        "site-directory": ["/sites/marked-live/directory/"],
        "site-edit": [f"/sites/{site.slug}/edit/"],
        "site-delete": [f"/sites/{site.slug}/delete/"],
        "site-hold": [f"/sites/{site.slug}/hold/"],
        "hold-extend": [f"/sites/held-live/holds/{hold.pk}/extend/"],
        "hold-end": [f"/sites/held-live/holds/{hold.pk}/end/"],
        "site-retry": [f"/sites/{site.slug}/retry/{last_night.pk}/"],
        "site-history": [f"/sites/{site.slug}/history/"],
        "customer-new": ["/customers/new/"],
        "customer": [f"/customers/{customer}/"],
        "customer-edit": [f"/customers/{customer}/edit/"],
        "customer-delete": [f"/customers/{customer}/delete/"],
        "upgrade-now": ["/upgrades/now/?all=test"],
        "hosts": ["/hosts/"],
        "host-new": ["/hosts/new/"],
        "host": ["/hosts/app-dub-01/", "/hosts/app-new/"],
        "host-authorities": ["/hosts/authorities/"],
        "host-authority-remove": [f"/hosts/authorities/{authority.pk}/remove/"],
        "host-edit": ["/hosts/app-dub-01/edit/"],
        "host-delete": ["/hosts/app-dub-01/delete/"],
        "tonight": ["/runs/tonight/"],
        "runs": ["/runs/"],
        "nights": ["/runs/nights/"],
        "run": [f"/runs/{run.pk}/", f"/runs/{halted.pk}/"],
        "run-halt": [f"/runs/{begun.run_id}/halt/"],
        "run-resume": [f"/runs/{halted.pk}/resume/"],
        "run-end": [f"/runs/{halted.pk}/end/"],
        "run-release": [f"/runs/{kept.pk}/release/"],
        "run-retry": [f"/runs/{run.pk}/retry/"],
        "upgrade": [f"/upgrades/{last_night.pk}/", f"/upgrades/{begun.pk}/", f"/upgrades/{doubt.pk}/"],
        "upgrade-cancel": [f"/upgrades/{begun.pk}/cancel/"],
        "upgrade-give-up": [f"/upgrades/{begun.pk}/give-up/"],
        "upgrade-go-back": [f"/upgrades/{doubt.pk}/go-back/"],
        "activity": ["/activity/"],
        "freezes": ["/freezes/"],
        "freeze-new": ["/freezes/new/"],
        "freeze": [f"/freezes/{freeze.pk}/"],
        "freeze-change": [f"/freezes/{freeze.pk}/change/"],
        "freeze-end": [f"/freezes/{freeze.pk}/end/"],
        "calendar": ["/calendar/"],
        "schedule": ["/settings/schedule/"],
        "limits": ["/settings/limits/", "/settings/limits/?tag=canary"],
        "search": ["/search/", "/search/?q=a", "/search/?q=nothing"],
        "builds": ["/builds/"],
        "build-changes": ["/builds/changes/", "/builds/changes/?from=4.19.6&to=4.20.2"],
        "build": ["/builds/4.20.2/"],
        "promote": ["/builds/4.20.2/promote/stable/", "/builds/4.20.2/promote/alpha/"],
        "withdraw": ["/builds/4.20.2/withdraw/"],
        "archive": ["/builds/4.20.2/archive/"],
        "stepping-stone": ["/builds/4.20.2/stepping-stone/"],
        "release-build": [f"/builds/4.20.2/release/{halt.pk}/"],
        "problems": ["/problems/"],
        "problem-new": ["/problems/new/"],
        "problem": [f"/problems/{problem.pk}/", f"/problems/{closed.pk}/"],
        "problem-acknowledge": [f"/problems/{problem.pk}/acknowledge/4.20.2/"],
        "problem-act": [f"/problems/{problem.pk}/fix/", f"/problems/{problem.pk}/dismiss/"],
        "gates": ["/settings/gates/"],
        "channel-gates": ["/settings/gates/stable/"],
    }


def _acted(user: User) -> tuple[int, int]:
    """An act on two sites that can be taken back: the numbers of its changes."""
    sites = list(Instance.objects.order_by("pk")[:2])
    before = Change.objects.count()
    set_targets(
        sites, Target(channel="beta"), actor=Actor(Origin.PAGE, user), now=clock.now(), reason="They want it early."
    )  # fmt: skip
    made = list(Change.objects.order_by("pk").values_list("pk", flat=True))[before:]
    return made[0], made[-1]


def test_no_page_is_left_out(addresses: dict[str, list[str]]) -> None:
    assert {pattern.name for pattern in _patterns(get_resolver().url_patterns)} == {*addresses, *NO_PAGES}


def _patterns(patterns: list[Any]) -> Iterator[URLPattern]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern.url_patterns)
        else:
            yield pattern


@pytest.mark.timeout(300)
def test_every_page_fits_its_width_speaks_to_everyone_and_breaks_no_rule_of_its_own(
    sign_in: SignIn, live_server: LiveServer, addresses: dict[str, list[str]], administrator: User
) -> None:
    """axe finds nothing, nothing overflows, and the console stays silent (a broken CSP would speak there).

    Every other page is looked at in the dark.
    """
    page = sign_in(administrator)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    found = []
    for number, path in enumerate(path for paths in addresses.values() for path in paths):
        page.emulate_media(color_scheme=("light", "dark")[number % 2])
        answer = page.goto(live_server.url + path)
        findings = [*overflows(page), *axe_findings(page), *said]
        if answer is None or answer.status != 200 or page.url != live_server.url + path:
            findings.append(f"answers {answer and answer.status} from {page.url}")
        found += [f"{path}: {finding}" for finding in findings]
        said.clear()
    assert not found, "\n".join(found)


def overflows(page: Page) -> list[str]:
    """On a phone and on a desk."""
    found = []
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        found += [f"{overflow} px too wide at {width} px"] if overflow > 0 else []
    return found


def axe_findings(page: Page) -> list[str]:
    results = Axe().run(page, options={"resultTypes": ["violations"]}).response
    return [f"{one['id']}: {one['nodes'][0]['html'][:150]}" for one in results["violations"]]
