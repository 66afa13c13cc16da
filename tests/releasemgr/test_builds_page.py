"""Builds and channels, and the page of one build."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from builds.choices import Smoke
from builds.maturity import Maturity
from builds.services import promote_build, withdraw_build
from instances.choices import Kind
from releasemgr.lib.actors import COMMAND, Actor, Origin
from tests.factories import NOW, make_build, make_instance, make_upgrade
from upgrades.choices import Outcome

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

DAY = timedelta(days=1)
HTMX = {"HX-Request": "true"}


@pytest.fixture
def reader(client: Client, release_manager: User) -> Client:
    client.force_login(release_manager)
    return client


def words(client: Client, address: str) -> str:
    return " ".join(client.get(address).content.decode().split())


def versions(client: Client, address: str = "/builds/") -> list[str]:
    return [row.record.version for row in client.get(address).context["table"].rows]


def test_the_lanes_show_what_each_channel_means(reader: Client) -> None:
    """R4: a later channel's build serves the channels before it too."""
    make_build("4.1", maturity=Maturity.STABLE)
    make_build("4.2", maturity=Maturity.BETA)
    make_build("4.3")

    context = reader.get("/builds/").context

    heads = {board.lane.name: board.lane.build.version for board in context["boards"]}
    assert heads == {"alpha": "4.2", "beta": "4.2", "release": "4.1", "stable": "4.1"}
    assert [build.version for build in context["candidates"]] == ["4.3"]


def test_a_lane_offers_the_promotion_only_when_every_gate_passes(reader: Client) -> None:
    """R11."""
    make_build("4.2", maturity=Maturity.RELEASE, channel_since=NOW - 3 * DAY)
    make_build("4.3", maturity=Maturity.ALPHA)

    html = words(reader, "/builds/")

    assert "Promote to beta…" in html
    assert "Promote to stable…" not in html
    assert '<a class="btn btn-quiet btn-sm" href="/builds/4.2/promote/stable/">See what blocks it</a>' in html
    assert "Day 4 of 14, ends 4 Dec 12:00" in html


def test_a_candidate_is_offered_to_alpha_once_it_passed(reader: Client) -> None:
    """R3."""
    build = make_build("4.2", smoke=Smoke.PENDING)
    assert "Promote to alpha…" not in words(reader, "/builds/")

    build.smoke = Smoke.PASSED
    build.save()

    assert "Promote to alpha…" in words(reader, "/builds/")


def test_past_and_withdrawn_builds_are_shown_when_asked_for(reader: Client) -> None:
    make_build("4.0", maturity=Maturity.RELEASE)
    make_build("4.1", maturity=Maturity.RELEASE)
    make_build("4.2", maturity=Maturity.ALPHA, withdrawn_at=NOW)
    make_build("4.3", maturity=Maturity.ALPHA)
    make_build("4.4", smoke=Smoke.FAILED)

    assert versions(reader) == ["4.4", "4.3", "4.1"]
    assert versions(reader, "/builds/?all=1") == ["4.4", "4.3", "4.2", "4.1", "4.0"]


def test_sites_are_counted_by_what_they_report(reader: Client) -> None:
    make_build("4.1", maturity=Maturity.STABLE)
    make_instance(runs="4.1.0")
    make_instance(runs="4.1", kind=Kind.TEST)
    make_instance(runs="4.0")

    table = reader.get("/builds/").context["table"]

    assert [(row.get_cell("live"), row.get_cell("test")) for row in table.rows] == [("1", "1")]


def test_the_table_alone_is_answered_to_htmx(reader: Client) -> None:
    make_build("4.1")

    answer = reader.get("/builds/?all=1", headers=HTMX)

    assert answer.content.decode().strip().startswith('<div id="builds">')


def test_an_installation_without_builds_says_how_one_is_registered(reader: Client) -> None:
    assert "register_build" in words(reader, "/builds/")


@pytest.mark.parametrize("address", ["/builds/?all=1", "/builds/4.1/"])
def test_the_number_of_queries_does_not_grow(reader: Client, address: str) -> None:
    build, counts = make_build("4.1", maturity=Maturity.STABLE), []
    for number in (2, 12):
        for _each in range(number):
            make_build(maturity=Maturity.BETA)
            site = make_instance(runs="4.1")
            make_upgrade(build=build, instance=site, outcome=Outcome.SUCCEEDED)
        with CaptureQueriesContext(connection) as asked:
            reader.get(address)
        counts.append(len(asked))

    assert counts[0] == counts[1] <= 54


def test_the_journey_tells_who_moved_it_when_and_why(reader: Client, release_manager: User) -> None:
    """R5."""
    build = make_build("4.2")
    ines = Actor(Origin.PAGE, release_manager)
    promote_build(build, Maturity.BETA, actor=ines, now=NOW - 3 * DAY)
    promote_build(build, Maturity.ALPHA, actor=COMMAND, now=NOW - DAY, reason="Loses <b>dates</b>.")

    answer = reader.get("/builds/4.2/")

    stops = [(stop.title, stop.look) for stop in answer.context["journey"]]
    assert stops == [
        ("Registered", "done"), ("Smoke tests", "done"), ("Alpha", "now"), ("Beta", ""), ("Release", ""),
        ("Stable", ""),
    ]  # fmt: skip
    html = " ".join(answer.content.decode().split())
    assert f"{release_manager.username}" in html
    assert "command line. Loses &lt;b&gt;dates&lt;/b&gt;." in html


def test_the_gates_of_the_next_channel_are_shown_with_what_is_not_met_first(reader: Client) -> None:
    make_build("4.2", maturity=Maturity.RELEASE, channel_since=NOW - 3 * DAY)

    gates = reader.get("/builds/4.2/").context["gates"]

    assert (gates[0].title, gates[0].gate.passed) == ("14 days in release", False)
    assert gates[0].clock.label == "Day 4 of 14, ends 4 Dec 12:00"


def test_a_changelog_is_rendered_and_can_do_nothing(reader: Client) -> None:
    make_build("4.2", changelog="## Fixed\n\n- Dates <script>alert(1)</script>\n")

    html = words(reader, "/builds/4.2/")

    assert "<h3>Fixed</h3>" in html
    assert "<li>Dates" in html
    assert "alert(1)" not in html


def test_sites_on_it_and_pinned_to_it_are_listed_with_their_targets(reader: Client) -> None:
    build = make_build("4.2", maturity=Maturity.STABLE)
    make_instance("follows", runs="4.2.0", target_channel_id="stable")
    make_instance("pinned", runs="4.1", target_build=build)

    context = reader.get("/builds/4.2/").context

    assert [site.slug for site in context["sites_on_it"]] == ["follows"]
    assert [site.slug for site in context["sites_pinned"]] == ["pinned"]


def test_a_withdrawn_build_says_so_and_offers_nothing(reader: Client) -> None:
    """R9."""
    build = make_build("4.2", maturity=Maturity.STABLE)
    withdraw_build(build, actor=COMMAND, now=NOW, reason="Loses attachments.")

    html = words(reader, "/builds/4.2/")

    assert "Loses attachments." in html
    assert "Withdraw…" not in html
    assert "Demote…" not in html


def test_another_spelling_of_a_version_leads_to_its_page(reader: Client) -> None:
    """R1."""
    make_build("4.2")

    answer = reader.get("/builds/4.2.0/")

    assert (answer.status_code, answer["Location"]) == (302, "/builds/4.2/")
