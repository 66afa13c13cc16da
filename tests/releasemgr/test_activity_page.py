"""The page Activity: every change in words, its filters, its exports, and who may read it."""

import csv
import io
import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.template.loader import render_to_string
from django.test import Client
from django.test.utils import CaptureQueriesContext

from builds.maturity import Maturity
from releasemgr.lib.actors import AUTOMATIC, COMMAND, IMPORT, Actor, Origin
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import change_of, record, record_all
from releasemgr.pages.activity import activity_of
from tests.factories import NOW, make_build, make_customer, make_host, make_instance, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

ADDRESSES = ["/activity/", "/activity.csv", "/activity.json"]
DAY = timedelta(days=1)


@pytest.fixture
def reader(client: Client, viewer: User) -> Client:
    client.force_login(viewer)
    return client


@pytest.fixture
def changes() -> None:
    """One change of each sort of subject, oldest first."""
    ines = Actor(Origin.PAGE, make_user(username="ines", first_name="Ines", last_name="Okafor"))
    acme, bolt, host = make_customer("Acme (UK)"), make_customer("Bolt"), make_host("web1")
    live = make_instance("acme-live", customer=acme, host=host)
    other = make_instance("acme-live-2", customer=bolt)
    build = make_build("4.2.1", maturity=Maturity.BETA)
    record("site.added", live, actor=IMPORT, now=NOW - 3 * DAY, after={"customer": "Acme (UK)", "url": ""})
    record(
        "target.changed", live, actor=ines, now=NOW - 2 * DAY, before={"channel": "stable"},
        after={"version": "4.2.1", "ends": "never"}, reason="Auditors on site.",
    )  # fmt: skip
    record("hold.opened", other, actor=COMMAND, now=NOW - DAY, after={"ends_at": NOW + DAY})
    record("build.promoted", build, actor=AUTOMATIC, now=NOW, before={"channel": "alpha"}, after={"channel": "beta"})
    record("host.key_approved", host, actor=ines, now=NOW)
    record("freeze.opened", acme, actor=ines, now=NOW, after={"customer": "Acme (UK)"}, reason="Year’s end.")
    record("moon.landed_on", bolt, actor=COMMAND, now=NOW)


def kinds(answer: Any) -> list[str]:
    assert answer.status_code == 200
    return [line.change.kind for line in answer.context["lines"]]


@pytest.mark.parametrize("address", ADDRESSES)
def test_who_is_not_signed_in_is_asked_to(client: Client, address: str) -> None:
    assert client.get(address)["Location"] == f"/sign-in/?next={address}"


@pytest.mark.parametrize("address", ADDRESSES)
def test_someone_without_a_role_is_told_what_is_missing(client: Client, stranger: User, address: str) -> None:
    client.force_login(stranger)

    answer = client.get(address)

    assert answer.status_code == 403
    assert "You have no role." in answer.content.decode()


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_viewer_reads_it_and_nobody_posts_to_it(reader: Client, address: str) -> None:
    assert reader.get(address).status_code == 200
    assert reader.post(address).status_code == 405


@pytest.mark.usefixtures("changes")
def test_a_line_says_what_from_to_who_when_why_and_from_where(reader: Client) -> None:
    html = reader.get("/activity/?group=targets").content.decode()

    for words in (
        "Target changed", 'href="/sites/acme-live/">acme-live</a>', '<span class="from">stable</span>',
        '<b class="strong">pinned 4.2.1</b>', "“Auditors on site.”", "Ines Okafor", ">page<", "21 Nov 12:00",
    ):  # fmt: skip
        assert words in html


@pytest.mark.usefixtures("changes")
def test_the_newest_change_stands_first_and_an_unknown_kind_is_told_by_its_name(reader: Client) -> None:
    answer = reader.get("/activity/")

    assert kinds(answer) == [
        "moon.landed_on", "freeze.opened", "host.key_approved", "build.promoted", "hold.opened", "target.changed",
        "site.added",
    ]  # fmt: skip
    assert "Moon landed on" in answer.content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=acme-live", ["hold.opened", "target.changed", "site.added"]),
        ("q=AUDITORS", ["target.changed"]),
        ("about=acme-live", ["target.changed", "site.added"]),
        ("about=Acme+(UK)", ["freeze.opened", "target.changed", "site.added"]),
        ("about=acme-uk", ["freeze.opened", "target.changed", "site.added"]),
        ("about=live", ["hold.opened", "target.changed", "site.added"]),
        ("about=bolt", ["moon.landed_on", "hold.opened"]),
        ("about=web1", ["host.key_approved"]),
        ("about=4.2.1", ["build.promoted", "target.changed"]),
        ("about=v4.2.1.0", ["build.promoted", "target.changed"]),
        ("about=4.2", []),
        ("about=nobody", []),
        ("group=holds", ["freeze.opened", "hold.opened"]),
        ("group=other", ["moon.landed_on"]),
        ("person=ines", ["freeze.opened", "host.key_approved", "target.changed"]),
        ("origin=automatic", ["build.promoted"]),
        ("since=2026-11-21&until=2026-11-22", ["hold.opened", "target.changed"]),
        ("until=2026-11-20", ["site.added"]),
        ("until=9999-12-31&since=0001-01-01&origin=import", ["site.added"]),
        ("person=ines&group=fleet&since=2026-11-23", ["host.key_approved"]),
    ],
)
@pytest.mark.usefixtures("changes")
def test_filters_find(reader: Client, query: str, found: list[str]) -> None:
    assert kinds(reader.get(f"/activity/?{query}")) == found


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ("person=nobody", "Who", "nobody is not one of"),
        ("group=typo", "What", "typo is not one of"),
        ("origin=moon", "From where", "moon is not one of"),
        ("since=yesterday", "From", "Enter a valid date."),
        ("until=2026-02-30", "To", "Enter a valid date."),
        ("since=2026-11-02&until=2026-11-01", "To", "This day is before the first one."),
        ("q=%00", "Name or reason", "Null characters are not allowed."),
        ("about=%00", "Site, customer, host or build", "Null characters are not allowed."),
    ],
)
@pytest.mark.usefixtures("changes")
def test_a_malformed_filter_finds_nothing_and_is_told(reader: Client, query: str, field: str, said: str) -> None:
    """An auditor must not take another list for the one that was asked for."""
    answer = reader.get(f"/activity/?{query}")

    html = answer.content.decode()
    assert (answer.status_code, answer.context["lines"]) == (422, [])
    assert f"{field}: " in html
    assert said in html
    for address in ADDRESSES[1:]:
        refused = reader.get(f"{address}?{query}")
        assert refused.status_code == 422
        assert said in refused.content.decode()


@pytest.mark.usefixtures("changes")
def test_a_fragment_holds_the_rows_and_leads_to_their_exports(reader: Client) -> None:
    answer = reader.get("/activity/?q=acme&person=", headers={"HX-Request": "true"})

    html = answer.content.decode()
    assert "<h1" not in html
    assert 'id="activity-summary" hx-swap-oob' in html
    assert 'href="/activity.csv?q=acme"' in html
    assert answer["HX-Push-Url"] == "/activity/?q=acme"


def test_what_was_never_changed_and_what_matches_nothing_is_said(reader: Client) -> None:
    assert "Nothing has been changed yet" in reader.get("/activity/").content.decode()
    assert "No change matches" in reader.get("/activity/?q=x").content.decode()


def test_the_list_has_pages_and_the_number_of_queries_does_not_grow(reader: Client) -> None:
    counts = []
    for number in (2, 49):
        for _each in range(number):
            actor = Actor(Origin.PAGE, make_user())
            for subject in (make_instance(), make_build()):
                record("site.changed", subject, actor=actor, now=NOW, after={"url": "https://a.example"})
        with CaptureQueriesContext(connection) as queries:
            answer = reader.get("/activity/?about=site")
        counts.append(len(queries))
        assert answer.status_code == 200

    assert counts[0] == counts[1] <= 50  # about thirty of them for the shell
    assert len(reader.get("/activity/").context["lines"]) == 50
    assert len(reader.get("/activity/?page=3").context["lines"]) == 2


def text_of(answer: Any) -> str:
    assert answer.status_code == 200
    return b"".join(answer.streaming_content).decode()


@pytest.mark.usefixtures("changes")
def test_the_exports_have_the_filtered_rows_and_are_named_after_them_and_who_took_them(
    reader: Client, viewer: User
) -> None:
    query = "about=acme-live&group=targets"
    as_csv, as_json = reader.get(f"/activity.csv?{query}"), reader.get(f"/activity.json?{query}")

    rows, data = list(csv.DictReader(io.StringIO(text_of(as_csv)))), json.loads(text_of(as_json))
    name = f"activity-about-acme-live-group-targets-exported-by-{viewer.username}-2026-11-23T1200Z"
    assert as_csv["Content-Disposition"] == f'attachment; filename="{name}.csv"'
    assert as_json["Content-Disposition"] == f'attachment; filename="{name}.json"'
    assert [(row["Who"], row["From where"], row["What"], row["Name"], row["Change"]) for row in rows] == [
        ("Ines Okafor", "page", "Target changed", "acme-live", "stable → pinned 4.2.1"),
    ]  # fmt: skip
    assert (data["exported_by"], data["filters"]) == (viewer.username, {"about": "acme-live", "group": "targets"})
    assert [(one["by"], one["after"], one["reason"]) for one in data["changes"]] == [
        ("ines", {"version": "4.2.1", "ends": "never"}, "Auditors on site."),
    ]  # fmt: skip


def test_an_export_has_every_row_in_a_few_queries_and_is_not_held_in_memory(reader: Client) -> None:
    customer = make_customer()
    record_all(change_of("customer.changed", customer, actor=COMMAND, now=NOW) for _each in range(2100))

    answer = reader.get("/activity.json")

    assert answer.streaming
    assert "Content-Length" not in answer.headers
    with CaptureQueriesContext(connection) as queries:
        assert len(json.loads(text_of(answer))["changes"]) == 2100
    assert len(queries) <= 1
    assert text_of(reader.get("/activity.csv")).count("\r\n") == 2101


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_an_export_gives_a_spreadsheet_no_formula(reader: Client, text: str) -> None:
    """Whatever a person writes as a name or a reason."""
    Change.objects.create(
        kind=text, subject_type=text, subject_id="1", subject_name=text, at=NOW, origin=Origin.COMMAND, reason=text,
        after={"url": text},
    )  # fmt: skip

    rows = list(csv.reader(io.StringIO(text_of(reader.get("/activity.csv")))))

    assert [cell for cell in rows[1] if cell.startswith(text[0])] == []
    assert rows[1].count(f"'{text}") >= 3


def test_a_file_name_holds_nothing_that_a_filter_could_break_it_with(reader: Client) -> None:
    named = reader.get('/activity.csv?q=a"%0D%0AX: b/../c')["Content-Disposition"]

    assert named.startswith('attachment; filename="activity-q-a-X-b-..-c-exported-by-viewer')


def rendered(lines: Iterable[Any]) -> str:
    return " ".join(render_to_string("components/_activity.html", {"lines": list(lines)}).split())


def test_a_thing_has_its_own_last_changes_for_its_page(django_assert_num_queries: Any, support: User) -> None:
    site, other = make_instance("acme-live"), make_instance()
    for url in ("a", "b", "c"):
        record("site.changed", site, actor=Actor(Origin.PAGE, support), now=NOW, after={"url": url}, reason="<b>")
    record("site.changed", other, actor=COMMAND, now=NOW)

    with django_assert_num_queries(2):
        lines = activity_of(site, 2)

    assert [line.change.after["url"] for line in lines] == ["c", "b"]
    html = rendered(lines)
    assert "Site changed" in html
    assert f"{support.username.capitalize()}: “&lt;b&gt;”" in html
    assert "Nothing has been changed yet." in rendered(activity_of(make_host(), 2))
