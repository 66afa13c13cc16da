"""Who reaches Overview, search and the pages of builds, and what only some may do there."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from builds.maturity import Maturity
from builds.models import Build
from releasemgr.lib.history.models import Change
from tests.factories import make_build, make_problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

READ = [
    "/", "/search/?q=web", "/builds/", "/builds/4.2/", "/problems/", "/settings/gates/",
    "/builds/4.2/promote/stable/", "/builds/4.2/promote/beta/",
]  # fmt: skip
FORMS = [
    "/builds/4.2/withdraw/", "/builds/4.2/archive/", "/builds/4.2/stepping-stone/", "/settings/gates/stable/",
    "/problems/new/", "/problems/7/fix/", "/problems/7/acknowledge/4.2/",
]  # fmt: skip
WRITE = [
    ("/builds/4.2/promote/stable/", {"seen": "x", "reason": "Slow.", "keys": "soak:stable", "version": "4.2"}),
    ("/builds/4.2/archive/", {"reason": "Old.", "seen": "0"}),
    ("/builds/4.2/stepping-stone/", {"mark": "yes", "reason": "Slow.", "seen": "0"}),
    ("/settings/gates/stable/", {"amount": "0", "unit": "days", "reason": "", "seen": "0"}),
    ("/problems/7/acknowledge/4.2/", {"reason": "Rare.", "seen": "0"}),
    ("/builds/4.2/promote/stable/", {"seen": "x", "reason": ""}),
    ("/builds/4.2/promote/beta/", {"seen": "x", "reason": "Slow."}),
    ("/builds/4.2/withdraw/", {"reason": "Slow.", "version": "4.2"}),
]


@pytest.fixture(autouse=True)
def build() -> Build:
    build = make_build("4.2", maturity=Maturity.RELEASE)
    make_problem(build, pk=7)
    return build


def nothing_happened() -> bool:
    build = Build.objects.get()
    return build.maturity == Maturity.RELEASE and not build.is_withdrawn and not Change.objects.exists()


@pytest.mark.parametrize("address", [*READ, *FORMS])
def test_a_page_asks_for_sign_in(client: Client, address: str) -> None:
    answer = client.get(address)

    assert answer.status_code == 302
    assert answer["Location"].startswith("/sign-in/?next=")


@pytest.mark.parametrize("address", [*READ, *FORMS])
def test_someone_without_a_role_is_told_what_is_missing(client: Client, stranger: User, address: str) -> None:
    client.force_login(stranger)

    answer = client.get(address)

    assert answer.status_code == 403
    assert "You have no role." in answer.content.decode()


@pytest.mark.parametrize("address", READ)
def test_a_viewer_reads_every_page(client: Client, viewer: User, address: str) -> None:
    client.force_login(viewer)

    assert client.get(address).status_code == 200


@pytest.mark.parametrize("address", READ[:6])
def test_a_page_that_is_read_takes_no_post(client: Client, administrator: User, address: str) -> None:
    client.force_login(administrator)

    assert client.post(address).status_code == 405


@pytest.mark.parametrize("address", ["/problems/new/", "/problems/7/edit/", "/problems/7/dismiss/"])
def test_a_viewer_reports_and_changes_no_problem_and_support_may(
    client: Client, viewer: User, support: User, address: str
) -> None:
    client.force_login(viewer)
    assert client.post(address, {"reason": "No.", "seen": "0"}).status_code == 403
    assert nothing_happened()

    client.force_login(support)
    assert client.get(address).status_code == 200


@pytest.mark.parametrize(("address", "data"), WRITE)
def test_moving_and_withdrawing_are_refused_to_support(
    client: Client, support: User, address: str, data: dict[str, str]
) -> None:
    client.force_login(support)

    answer = client.post(address, data)

    assert answer.status_code == 403
    assert "Release manager" in answer.content.decode()
    assert nothing_happened()


def test_who_may_not_promote_sees_the_role_that_may_and_no_button(client: Client, viewer: User) -> None:
    client.force_login(viewer)

    for address in ("/builds/4.2/", "/builds/4.2/promote/stable/"):
        html = client.get(address).content.decode()
        assert "Release manager" in html
        assert "btn-go" not in html
        assert 'method="post" class="confirm-bar"' not in html
    assert "Withdraw…" not in html


@pytest.mark.parametrize(
    "address",
    [
        "/problems/8/",
        "/problems/7/eat/",
        "/problems/7/acknowledge/9.9/",
        "/settings/gates/gamma/",
        "/builds/9.9/",
        "/builds/no version/",
        "/builds/4.2/promote/gamma/",
        "/builds/9/withdraw/",
    ],
)
def test_what_does_not_exist_is_not_found(client: Client, administrator: User, address: str) -> None:
    client.force_login(administrator)

    assert client.get(address).status_code == 404
