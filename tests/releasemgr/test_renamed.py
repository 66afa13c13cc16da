"""An old address leads to what bears another name now; and no page's name can be taken."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.validators import slug_re
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from instances.exceptions import InvalidInput
from instances.models import Customer, Host
from instances.models.fleet import PAGES
from instances.services import add_customer, change_customer, change_host, change_site
from releasemgr.lib.actors import COMMAND
from tests.commands import refusal_of
from tests.factories import NOW, make_customer, make_host, make_instance

pytestmark = pytest.mark.django_db
ACT: dict[str, Any] = {"actor": COMMAND, "now": NOW, "reason": ""}


def test_old_addresses_lead_to_the_new_ones(client: Client, viewer: User) -> None:
    customer, host = make_customer("Acme"), make_host("app-1")
    site = make_instance("acme-live", customer=customer, host=host)
    old = customer.slug
    change_customer(customer, {"slug": "acme-ltd"}, **ACT)
    change_host(host, {"name": "app-2"}, **ACT)
    change_site(site, {"slug": "acme-prod"}, **ACT)
    client.force_login(viewer)
    for before, after in (
        (f"/customers/{old}/", "/customers/acme-ltd/"), ("/hosts/app-1/", "/hosts/app-2/"),
        ("/sites/acme-live/", "/sites/acme-prod/"),
    ):  # fmt: skip
        answer = client.get(before)
        assert (answer.status_code, answer.headers["Location"]) == (301, after)
        assert client.get(after).status_code == 200


def test_a_name_that_another_has_taken_since_is_the_other_s(client: Client, viewer: User) -> None:
    site = make_instance("acme-live")
    change_site(site, {"slug": "acme-prod"}, **ACT)
    make_instance("acme-live")
    client.force_login(viewer)
    assert client.get("/sites/acme-live/").status_code == 200


@pytest.mark.parametrize("path", ["/sites/never/", "/customers/never/", "/hosts/never/"])
def test_what_never_was_is_not_found(client: Client, viewer: User, path: str) -> None:
    client.force_login(viewer)
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("name", PAGES)
def test_no_customer_host_or_site_takes_the_name_of_a_page_however_it_comes(name: str, tmp_path: Any) -> None:
    with pytest.raises(InvalidInput, match="is the address of a page"):
        add_customer({"name": "Acme", "slug": name}, **ACT)
    with pytest.raises(InvalidInput, match="is the address of a page"):
        change_host(make_host("app-1"), {"name": name}, **ACT)
    with pytest.raises(InvalidInput, match="is the address of a page"):
        change_site(make_instance("acme-live"), {"slug": name}, **ACT)
    file = tmp_path / "fleet.json"
    file.write_text(f'{{"customers": [{{"slug": "{name}", "name": "Acme"}}], "hosts": [], "sites": []}}')
    assert "is the address of a page" in refusal_of("import_fleet", file)
    assert not Customer.objects.filter(slug=name).exists()
    assert not Host.objects.filter(name=name).exists()


def test_every_page_beside_theirs_is_kept_from_them() -> None:
    for place in ("sites/", "customers/", "hosts/"):
        words = {
            route.removeprefix(place).split("/")[0] for route in _routes(get_resolver().url_patterns)
            if route.startswith(place) and route != place
        }  # fmt: skip
        assert {word for word in words if slug_re.fullmatch(word)} <= set(PAGES)


def _routes(patterns: list[Any], before: str = "") -> list[str]:
    found = []
    for pattern in patterns:
        route = before + str(pattern.pattern)
        found += _routes(pattern.url_patterns, route) if isinstance(pattern, URLResolver) else [route]
        assert isinstance(pattern, URLPattern | URLResolver)
    return found
