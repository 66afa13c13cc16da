"""Filters of the page Sites under a name: saving, sharing, renaming, deleting, starting with one."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from instances.choices import Kind
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import last_seen
from releasemgr.models import SavedView, profile_of
from tests.factories import make_customer, make_instance, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture(autouse=True)
def fleet() -> None:
    acme = make_customer("Acme")
    make_instance("acme-live", customer=acme)
    make_instance("acme-test", customer=acme, kind=Kind.TEST)
    make_instance("other-test", kind=Kind.TEST)


@pytest.fixture
def reader(client: Client, viewer: User) -> Client:
    client.force_login(viewer)
    return client


def view_of(owner: User, name: str = "Mine", query: str = "kind=test", *, shared: bool = False) -> SavedView:
    return SavedView.objects.create(owner=owner, name=name, query=query, shared=shared)


def links(answer: Any) -> dict[str, int | None]:
    return {view.label: view.count for view in answer.context["views"]}


def test_the_present_filter_is_saved_under_a_name_and_stands_above_the_table(reader: Client, viewer: User) -> None:
    answer = reader.post(
        "/views/", {"name": "Acme’s tests", "query": "page=2&kind=test&customer=acme&sort=-slug&q="}
    )  # fmt: skip

    assert answer["Location"] == "/sites/?customer=acme&kind=test"
    view = SavedView.objects.get()
    assert (view.owner, view.query, view.shared) == (viewer, "customer=acme&kind=test", False)
    page = reader.get(answer["Location"])
    assert links(page)["Acme’s tests"] == 1
    assert [link.label for link in page.context["views"] if link.current] == ["Acme’s tests"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"name": "", "query": "kind=test"}, "This field is required."),
        ({"name": "x" * 61, "query": "kind=test"}, "at most 60 characters"),
        ({"name": "Mine", "query": "kind=test"}, "You have a view of this name already."),
        ({"name": "New", "query": "hots=web1"}, "There is no filter “hots”."),
        ({"name": "New", "query": "kind=prod"}, "“prod” is not one of live, test."),
        ({"name": "a\x00b", "query": ""}, "Null characters are not allowed."),
    ],
)
def test_a_view_is_refused_with_the_reason_and_what_was_typed_is_kept(
    reader: Client, viewer: User, data: dict[str, str], words: str
) -> None:
    view_of(viewer)

    answer = reader.post("/views/", data)

    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert data["name"][:20].replace("\x00", "") in answer.content.decode().replace("\x00", "")
    assert SavedView.objects.count() == 1


def test_others_see_a_view_only_when_it_is_shared(reader: Client) -> None:
    sam = make_user(role="Support")
    view_of(sam, "Sam’s own")
    view_of(sam, "For all", shared=True)

    assert "For all" in links(reader.get("/sites/"))
    assert "Sam’s own" not in links(reader.get("/sites/"))
    assert "Sam’s own" not in reader.get("/views/").content.decode()


def test_its_owner_renames_shares_and_deletes_a_view(reader: Client, viewer: User) -> None:
    view = view_of(viewer)

    reader.post(f"/views/{view.pk}/", {"name": "Tests", "shared": "1", "seen": "0"})
    view.refresh_from_db()
    assert (view.name, view.shared, view.query) == ("Tests", True, "kind=test")

    view_of(viewer, "Other")
    seen = str(last_seen(view))
    refused = reader.post(f"/views/{view.pk}/", {"name": "Other", "seen": seen})
    assert (refused.status_code, "of this name already" in refused.content.decode()) == (422, True)

    reader.post(f"/views/{view.pk}/", {"delete": "1", "seen": seen})
    assert list(SavedView.objects.values_list("name", flat=True)) == ["Other"]


def test_another_one_may_not_change_a_view_and_an_administrator_may(
    client: Client, support: User, release_manager: User, administrator: User
) -> None:
    own, shared = view_of(support), view_of(support, "Shared", shared=True)
    client.force_login(release_manager)
    assert client.post(f"/views/{own.pk}/", {"delete": "1"}).status_code == 404
    refused = client.post(f"/views/{shared.pk}/", {"delete": "1"})
    assert (refused.status_code, "Administrator" in refused.content.decode()) == (403, True)
    assert SavedView.objects.count() == 2

    client.force_login(administrator)
    for view in (own, shared):
        assert client.post(f"/views/{view.pk}/", {"delete": "1"}).status_code == 302
    assert not SavedView.objects.exists()


def test_a_person_starts_the_page_with_a_view_and_with_all_again(reader: Client, viewer: User) -> None:
    view = view_of(viewer)

    reader.post("/views/first/", {"view": view.pk})
    assert reader.get("/sites/")["Location"] == "/sites/?kind=test"
    assert len(reader.get("/sites/?all=1").context["table"].rows) == 3

    reader.post("/views/first/", {"view": ""})
    assert profile_of(viewer).first_view is None
    assert reader.get("/sites/").status_code == 200


def test_a_view_that_is_gone_or_not_shared_any_more_starts_nothing(reader: Client, viewer: User) -> None:
    view = view_of(make_user(role="Support"), shared=True)
    reader.post("/views/first/", {"view": view.pk})
    SavedView.objects.update(shared=False)
    assert reader.get("/sites/").status_code == 200
    assert reader.post("/views/first/", {"view": view.pk}).status_code == 404
    assert reader.post("/views/first/", {"view": "x"}).status_code == 404

    view.delete()
    assert profile_of(viewer).first_view is None


def test_a_view_whose_filter_is_not_understood_any_more_says_so(reader: Client, viewer: User) -> None:
    view_of(viewer, query="colour=red")

    assert links(reader.get("/sites/"))["Mine"] is None
    assert "not understood any more" in reader.get("/views/").content.decode()
    assert "There is no filter “colour”." in reader.get("/sites/?colour=red").content.decode()


def test_the_database_keeps_one_view_of_a_name_for_each_person(viewer: User, support: User) -> None:
    view_of(viewer)
    view_of(support)
    with pytest.raises(IntegrityError), transaction.atomic():
        view_of(viewer)


def test_views_cost_no_query_each(reader: Client, viewer: User) -> None:
    counts = []
    for number in (1, 6):
        for each in range(number):
            view_of(viewer, f"View {number} {each}", "state=off-target&version=4.1")
        with CaptureQueriesContext(connection) as queries:
            reader.get("/sites/")
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_who_reaches_the_views(client: Client, stranger: User) -> None:
    assert client.get("/views/")["Location"].startswith("/sign-in/")
    client.force_login(stranger)
    assert client.get("/views/").status_code == 403
    assert client.post("/views/", {"name": "x", "query": ""}).status_code == 403
    for address in ("/views/1/", "/views/first/"):
        assert client.post(address).status_code == 403


def test_what_acts_takes_no_get(reader: Client, viewer: User) -> None:
    for address in (f"/views/{view_of(viewer).pk}/", "/views/first/"):
        assert reader.get(address).status_code == 405


def test_what_everyone_sees_has_a_history_and_what_is_one_s_own_has_none(reader: Client, viewer: User) -> None:
    own = view_of(viewer)
    reader.post(f"/views/{own.pk}/", {"name": "Still mine", "seen": "0"})
    assert not Change.objects.exists()

    reader.post(f"/views/{own.pk}/", {"name": "Ours", "shared": "1", "seen": "0"})
    reader.post(f"/views/{own.pk}/", {"delete": "1", "seen": str(last_seen(own))})

    assert [(one.kind, one.subject_name, one.by) for one in Change.objects.order_by("pk")] == [
        ("view.changed", "Ours", viewer), ("view.deleted", "Ours", viewer),
    ]  # fmt: skip


@pytest.mark.parametrize("act", [{"name": "Second"}, {"delete": "1", "name": "x"}])
def test_t7_whoever_did_not_see_the_last_change_of_a_view_is_shown_it(
    reader: Client, viewer: User, act: dict[str, str]
) -> None:
    view = view_of(viewer, shared=True)
    reader.post(f"/views/{view.pk}/", {"name": "First", "shared": "1", "seen": "0"})

    answer = reader.post(f"/views/{view.pk}/", act | {"shared": "1", "seen": "0"})

    assert answer.status_code == 422
    assert f"First was changed by {viewer.username} meanwhile" in answer.content.decode()
    assert SavedView.objects.get().name == "First"
