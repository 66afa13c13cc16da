"""What no browser of ours sends: each is answered with 400, 404, 409 or 422, and changes nothing."""

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.test import Client

from builds.maturity import Maturity
from builds.models import Promotion
from instances.models import Host
from tests.factories import NOW, make_build, make_host, make_instance, make_upgrade
from upgrades.models import Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

NUL = "\x00"
MANY_DIGITS = "9" * 5000  # more than Python turns into a number


@pytest.fixture
def admin(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("/upgrades/now/?site=%00", 404),
        ("/upgrades/now/?site=a%00b", 404),
        ("/sites/?q=%00", 200),
        ("/sites/?host=%00&customer=%00", 200),
        ("/search/?q=%00", 200),
        (f"/search/?q={MANY_DIGITS}", 200),
        (f"/search/?q=%23{2**63}", 200),
        ("/sites/pins/?owner=%00&q=%00", 200),
        (f"/sites/pins/?page={MANY_DIGITS}&sort=nothing", 200),
        ("/sites/new/?customer=%00&host=%00", 200),
        ("/sites/site/target/?target=pin&until=%00&then=%00&ends=%00", 404),
        ("/builds/%00/", 404),
        ("/builds/4.2%2F..%2F/", 404),
        ("/builds/4.2/promote/%00/", 404),
        (f"/runs/{MANY_DIGITS}/", 404),
        (f"/upgrades/{MANY_DIGITS}/", 404),
        (f"/sites/?page={MANY_DIGITS}&sort=nothing", 200),
        (f"/activity/?page={MANY_DIGITS}&about={MANY_DIGITS}&q={MANY_DIGITS}", 200),
        ("/activity/?since=0000-00-00", 422),
    ],
)
def test_an_address_that_nothing_can_be_read_from(admin: Client, address: str, answer: int) -> None:
    make_build("4.2", maturity=Maturity.BETA)
    assert admin.get(address).status_code == answer


@pytest.mark.parametrize("query", ["before=0", "before=99999999999", "after=999999999999999-1&steps=9", "line=x"])
def test_lines_that_a_log_does_not_have_are_none(admin: Client, query: str) -> None:
    upgrade = make_upgrade()
    assert admin.get(f"/upgrades/{upgrade.pk}/log/?{query}").status_code == (400 if "line" in query else 200)


@pytest.mark.parametrize(
    "address",
    ["/", "/sites/", "/builds/", "/runs/", "/runs/tonight/", "/search/", "/account/", "/activity/", "/activity.csv"],
)
def test_a_page_answers_whoever_asks_only_for_its_head(admin: Client, address: str) -> None:
    answer = admin.head(address)

    assert (answer.status_code, answer.getvalue()) == (200, b"")


@pytest.mark.parametrize("sites", [NUL, MANY_DIGITS, "9" * 19, "٣", "1,", ",".join(["1"] * 100_000)])
def test_a_selection_that_is_none_is_not_understood(admin: Client, sites: str) -> None:
    answer = admin.post("/upgrades/now/", {"sites": sites, "seen": "x"})

    assert answer.status_code == 400
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    "shown",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        f'{{"{MANY_DIGITS}": "a"}}',
        MANY_DIGITS,
        "[1]",
        "NaN",
        '{"²": "a", "x": 1}',
        NUL,
    ],
)
def test_rows_shown_before_that_are_none_mark_nothing(admin: Client, shown: str) -> None:
    make_build("4.2", maturity=Maturity.BETA)
    make_instance("site", runs="4.1", target_channel_id="release")

    answer = admin.post("/builds/4.2/promote/release/", {"seen": "of another plan", "shown": shown})

    assert answer.status_code in (409, 422)
    assert not Promotion.objects.filter(to_maturity=Maturity.RELEASE).exists()


def test_a_key_that_is_none_is_not_approved(admin: Client) -> None:
    """U6."""
    host = make_host(host_key="", offered_key="ssh-ed25519 AAAA", offered_at=NOW)

    assert admin.post(f"/hosts/{host.name}/key/", {"seen": NUL, "typed": NUL}).status_code == 409
    assert Host.objects.get().host_key == ""


def test_a_name_longer_than_any_account_has_is_refused_like_another(client: Client) -> None:
    answer = client.post("/sign-in/", {"username": "a" * 100_000, "password": "guess"})

    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert not AccessAttempt.objects.exists()


def test_another_hosts_name_is_not_served(client: Client) -> None:
    client.raise_request_exception = False
    answer = client.get("/sign-in/", headers={"Host": "evil.example"})

    assert (answer.status_code, b"evil.example" in answer.content) == (400, False)
