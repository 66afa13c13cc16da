"""Upgrade now: names every site of a selection, and starts exactly what was confirmed (T9)."""

import re
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django_q.models import OrmQ

from builds.maturity import Maturity
from instances.choices import Kind
from instances.models import Instance
from releasemgr.lib.actors import Origin
from releasemgr.management.commands.serve import gunicorn
from releasemgr.pages.sites import PER_PAGE
from tests.factories import NOW, make_build, make_customer, make_instance
from upgrades.choices import RunKind
from upgrades.models import Run, Upgrade

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

PAGE = "/upgrades/now/"


@pytest.fixture(autouse=True)
def fleet() -> None:
    make_build("4.1", maturity=Maturity.STABLE)
    make_build("4.2", maturity=Maturity.BETA)
    acme = make_customer("Acme")
    make_instance("acme-live", runs="4.0", customer=acme)
    make_instance("acme-test", runs="4.1", customer=acme, kind=Kind.TEST)
    make_instance("bolt-live", runs="4.0")
    make_instance("bolt-settled", runs="4.1")


@pytest.fixture
def manager(client: Client, release_manager: User) -> Client:
    client.force_login(release_manager)
    return client


def going(answer: Any) -> list[str]:
    return [decision.site.slug for decision in answer.context["preview"].going]


def form_of(answer: Any) -> dict[str, str]:
    """What the page's hidden fields carry."""
    html = answer.content.decode()
    return {name: re.findall(rf'name="{name}" value="([^"]*)"', html)[0] for name in ("sites", "seen")}


def nothing_started() -> bool:
    return not (Run.objects.exists() or Upgrade.objects.exists() or OrmQ.objects.exists())


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("all=all", ["acme-test", "acme-live", "bolt-live"]),
        ("all=live", ["acme-live", "bolt-live"]),
        ("all=test", ["acme-test"]),
        ("site=bolt-live&site=acme-test", ["acme-test", "bolt-live"]),
        ("site=bolt-live&matching=1&customer=acme", ["acme-test", "acme-live"]),
        ("site=bolt-live&matching=1", ["acme-test", "acme-live", "bolt-live"]),
        ("customer=acme&kind=live", ["acme-live"]),
        ("q=bolt", ["bolt-live"]),
        ("q=nothing-like-it", []),
        ("", []),
    ],
)
def test_a_selection_is_named_sites_a_kind_or_a_filter(manager: Client, query: str, found: list[str]) -> None:
    answer = manager.get(f"{PAGE}?{query}")

    assert answer.status_code == 200
    assert sorted(going(answer)) == sorted(found)


@pytest.mark.parametrize("query", ["all=everything", "host=typo", "matching=1&target=typo", "hots=web1"])
def test_a_selection_that_is_not_understood_selects_nothing(manager: Client, query: str) -> None:
    assert manager.get(f"{PAGE}?{query}").status_code == 400


def test_the_page_names_every_site_with_what_would_happen_and_why_not(manager: Client) -> None:
    """T9, P2."""
    html = manager.get(f"{PAGE}?all=all").content.decode()

    for words in (
        "Upgrade 3 sites now", "1 site of the selection stays.", "3 sites, 2 of them LIVE", "bolt-settled",
        "Follows release and runs its build, 4.1.", "Type <b>2</b> to confirm",
    ):  # fmt: skip
        assert words in html
    assert nothing_started()


def test_confirming_starts_a_manual_run_of_exactly_these_sites(manager: Client, release_manager: User) -> None:
    form = form_of(manager.get(f"{PAGE}?all=test"))
    assert form["sites"] == str(Instance.objects.get(slug="acme-test").pk)

    answer = manager.post(PAGE, form | {"reason": "Ticket 7"})

    run = Run.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert (run.kind, run.origin, run.requested_by, run.reason, run.starts_at) == (
        RunKind.MANUAL, Origin.PAGE, release_manager, "Ticket 7", NOW,
    )  # fmt: skip
    assert [(upgrade.instance.slug, upgrade.build.version) for upgrade in run.upgrades.all()] == [("acme-test", "4.2")]
    assert run.decisions.count() == 1


@pytest.mark.parametrize(("query", "typed"), [("site=acme-live", "acme-live"), ("all=all", "2")])
def test_live_sites_want_their_name_or_their_number_typed(manager: Client, query: str, typed: str) -> None:
    form = form_of(manager.get(f"{PAGE}?{query}"))

    for wrong in ({}, {"typed": "yes"}):
        answer = manager.post(PAGE, form | wrong)
        assert answer.status_code == 422
        assert f"Type {typed} to confirm." in answer.content.decode()
        assert nothing_started()
    assert manager.post(PAGE, form | {"typed": typed}).status_code == 302
    assert Run.objects.count() == 1


def test_p1_a_plan_that_changed_in_between_starts_nothing_and_is_shown_anew(manager: Client) -> None:
    form = form_of(manager.get(f"{PAGE}?all=test"))
    make_build("4.3", maturity=Maturity.BETA)

    answer = manager.post(PAGE, form)

    assert answer.status_code == 409
    assert "Nothing was started." in answer.content.decode()
    assert "4.3" in answer.content.decode()
    assert nothing_started()
    assert manager.post(PAGE, form_of(answer)).status_code == 302


def test_without_a_selection_the_page_offers_all_test_and_all_live_sites(manager: Client) -> None:
    """T9."""
    answer = manager.get(PAGE)

    assert answer.context["groups"] == [
        ("All test sites", "test", 1),
        ("All live sites", "live", 3),
        ("All sites", "all", 4),
    ]
    assert 'href="/upgrades/now/?all=test">All test sites</a>' in answer.content.decode()


def test_one_site_is_named_in_the_question_and_on_the_button(manager: Client) -> None:
    html = manager.get(f"{PAGE}?site=acme-test").content.decode()

    assert html.count("Upgrade acme-test now") == 3  # the tab, the heading, the button
    assert "1 site, 0 of them LIVE" in html


def test_a_site_that_is_gone_changes_the_plan(manager: Client) -> None:
    form = form_of(manager.get(f"{PAGE}?customer=acme"))
    Instance.objects.get(slug="acme-test").delete()

    assert manager.post(PAGE, form | {"typed": "acme-live"}).status_code == 409
    assert nothing_started()


def test_u1_the_same_confirmation_twice_starts_one_run(manager: Client) -> None:
    form = form_of(manager.get(f"{PAGE}?all=test"))

    answers = [manager.post(PAGE, form).status_code for _click in range(2)]

    assert answers == [302, 409]
    assert (Run.objects.count(), Upgrade.objects.count()) == (1, 1)


def test_where_nothing_would_be_upgraded_nothing_can_be_started(manager: Client) -> None:
    page = manager.get(f"{PAGE}?site=bolt-settled")

    assert "Nothing to upgrade" in page.content.decode()
    assert 'type="submit">Upgrade' not in page.content.decode()
    assert manager.post(PAGE, form_of(page)).status_code == 409
    assert nothing_started()


@pytest.mark.parametrize("data", [{}, {"sites": "1;2", "seen": "x"}, {"sites": "1"}])
def test_a_malformed_confirmation_starts_nothing(manager: Client, data: dict[str, str]) -> None:
    assert manager.post(PAGE, data).status_code == 400
    assert nothing_started()


def test_a_page_of_sites_with_the_longest_names_fits_into_one_address() -> None:
    longest = Instance._meta.get_field("slug").max_length or 0
    query = urlencode([("site", "x" * longest)] * PER_PAGE)
    command = gunicorn({"bind": "127.0.0.1", "port": 8000, "web_workers": 1})

    assert len(f"GET {PAGE}?{query} HTTP/1.1\r\n") < int(command[command.index("--limit-request-line") + 1])
