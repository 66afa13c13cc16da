"""The page Sites: views, filters, the table, the export; and a customer's sites."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from builds.maturity import Maturity
from instances.choices import Kind
from instances.models import Instance, Tag
from instances.services import open_hold, read_windows, set_windows
from releasemgr.lib.actors import COMMAND
from tests.factories import NOW, make_build, make_customer, make_host, make_instance, make_upgrade, make_user
from upgrades.choices import Outcome

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def fleet() -> None:
    """One site for each view: on target, going tonight, ahead, pinned and locked."""
    old, new = make_build("4.1", maturity=Maturity.STABLE), make_build("4.2", maturity=Maturity.BETA)
    acme, bolt = make_customer("Acme"), make_customer("Bolt Works")
    care = Tag.objects.create(name="care")
    make_instance(
        "acme-live", runs="4.1", customer=acme, host=make_host("web1"), url="https://rota.acme.example"
    ).tags.add(care)
    make_instance("acme-test", runs="4.1", customer=acme, kind=Kind.TEST)
    ahead = make_instance("bolt-ahead", runs="4.2", customer=bolt)
    ahead.tags.add(care)
    open_hold(ahead, ends_at=NOW + timedelta(days=3), reason="Acceptance test", actor=COMMAND, now=NOW)
    make_instance("bolt-pinned", runs="4.2", customer=bolt, target_build=new, pin_owner=make_user(username="ines"))
    locked = make_instance("bolt-locked", runs="4.1", customer=bolt, target_build=new)
    make_upgrade(instance=locked, build=new, outcome=Outcome.NEEDS_A_PERSON)
    make_instance("zed-unknown", runs=None, target_build=old)


@pytest.fixture
def reader(client: Client, viewer: User) -> Client:
    client.force_login(viewer)
    return client


def slugs(answer: Any) -> list[str]:
    assert answer.status_code == 200
    return [row.record.slug for row in answer.context["table"].page.object_list]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["acme-live", "acme-test", "bolt-ahead", "bolt-locked", "bolt-pinned", "zed-unknown"]),
        ("kind=live", ["acme-live", "bolt-ahead", "bolt-locked", "bolt-pinned", "zed-unknown"]),
        ("kind=test", ["acme-test"]),
        ("state=off-target", ["acme-test", "bolt-locked", "zed-unknown"]),
        ("state=tonight", ["acme-test"]),
        ("state=needs-a-person", ["bolt-locked"]),
        ("state=held", ["bolt-ahead"]),
        ("tag=care", ["acme-live", "bolt-ahead"]),
        ("owner=ines", ["bolt-pinned"]),
        ("customer=acme&customer=bolt-works&kind=live&version=<4.2", ["acme-live", "bolt-locked"]),
        ("version=4", ["acme-live", "acme-test", "bolt-ahead", "bolt-locked", "bolt-pinned"]),
        ("all=1", ["acme-live", "acme-test", "bolt-ahead", "bolt-locked", "bolt-pinned", "zed-unknown"]),
        ("q=rota", ["acme-live"]),
        ("q=bolt+works", ["bolt-ahead", "bolt-locked", "bolt-pinned"]),
        ("target=beta", ["acme-test"]),
        ("target=pinned", ["bolt-locked", "bolt-pinned", "zed-unknown"]),
        ("version=4.2", ["bolt-ahead", "bolt-pinned"]),
        ("version=unknown", ["zed-unknown"]),
        ("host=web1", ["acme-live"]),
        ("customer=acme&kind=test", ["acme-test"]),
        ("sort=-slug&customer=acme", ["acme-test", "acme-live"]),
        ("sort=-reported_version&version=4.2", ["bolt-pinned", "bolt-ahead"]),
    ],
)
@pytest.mark.usefixtures("fleet")
def test_views_filters_and_sorting_find(reader: Client, query: str, found: list[str]) -> None:
    assert slugs(reader.get(f"/sites/?{query}")) == found


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("host=typo", "There is no host “typo”."),
        ("view=typo", "There is no filter “view”."),
        ("target=typo", "“typo” is no target: a channel, or pinned."),
        ("customer=typo&customer=acme", "There is no customer “typo”."),
        ("tag=typo", "There is no tag “typo”."),
        ("owner=typo", "“typo” owns no pin."),
        ("state=typo", "“typo” is no state of a site."),
        ("version=typo", "“typo” is not a version to look for."),
    ],
)
@pytest.mark.usefixtures("fleet")
def test_a_mistyped_filter_finds_nothing_and_says_what_is_wrong(reader: Client, query: str, words: str) -> None:
    """It must never stand for every site."""
    answer = reader.get(f"/sites/?{query}")

    assert slugs(answer) == []
    assert words in answer.content.decode()
    refused = reader.get(f"/sites.csv?{query}")
    assert (refused.status_code, words in refused.content.decode()) == (400, True)


@pytest.mark.usefixtures("fleet")
def test_each_value_of_a_filter_can_be_taken_away(reader: Client) -> None:
    parts = reader.get("/sites/?customer=acme&customer=bolt-works&version=4.1").context["parts"]

    assert [(part.label, part.words, part.without) for part in parts] == [
        ("Customer", "Acme", "customer=bolt-works&version=4.1"),
        ("Customer", "Bolt Works", "customer=acme&version=4.1"),
        ("Version", "4.1", "customer=acme&customer=bolt-works"),
    ]


@pytest.mark.usefixtures("fleet")
def test_versions_are_offered_as_series_and_exactly(reader: Client) -> None:
    make_instance(runs="4.1.5")

    filters = reader.get("/sites/?version=<4.1").context["filter"]

    assert filters.form.fields["version"].choices == [
        ("4.2", "4.2"), ("4.1", "All of 4.1"), ("4.1.5", "4.1.5"), ("=4.1", "4.1"), ("<4.1", "<4.1"),
        ("unknown", "unknown"),
    ]  # fmt: skip


@pytest.mark.usefixtures("fleet")
def test_a_row_shows_hold_tags_and_window(reader: Client) -> None:
    """P6, P8: the hold also where nothing would happen tonight."""
    site = Instance.objects.get(slug="bolt-ahead")
    set_windows(site, read_windows("Mon 02:00-05:00 Europe/Berlin"), actor=COMMAND, now=NOW)

    html = reader.get("/sites/?q=bolt-ahead").content.decode()

    for words in ("On hold until 26 Nov: Acceptance test", "Mon 02:00–05:00 CET", '<span class="tagl">care</span>'):
        assert words in html
    assert "Any time" in reader.get("/sites/?q=acme-test").content.decode()


@pytest.mark.usefixtures("fleet")
def test_the_counts_of_the_views_are_those_of_what_they_show(reader: Client) -> None:
    """P1: the same plan fills both."""
    for view in reader.get("/sites/?kind=test").context["views"]:
        assert len(slugs(reader.get(view.url))) == view.count


@pytest.mark.usefixtures("fleet")
def test_a_row_says_what_the_site_runs_should_run_and_does_tonight(reader: Client) -> None:
    """T1, P2."""
    html = reader.get("/sites/?q=acme-test").content.decode()

    for words in ("Upgrade to 4.2", "behind its target", "/builds/4.1/", "1 site, 1 customer"):
        assert words in html


@pytest.mark.usefixtures("fleet")
def test_a_locked_site_says_so_beside_what_tonight_does(reader: Client) -> None:
    """U2."""
    assert "Needs a person" in reader.get("/sites/?q=bolt-locked").content.decode().split("<tbody")[1]


@pytest.mark.usefixtures("fleet")
def test_a_fragment_holds_the_rows_alone(reader: Client) -> None:
    answer = reader.get("/sites/?q=acme&host=", headers={"HX-Request": "true"})
    html = answer.content.decode()

    assert "acme-live" in html
    assert "<h1" not in html
    assert 'id="sites-summary" hx-swap-oob' in html
    assert 'id="list-actions" hx-swap-oob="true"' in html
    assert 'href="/sites.csv?q=acme"' in html
    assert answer["HX-Push-Url"] == "/sites/?q=acme"


@pytest.mark.usefixtures("fleet")
def test_rows_are_chosen_only_by_those_who_may_do_something_with_them(
    client: Client, viewer: User, release_manager: User
) -> None:
    for user, boxes in ((viewer, 0), (release_manager, 6)):
        client.force_login(user)
        assert client.get("/sites/").content.decode().count("data-select ") == boxes


@pytest.mark.usefixtures("fleet")
def test_t9_the_bar_offers_what_the_person_may_do(client: Client, support: User, release_manager: User) -> None:
    for user, labels in (
        (support, ["Change target…", "Hold…", "Skip tonight…", "End holds…"]),
        (release_manager, ["Change target…", "Hold…", "Skip tonight…", "End holds…", "Tags…", "Upgrade now…"]),
    ):
        client.force_login(user)
        assert [str(button.label) for button in client.get("/sites/").context["buttons"]] == labels


@pytest.mark.usefixtures("fleet")
def test_the_filtered_list_leads_to_upgrading_all_of_it(client: Client, release_manager: User) -> None:
    """T9."""
    client.force_login(release_manager)

    html = client.get("/sites/?customer=acme").content.decode()

    assert 'href="/upgrades/now/?customer=acme">Upgrade these 2 now…</a>' in html
    assert 'href="/upgrades/now/">Upgrade now…</a>' in client.get("/sites/").content.decode()


def test_the_whole_filtered_list_can_be_chosen_where_it_has_more_than_a_page(
    client: Client, release_manager: User
) -> None:
    """T9."""
    host, customer = make_host(), make_customer()
    for number in range(51):
        make_instance(f"site-{number:02}", host=host, customer=customer)
    client.force_login(release_manager)

    answer = client.get("/sites/?q=site")

    assert len(slugs(answer)) == 50
    assert slugs(client.get("/sites/?q=site&page=2")) == ["site-50"]
    assert "Select all 51 that match" in answer.content.decode()
    assert '<input type="hidden" name="q" value="site">' in answer.content.decode()


def test_without_sites_the_page_says_where_they_come_from(reader: Client) -> None:
    assert "manage.py import_fleet" in reader.get("/sites/").content.decode()
    assert "No site matches" in reader.get("/sites/?q=x").content.decode()


@pytest.mark.parametrize("address", ["/sites/", "/customers/acme/", "/hosts/web1/"])
def test_the_number_of_queries_does_not_grow_with_the_sites(reader: Client, address: str) -> None:
    make_build("1.0", maturity=Maturity.STABLE)
    customer, host, counts = make_customer("Acme"), make_host("web1"), []
    for number in (2, 12):
        for _each in range(number):
            make_instance(customer=customer, host=host)
        with CaptureQueriesContext(connection) as queries:
            reader.get(address)
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 80  # about twenty of them for the shell


@pytest.mark.usefixtures("fleet")
def test_the_export_has_the_filtered_list(reader: Client) -> None:
    answer = reader.get("/sites.csv?customer=acme")

    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert answer["Content-Disposition"] == 'attachment; filename="sites.csv"'
    assert [(row["Site"], row["Target"], row["Target version"], row["Current version"]) for row in rows] == [
        ("acme-live", "release", "4.1", "4.1"), ("acme-test", "beta", "4.2", "4.1"),
    ]  # fmt: skip
    assert rows[1]["Tonight"] == "Upgrades from 4.1 to 4.2."


def test_the_export_gives_a_spreadsheet_no_formula(reader: Client) -> None:
    """P10: a site reports what it likes."""
    make_instance(runs="=1+1")

    assert "'=1+1" in reader.get("/sites.csv").content.decode()


@pytest.mark.usefixtures("fleet")
def test_a_customer_has_its_sites(reader: Client) -> None:
    answer = reader.get("/customers/bolt-works/")

    assert slugs(answer) == ["bolt-ahead", "bolt-locked", "bolt-pinned"]
    assert "3 sites" in answer.content.decode()
