"""Runs, one run and tonight, as pages."""

from datetime import date, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape

from builds.maturity import Maturity
from instances.choices import Kind
from tests.factories import NOW, make_build, make_host, make_instance, make_run, make_upgrade
from upgrades.choices import EndCode, Outcome, UpgradeState
from upgrades.models import Decision, Run, UpgradeEvent
from upgrades.plan import Code, Rule
from upgrades.services.planning import plan_night

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def queries(client: Client, path: str) -> int:
    """How many a second look at the page costs: the shell keeps its own counts for a while."""
    client.get(path)
    with CaptureQueriesContext(connection) as asked:
        assert client.get(path).status_code == 200
    return len(asked)


def decide(run: Run, code: Code, rule: Rule = Rule.TARGET, **values: str) -> Decision:
    site = make_instance()
    values = {"channel": "release", "to": "1.0", "from": "1.0"} | values
    checks = [{"rule": rule, "code": code, "values": values}]
    return Decision.objects.create(run=run, instance=site, code=code, from_version="1.0", checks=checks)


@pytest.mark.parametrize("path", ["/runs/", "/runs/tonight/", "/runs/{run}/"])
def test_who_may_read_runs(client: Client, viewer: User, stranger: User, path: str) -> None:
    path = path.format(run=make_run().pk)

    assert client.get(path).status_code == 302
    client.force_login(stranger)
    assert client.get(path).status_code == 403
    client.force_login(viewer)
    assert client.get(path).status_code == 200
    assert client.post(path).status_code == 405


def test_a_run_that_does_not_exist_is_not_found(client: Client, viewer: User) -> None:
    client.force_login(viewer)

    assert client.get("/runs/4711/").status_code == 404


def test_the_list_has_nights_and_manual_runs_newest_first(client: Client, viewer: User) -> None:
    make_run(
        date=date(2026, 11, 21),
        starts_at=NOW - timedelta(days=2),
        ends_at=NOW - timedelta(days=2),
        ended_at=NOW,
        missed=True,
    )
    make_run(starts_at=NOW - timedelta(days=1), ended_at=NOW, requested_by=viewer)
    night = make_run(date=date(2026, 11, 23), ended_at=NOW)
    make_upgrade(run=night, outcome=Outcome.SUCCEEDED)
    make_upgrade(run=night, outcome=Outcome.ROLLED_BACK)
    client.force_login(viewer)

    page = client.get("/runs/").content.decode()

    assert page.index("Night of 23 November") < page.index("Manual run") < page.index("Night of 21 November")
    assert "Missed" in page
    assert "<b>1</b> succeeded" in page
    assert "<b>1</b> failed" in page
    assert viewer.username in page


def test_without_a_run_the_list_says_what_to_expect(client: Client, viewer: User) -> None:
    client.force_login(viewer)

    assert "No night has run yet" in client.get("/runs/").content.decode()


def test_the_list_is_paged_by_50(client: Client, viewer: User) -> None:
    for hours in range(51):
        make_run(starts_at=NOW - timedelta(hours=hours), ended_at=NOW)
    client.force_login(viewer)

    assert client.get("/runs/").content.decode().count(">Manual run<") == 50
    assert client.get("/runs/?page=2").content.decode().count(">Manual run<") == 1


def test_the_number_of_queries_does_not_grow_with_the_runs(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    counts = []
    for many in (2, 20):
        for _run in range(many):
            make_upgrade(run=make_run(ended_at=NOW), outcome=Outcome.SUCCEEDED)
        counts.append(queries(client, "/runs/"))

    assert counts[0] == counts[1]


def test_the_results_say_what_happened_and_link_to_the_first_error(client: Client, viewer: User) -> None:
    run = make_run(date=date(2026, 11, 23), ended_at=NOW)
    make_upgrade(run=run, outcome=Outcome.SUCCEEDED)
    failed = make_upgrade(
        run=run, outcome=Outcome.ROLLED_BACK, end_code=EndCode.STEP_FAILED, first_error='Error: <b>"x"</b>',
        first_error_line=214, end_values={"step": "Migrate", "from": "1.0", "to": "2.0"},
    )  # fmt: skip
    client.force_login(viewer)

    page = client.get(f"/runs/{run.pk}/").content.decode()

    assert "1 of 2 upgrades succeeded." in page
    assert "1 failed." in page
    assert escape('Error: <b>"x"</b>') in page
    assert "<b>&quot;" not in page
    assert f"/upgrades/{failed.pk}/?line=214#L214" in page
    assert "Rolled back at “Migrate”" in page
    assert "The site is up on 1.0 again." in page
    assert "hx-trigger" not in page


def test_an_upgrade_without_a_log_says_why_it_failed(client: Client, viewer: User) -> None:
    run = make_run(ended_at=NOW)
    values = {"host": "h1", "text": "No answer.", "from": "1"}
    make_upgrade(run=run, outcome=Outcome.BLOCKED, end_code=EndCode.UNREACHABLE, end_values=values)
    client.force_login(viewer)

    assert "h1 could not be reached: No answer." in client.get(f"/runs/{run.pk}/").content.decode()


def test_each_view_lists_its_sites_with_the_sentence_of_the_decision(client: Client, viewer: User) -> None:
    run = make_run(ended_at=NOW)
    good = make_upgrade(run=run, outcome=Outcome.SUCCEEDED)
    late = make_upgrade(run=run, outcome=Outcome.NOT_STARTED, end_code=EndCode.TIME_OVER, started_at=None)
    settled = decide(run, Code.UP_TO_DATE)
    skipped = decide(run, Code.HOST_DISABLED, Rule.HOST, host="app-1")
    client.force_login(viewer)

    def sites(show: str) -> set[str]:
        page = client.get(f"/runs/{run.pk}/?show={show}").content.decode()
        return {
            row.instance.slug for row in (good, late, settled, skipped) if f">{row.instance.slug}</a>" in page
        }  # fmt: skip

    assert sites("planned") == {good.instance.slug, late.instance.slug}
    assert sites("succeeded") == {good.instance.slug}
    assert sites("not-started") == {late.instance.slug}
    assert sites("skipped") == {skipped.instance.slug}
    assert sites("on-target") == {settled.instance.slug}
    assert sites("failed") == set()
    assert "Its turn did not come" in client.get(f"/runs/{run.pk}/?show=not-started").content.decode()
    page = client.get(f"/runs/{run.pk}/?show=skipped").content.decode()
    assert "app-1 is switched off. Nothing runs there." in page


def test_test_sites_stand_before_live_ones(client: Client, viewer: User) -> None:
    run = make_run(ended_at=NOW)
    make_upgrade(run=run, outcome=Outcome.SUCCEEDED, instance=make_instance("a-live", kind=Kind.LIVE))
    make_upgrade(run=run, outcome=Outcome.SUCCEEDED, instance=make_instance("b-test", kind=Kind.TEST))
    client.force_login(viewer)

    page = client.get(f"/runs/{run.pk}/").content.decode()

    places = [page.index(word) for word in ("Test sites", ">b-test</a>", "Live sites", ">a-live</a>")]
    assert places == sorted(places)


def test_an_open_run_polls_itself_until_it_ends(client: Client, viewer: User) -> None:
    run = make_run()
    upgrade = make_upgrade(run=run, state=UpgradeState.RUNNING)
    client.force_login(viewer)

    page = client.get(f"/runs/{run.pk}/")
    seen = page.context["seen"]

    assert 'hx-trigger="every 3s"' in page.content.decode()
    assert client.get(f"/runs/{run.pk}/?seen={seen}", headers=HTMX).status_code == 204
    UpgradeEvent.objects.create(upgrade=upgrade, at=NOW, from_state="running", to_state="ended")
    changed = client.get(f"/runs/{run.pk}/?seen={seen}", headers=HTMX).content.decode()
    assert 'hx-trigger="every 3s"' in changed
    assert "<html" not in changed
    Run.objects.update(ended_at=NOW)
    assert "hx-trigger" not in client.get(f"/runs/{run.pk}/?seen={seen}", headers=HTMX).content.decode()


def test_a_missed_night_says_that_nothing_ran(client: Client, viewer: User) -> None:
    run = make_run(date=date(2026, 11, 23), missed=True, ended_at=NOW, planned_at=None)
    client.force_login(viewer)

    assert "Nothing ran" in client.get(f"/runs/{run.pk}/").content.decode()


def test_runs_are_linked_to_their_neighbours(client: Client, viewer: User) -> None:
    first, second, third = (make_run(starts_at=NOW + timedelta(days=day), ended_at=NOW) for day in range(3))
    client.force_login(viewer)

    context = client.get(f"/runs/{second.pk}/").context
    last = client.get(f"/runs/{third.pk}/").content.decode()

    assert (context["older"], context["newer"]) == (first, third)
    assert 'id="newer" href="/runs/tonight/"' in last


def test_the_number_of_queries_does_not_grow_with_the_sites(client: Client, viewer: User) -> None:
    run = make_run(ended_at=NOW)
    client.force_login(viewer)
    counts = []
    for many in (2, 20):
        for _site in range(many):
            values = {"step": "x", "from": "1"}
            make_upgrade(run=run, outcome=Outcome.BLOCKED, end_code=EndCode.STEP_FAILED, end_values=values)
            decide(run, Code.UP_TO_DATE)
        counts.append(queries(client, f"/runs/{run.pk}/"))

    assert counts[0] == counts[1]


# Tonight.


def test_p1_tonight_shows_what_the_plan_says_with_reasons(client: Client, viewer: User) -> None:
    build = make_build("2.0", maturity=Maturity.STABLE)
    make_instance("goes-live", runs="1.0")
    make_instance("goes-test", runs="1.0", kind=Kind.TEST)
    make_instance("is-there", runs="2.0")
    make_instance("cannot", runs="1.0", host=make_host("off", enabled=False))
    client.force_login(viewer)

    page = client.get("/runs/tonight/").content.decode()

    assert page.index(">goes-test</a>") < page.index(">goes-live</a>") < page.index(">cannot</a>")
    assert ">is-there</a>" not in page
    assert f"Follows release. Its build is {build}, and 1.0 is older." in page
    assert "off is switched off. Nothing runs there." in page
    assert "When the host is switched on" in page
    assert "It is worked out again" in page
    assert ">is-there</a>" in client.get("/runs/tonight/?show=idle").content.decode()


def test_p1_the_counts_of_tonight_are_those_of_the_plan(client: Client, viewer: User) -> None:
    make_build("2.0", maturity=Maturity.STABLE)
    for version in ("1.0", "1.5", "2.0", None):
        make_instance(runs=version)
    make_upgrade(instance=make_instance(runs="1.0"), state=UpgradeState.RUNNING)
    client.force_login(viewer)

    context = client.get("/runs/tonight/").context
    _night, decisions = plan_night(context["now"])

    assert [view.count for view in context["views"]] == [2, 1, 1, 1]
    assert sum(view.count for view in context["views"]) == len(decisions)


def test_a_night_with_nothing_to_do_says_so(client: Client, viewer: User) -> None:
    client.force_login(viewer)

    assert "Nothing to do tonight" in client.get("/runs/tonight/").content.decode()


def test_the_number_of_queries_of_tonight_does_not_grow(client: Client, viewer: User) -> None:
    make_build("2.0", maturity=Maturity.STABLE)
    client.force_login(viewer)
    counts = []
    for many in (2, 20):
        for _site in range(many):
            make_instance(runs="1.0")
        counts.append(queries(client, "/runs/tonight/"))

    assert counts[0] == counts[1]
