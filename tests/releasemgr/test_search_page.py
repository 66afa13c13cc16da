"""Search: rows show the answer, and the only exact hit is opened."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from builds.maturity import Maturity
from tests.factories import (
    make_build,
    make_customer,
    make_host,
    make_instance,
    make_problem,
    make_run,
    make_upgrade,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def reader(client: Client, viewer: User) -> Client:
    client.force_login(viewer)
    return client


@pytest.fixture(autouse=True)
def fleet() -> None:
    make_build("4.2", maturity=Maturity.STABLE)
    customer, host = make_customer("Brightwater Clinics"), make_host("app-dub-01")
    make_instance("brightwater-live", runs="4.1", customer=customer, host=host, url="https://clinics.example.net")
    make_instance("brightwater-test", runs=None, customer=customer, host=host)


def hits(client: Client, text: str) -> dict[str, list[tuple[str, str]]]:
    answer = client.get("/search/", {"q": text})
    return {str(group.title): [(hit.name, hit.answer) for hit in group.hits] for group in answer.context["groups"]}


def test_a_site_row_answers_what_it_runs_and_what_tonight_does(reader: Client) -> None:
    assert hits(reader, "bright") == {
        "Sites": [
            ("brightwater-live", "4.1, upgrade to 4.2"), ("brightwater-test", "version unknown, version unknown"),
        ],
        "Customers": [("Brightwater Clinics", "2 sites")],
    }  # fmt: skip


@pytest.mark.parametrize("text", ["app-dub-01 bright", "CLINICS.example", "Brightwater Cli"])
def test_sites_are_found_by_host_url_and_customer(reader: Client, text: str) -> None:
    assert "brightwater-live" in dict(hits(reader, text)["Sites"])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("brightwater-live", "/sites/brightwater-live/"),
        ("Brightwater-Live", "/sites/brightwater-live/"),
        ("4.2", "/builds/4.2/"),
    ],
)
def test_the_only_exact_hit_is_opened(reader: Client, text: str, address: str) -> None:
    answer = reader.get("/search/", {"q": text})

    assert (answer.status_code, answer["Location"]) == (302, address)


def test_a_number_opens_the_run_or_the_upgrade(reader: Client) -> None:
    run = make_run(pk=8000)
    upgrade = make_upgrade(pk=8847, run=run)

    assert reader.get("/search/", {"q": "#8000"})["Location"] == f"/runs/{run.pk}/"
    assert reader.get("/search/", {"q": "8847"})["Location"] == f"/upgrades/{upgrade.pk}/"


def test_a_number_that_is_two_things_shows_both(reader: Client) -> None:
    make_upgrade(pk=77, run=make_run(pk=77))

    assert [name for name, _answer in hits(reader, "77")["Runs and upgrades"]] == ["Run #77", "Upgrade 77"]


def test_a_page_is_found_by_its_name(reader: Client) -> None:
    assert hits(reader, "night") == {"Pages": [("Nightly runs", "")]}


@pytest.mark.parametrize("text", ["nothing-like-this", "9" * 40, "\x00", "%", "²"])
def test_what_matches_nothing_says_so(reader: Client, text: str) -> None:
    answer = reader.get("/search/", {"q": text})

    assert answer.status_code == 200
    assert answer.context["groups"] == []


def test_what_was_typed_is_escaped_and_stays_in_the_field(reader: Client) -> None:
    html = reader.get("/search/", {"q": '"><b>x'}).content.decode()

    assert "<b>x" not in html
    assert 'value="&quot;&gt;&lt;b&gt;x"' in html


def test_the_way_to_more_sites_asks_for_the_same_text(reader: Client) -> None:
    customer = make_customer("R&D #1 and sons")
    for number in range(21):
        make_instance(f"rd-{number}", customer=customer)

    sites = reader.get("/search/", {"q": "R&D #1"}).context["groups"][0]

    assert sites.more_url == "/sites/?q=R%26D+%231"


def test_no_word_at_all_asks_for_one(reader: Client) -> None:
    assert "Type what you look for" in reader.get("/search/").content.decode()


def test_a_problem_is_found_by_its_title_and_opened_by_its_number(reader: Client) -> None:
    problem = make_problem(title="Loses mail")

    assert b"Loses mail, open" in reader.get("/search/?q=loses").content
    for named in (problem.name, problem.name.lower()):
        assert reader.get(f"/search/?q={named}")["Location"] == f"/problems/{problem.pk}/"
    assert reader.get("/search/?q=P-99999999999999999999").status_code == 200
