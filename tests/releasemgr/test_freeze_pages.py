"""Freezes: the list, one of them, a new one, a change and an end (P8)."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from builds.maturity import Maturity
from instances.models import Freeze
from instances.services import change_freeze, end_freeze, open_freeze
from instances.windows import DAY
from releasemgr.lib.actors import COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from tests.factories import NOW, make_build, make_customer, make_instance

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

HTMX = {"HX-Request": "true"}
FORM = {
    "name": "Month end", "scope": "all", "starts_at": "2026-11-23T18:00", "ends_at": "2026-11-24T06:00",
    "zone": "Europe/Dublin", "repeats": "once", "reason": "Books",
}  # fmt: skip


@pytest.fixture(autouse=True)
def fleet() -> None:
    """Two live sites of two customers that tonight upgrades."""
    make_build("4.2", maturity=Maturity.RELEASE)
    make_instance("acme-live", runs="4.1", customer=make_customer("Acme"))
    make_instance("bolt-live", runs="4.1", customer=make_customer("Bolt"))


@pytest.fixture
def writer(client: Client, release_manager: User) -> Client:
    client.force_login(release_manager)
    return client


@pytest.fixture
def reader(client: Client, viewer: User) -> Client:
    client.force_login(viewer)
    return client


def opened(**values: Any) -> Freeze:
    standard = {
        "name": "Audit", "scope": "all", "starts_at": NOW - DAY, "ends_at": NOW + DAY, "zone": "UTC", "reason": "Rules",
    }  # fmt: skip
    return open_freeze(standard | values, actor=COMMAND, now=NOW)


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def test_the_list_tells_what_runs_from_what_comes_and_what_is_over(reader: Client) -> None:
    opened(name="Running")
    opened(name="Coming", starts_at=NOW + DAY, ends_at=NOW + 2 * DAY)
    opened(name="Again", starts_at=NOW - 2 * DAY, ends_at=NOW - DAY, repeats="FREQ=WEEKLY;BYDAY=SA")
    end_freeze(opened(name="Ended"), actor=COMMAND, now=NOW)
    opened(
        name="Exhausted", starts_at=NOW - 9 * DAY, ends_at=NOW - 8 * DAY, repeats="FREQ=DAILY;INTERVAL=2;UNTIL=20261118"
    )  # fmt: skip

    answer = reader.get("/freezes/")

    names = [[row.freeze.name for row in rows] for _title, rows in answer.context["groups"]]
    assert names == [["Running"], ["Coming", "Again"], ["Exhausted"]]
    assert [row.freeze.name for row in reader.get("/freezes/?show=past").context["over"]] == ["Ended"]


def test_empty_lists_say_so(reader: Client) -> None:
    assert "Nothing is frozen" in text(reader.get("/freezes/"))
    assert "No freeze is over" in text(reader.get("/freezes/?show=past"))


@pytest.mark.parametrize("query", ["", "?show=past"])
def test_the_list_costs_the_same_queries_for_any_number(reader: Client, query: str) -> None:
    counts = []
    for number in (1, 15):
        for _each in range(number):
            end_freeze(opened(scope="customer", customer=make_customer()), actor=COMMAND, now=NOW)
            opened(scope="customer", customer=make_customer())
        with CaptureQueriesContext(connection) as queries:
            assert reader.get(f"/freezes/{query}").status_code == 200
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_a_freeze_is_saved_with_its_local_hours_and_says_what_waits_tonight(
    writer: Client, release_manager: User
) -> None:
    answer = writer.post("/freezes/new/", FORM, follow=True)

    freeze = Freeze.objects.get()
    assert (freeze.starts_at, freeze.ends_at) == (NOW.replace(hour=18), NOW.replace(day=24, hour=6))
    assert (freeze.by, freeze.origin) == (release_manager, Origin.PAGE)
    assert "Month end is saved. Tonight 2 upgrades wait." in text(answer)
    assert "2 upgrades wait because of it" in text(answer)
    assert answer.redirect_chain == [(f"/freezes/{freeze.pk}/", 302)]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, ["Tonight 2 upgrades wait.", "2 sites are left alone.", "acme-live", "Mon 23 Nov 18:00", "Tue 24 Nov"]),
        ({"scope": "customer", "customer": "acme"}, ["Tonight 1 upgrade waits.", "1 site is left alone."]),
        ({"scope": "test"}, ["It changes nothing tonight.", "0 sites are left alone."]),
        ({"repeats": "weekly", "weekdays": ["0"]}, ["The next 5 times", "Mon 21 Dec 18:00"]),
        ({"repeats": "weekly"}, ["The next 5 times", "Mon 21 Dec 18:00"]),
        ({"repeats": "yearly"}, ["Tue 23 Nov 2027 18:00"]),
        ({"repeats": "month_day"}, ["Wed 23 Dec 18:00"]),
        ({"repeats": "rule", "rule": "FREQ=DAILY;INTERVAL=2", "last_day": "2026-11-26"}, ["The next 2 times"]),
        ({"ends_at": "2026-11-24T02:00"}, ["Tue 24 Nov <span class=\"muted\">(a part)</span>"]),
        ({"starts_at": "2026-11-25T10:00", "ends_at": "2026-11-25T18:00"}, ["It touches no night in that time."]),
        ({"repeats": "month_end"}, ["The next is Mon 30 Nov 18:00."]),
        ({"repeats": "weekly", "weekdays": ["1"]}, ["The next is Tue 24 Nov 18:00."]),
        ({"ends_at": "2026-11-23T18:00"}, ["The end has to be after the start."]),
        ({"ends_at": "2028-11-23T18:00"}, ["At most 366 days"]),
        ({"zone": "Mars"}, ["“Mars” is not a time zone."]),
        ({"starts_at": "soon"}, ["This is not a time."]),
        ({"scope": "customer"}, ["Choose the customer."]),
        ({"scope": "tag", "tag": "nothing"}, ["Select a valid choice"]),
        ({"repeats": "rule"}, ["Write the rule."]),
        ({"repeats": "rule", "rule": "FREQ=HOURLY"}, ["is not how something repeats"]),
    ],
)  # fmt: skip
def test_t3_before_it_is_saved_the_form_says_what_it_does(
    writer: Client, values: dict[str, Any], said: list[str]
) -> None:
    unnamed = FORM | {"name": "", "reason": ""} | values

    answer = writer.get("/freezes/new/", unnamed, headers=HTMX)

    assert answer.status_code == 200
    assert [words for words in said if words not in text(answer)] == []
    assert "<h1" not in text(answer)
    assert not Freeze.objects.exists()


def test_t3_without_script_a_button_previews_and_saves_nothing(writer: Client) -> None:
    answer = writer.post("/freezes/new/", FORM | {"name": "", "preview": "1"})

    assert answer.status_code == 200
    assert "Tonight 2 upgrades wait." in text(answer)
    assert not Freeze.objects.exists()


def test_a_freeze_that_ends_within_the_night_lets_the_sites_go_later(writer: Client) -> None:
    """P1: a freeze counts by the time at which the turn comes."""
    assert "It changes nothing tonight." in text(
        writer.get("/freezes/new/", FORM | {"ends_at": "2026-11-24T02:00"}, headers=HTMX)
    )


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"name": ""}, "name", "This field is required."),
        ({"reason": ""}, "reason", "A freeze needs a reason."),
        ({"repeats": "rule", "rule": "FREQ=DAILY", "ends_at": "2026-11-25T18:00"}, "rule", "it would never end"),
        ({"name": "two\nlines"}, "name", ""),
        ({"ends_at": "2026-11-20T18:00"}, "ends_at", "The end has to be after the start."),
    ],
)
def test_what_is_refused_stands_beside_its_field_and_what_was_typed_is_kept(
    writer: Client, values: dict[str, str], field: str, said: str
) -> None:
    answer = writer.post("/freezes/new/", FORM | values)

    assert answer.status_code == 422
    assert said in " ".join(answer.context["form"].errors[field])
    assert 'value="Europe/Dublin"' in text(answer)
    assert not Freeze.objects.exists()
    assert not Change.objects.filter(kind="freeze.opened").exists()


def test_a_customers_freeze_is_chosen_by_the_address(writer: Client) -> None:
    form = writer.get("/freezes/new/?customer=acme").context["form"]

    assert (form["scope"].value(), form["customer"].value(), form["name"].value()) == ("customer", "acme", "Acme")
    assert writer.get("/freezes/new/?customer=nobody").status_code == 404


def test_a_change_shows_the_freeze_as_it_is_and_saves_what_differs(writer: Client) -> None:
    freeze = opened(repeats="FREQ=WEEKLY;BYDAY=SU;UNTIL=20270331", zone="Europe/Dublin", ends_at=NOW)
    address = f"/freezes/{freeze.pk}/change/"
    form = writer.get(address).context["form"]
    sent = {name: form[name].value() for name in form.fields if form[name].value() not in (None, "")}
    sent |= {name: f"{sent[name]:%Y-%m-%dT%H:%M}" for name in ("starts_at", "ends_at")}
    assert (sent["repeats"], sent["weekdays"], f"{sent['last_day']}") == ("weekly", [6], "2027-03-31")

    unchanged = writer.post(address, sent, follow=True)
    assert "Nothing was changed." in text(unchanged)
    assert "It changes nothing tonight." in text(writer.get(address, sent, headers=HTMX))
    writer.post(address, sent | {"name": "Sundays", "last_day": ""})

    freeze.refresh_from_db()
    assert (freeze.name, freeze.repeats) == ("Sundays", "FREQ=WEEKLY;BYDAY=SU")
    assert Change.objects.latest("pk").kind == "freeze.changed"


def test_t7_a_change_and_an_end_are_refused_after_another_persons_change(writer: Client, release_manager: User) -> None:
    freeze = opened()
    seen = str(Change.objects.latest("pk").pk)
    colleague = Actor(Origin.PAGE, User.objects.create_user("tomas", first_name="Tomas"))
    Freeze.objects.filter(pk=freeze.pk).update(reason="Audit until Friday")
    change_freeze(freeze, {"name": "Easter"}, actor=colleague, now=NOW)

    for address, sent in (("change", FORM), ("end", {"when": "now"})):
        answer = writer.post(f"/freezes/{freeze.pk}/{address}/", sent | {"seen": seen})
        assert answer.status_code == 409
        assert "Tomas changed Audit meanwhile" in text(answer).replace("Easter", "Audit")
        assert "Nothing was saved" in text(answer)
    freeze.refresh_from_db()
    assert (freeze.name, freeze.ended_at) == ("Easter", None)


def test_ending_says_what_goes_tonight_then_ends_it(writer: Client) -> None:
    freeze = opened()
    address = f"/freezes/{freeze.pk}/end/"

    page = writer.get(address)
    assert "Tonight 2 sites more upgrade." in text(page)
    seen = page.context["form"]["seen"].value()
    answer = writer.post(address, {"when": "now", "seen": seen, "reason": "Done early"}, follow=True)

    freeze.refresh_from_db()
    assert freeze.ended_at == NOW
    assert Change.objects.latest("pk").reason == "Done early"
    assert "Audit is over." in text(answer)
    assert writer.get(address).status_code == 302, "an end is not ended again"


@pytest.mark.parametrize(
    ("repeats", "at", "became"),
    [("", "2026-11-23T18:00", ""), ("FREQ=WEEKLY;BYDAY=SU", "2027-01-03", "FREQ=WEEKLY;BYDAY=SU;UNTIL=20270103")],
)
def test_a_freeze_may_end_later(writer: Client, repeats: str, at: str, became: str) -> None:
    freeze = opened(repeats=repeats)
    seen = str(Change.objects.latest("pk").pk)

    preview = writer.get(f"/freezes/{freeze.pk}/end/", {"when": "later", "at": at}, headers=HTMX)
    writer.post(f"/freezes/{freeze.pk}/end/", {"when": "later", "at": at, "seen": seen})

    freeze.refresh_from_db()
    assert (freeze.repeats, freeze.ended_at) == (became, None)
    assert freeze.ends_at == (NOW + DAY if repeats else NOW + timedelta(hours=6))
    assert ("It changes nothing tonight." if repeats else "Tonight 2 sites more upgrade.") in text(preview)


@pytest.mark.parametrize(
    ("at", "said"),
    [("", "Say when it ends."), ("2026-11-01T00:00", "after the start"), ("2029-01-01T00:00", "366 days")],
)
def test_an_end_that_may_not_be_is_refused_beside_its_field(writer: Client, at: str, said: str) -> None:
    freeze = opened()
    seen = str(Change.objects.latest("pk").pk)

    answer = writer.post(f"/freezes/{freeze.pk}/end/", {"when": "later", "at": at, "seen": seen})

    assert answer.status_code == 422
    assert said in " ".join(answer.context["form"].errors["at"])


READ = ["/freezes/", "/freezes/?show=past", "/freezes/new/", "/freezes/1/", "/freezes/1/change/", "/freezes/1/end/"]


def at(address: str) -> str:
    return address.replace("/1/", f"/{opened().pk}/")


@pytest.mark.parametrize("address", READ)
def test_who_reaches_the_pages(client: Client, viewer: User, stranger: User, address: str) -> None:
    address = at(address)
    assert client.get(address)["Location"].startswith("/sign-in/?next=")

    client.force_login(stranger)
    assert client.get(address).status_code == 403

    client.force_login(viewer)
    answer = client.get(address)
    assert answer.status_code == 200
    assert ("Release manager" in text(answer)) == ("past" not in address or "New freeze…" not in text(answer))


@pytest.mark.parametrize(
    ("address", "sent"), [("/freezes/new/", FORM), ("/freezes/1/change/", FORM), ("/freezes/1/end/", {"when": "now"})]
)
def test_only_who_may_freezes(client: Client, support: User, address: str, sent: dict[str, str]) -> None:
    address = at(address)
    client.force_login(support)

    answer = client.post(address, sent)

    assert answer.status_code == 403
    assert "Release manager" in text(answer)
    assert Freeze.objects.filter(ended_at=None, name="Audit").count() == Freeze.objects.count()


def test_what_does_not_exist_is_not_found_and_lists_take_no_post(writer: Client) -> None:
    assert writer.get("/freezes/99/").status_code == 404
    assert writer.post("/freezes/").status_code == 405
    assert writer.post(at("/freezes/1/")).status_code == 405


@pytest.mark.parametrize("address", ["/freezes/new/", "/freezes/1/change/", "/freezes/1/end/"])
def test_a_fragment_is_never_the_whole_page(reader: Client, address: str) -> None:
    """Fields that are switched off are not sent."""
    assert "<h1" not in text(reader.get(at(address), headers=HTMX))
