"""Who reaches the pages of sites, customers and hosts, and what only some may do there."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django_q.models import OrmQ

from instances.models import Hold, Host, TargetChange
from releasemgr.lib.history.models import Change
from tests.factories import HOST_KEY, make_build, make_customer, make_host, make_instance
from upgrades.models import Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

READ = [
    "/sites/", "/sites.csv", "/sites/acme-live/", "/sites/acme-live/target/?target=beta", "/sites/acme-live/history/",
    "/customers/acme/", "/hosts/", "/hosts/web1/", "/hosts/web1/scanning/", "/sites/pins/", "/sites/pins.csv",
]  # fmt: skip
WRITE = [
    ("/sites/acme-live/target/", {"target": "beta", "seen": "0"}, "Viewer", "Support"),
    ("/sites/acme-live/ask/", {}, "Viewer", "Support"),
    ("/upgrades/now/", {"sites": "1", "seen": "x"}, "Support", "Release manager"),
    ("/sites/acme-live/hold/", {"ends_at": "2026-12-01", "reason": "Audit", "seen": "0"}, "Viewer", "Support"),
    ("/sites/acme-live/skip/", {"seen": "0"}, "Viewer", "Support"),
    ("/sites/acme-live/edit/", {"seen": "0"}, "Support", "Release manager"),
    ("/sites/new/", {"seen": "0"}, "Support", "Release manager"),
    ("/sites/acme-live/delete/", {"typed": "acme-live"}, "Release manager", "Administrator"),
    ("/sites/acme-live/retry/1/", {"note": "More disk"}, "Support", "Release manager"),
    ("/customers/new/", {"name": "B", "slug": "b", "seen": "0"}, "Support", "Release manager"),
    ("/customers/acme/edit/", {"name": "B", "slug": "acme", "seen": "0"}, "Support", "Release manager"),
    ("/customers/acme/delete/", {"typed": "acme"}, "Release manager", "Administrator"),
    ("/hosts/new/", {"name": "web2", "seen": "0"}, "Release manager", "Administrator"),
    ("/hosts/web1/edit/", {"name": "web2", "seen": "0"}, "Release manager", "Administrator"),
    ("/hosts/web1/delete/", {"typed": "web1"}, "Release manager", "Administrator"),
    ("/hosts/web1/key/", {"seen": HOST_KEY}, "Release manager", "Administrator"),
    ("/hosts/web1/scan/", {}, "Release manager", "Administrator"),
]
FORMS = [address for address, *_rest in WRITE if not address.endswith(("target/", "ask/", "key/", "scan/"))]


@pytest.fixture(autouse=True)
def site() -> None:
    make_build("1.0")
    host = make_host("web1", host_key="", host_key_approved_at=None, offered_key=HOST_KEY)
    make_instance("acme-live", customer=make_customer("Acme"), host=host)


def nothing_happened() -> bool:
    rows = (
        TargetChange.objects,
        Change.objects,
        Hold.objects,
        Run.objects,
        OrmQ.objects,
        Host.objects.exclude(host_key=""),
    )
    return not any(found.exists() for found in rows)


@pytest.mark.parametrize("address", [*READ, "/upgrades/now/?all=all"])
def test_a_page_asks_for_sign_in(client: Client, address: str) -> None:
    answer = client.get(address)

    assert answer.status_code == 302
    assert answer["Location"].startswith("/sign-in/?next=")


@pytest.mark.parametrize("address", [*READ, "/upgrades/now/?all=all"])
def test_someone_without_a_role_is_told_what_is_missing(client: Client, stranger: User, address: str) -> None:
    client.force_login(stranger)

    answer = client.get(address)

    assert answer.status_code == 403
    assert "You have no role." in answer.content.decode()


@pytest.mark.parametrize("address", READ)
def test_a_viewer_reads_every_page(client: Client, viewer: User, address: str) -> None:
    client.force_login(viewer)

    assert client.get(address).status_code == 200


@pytest.mark.parametrize("address", [address for address in READ if "target" not in address])
def test_a_page_that_is_read_takes_no_post(client: Client, administrator: User, address: str) -> None:
    client.force_login(administrator)

    assert client.post(address).status_code == 405


@pytest.mark.parametrize("address", ["/sites/acme-live/ask/", "/hosts/web1/key/", "/hosts/web1/scan/"])
def test_what_acts_takes_no_get(client: Client, administrator: User, address: str) -> None:
    client.force_login(administrator)

    assert client.get(address).status_code == 405
    assert nothing_happened()


@pytest.mark.parametrize(("address", "data", "role", "who"), WRITE)
def test_an_action_is_refused_to_those_whose_role_lacks_it(
    client: Client, address: str, data: dict[str, str], role: str, who: str, request: pytest.FixtureRequest
) -> None:
    client.force_login(request.getfixturevalue(role.lower().replace(" ", "_")))

    answer = client.post(address, data)

    assert answer.status_code == 403
    assert who in answer.content.decode()
    assert nothing_happened()


@pytest.mark.parametrize("address", FORMS)
def test_a_form_asks_for_sign_in_and_for_the_permission_before_it_is_shown(
    client: Client, viewer: User, address: str
) -> None:
    assert client.get(address)["Location"].startswith("/sign-in/?next=")
    client.force_login(viewer)
    assert client.get(address).status_code == 403
    assert client.put(address).status_code in (403, 405)


@pytest.mark.parametrize(
    "address", ["/sites/nobody/", "/customers/nobody/", "/hosts/nobody/", "/upgrades/now/?site=nobody"]
)
def test_what_does_not_exist_is_not_found(client: Client, administrator: User, address: str) -> None:
    client.force_login(administrator)

    assert client.get(address).status_code == 404
