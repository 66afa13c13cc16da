"""The page on which a person says whose a directory is."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from instances.models import Instance
from releasemgr.lib.history.models import Change
from tests.factories import make_build, make_host, make_instance

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]
MARK = f"{'ff' * 16} 7 shop"
PAGE, CLAIM = "/sites/acme-live/", "/sites/acme-live/directory/"


@pytest.fixture(autouse=True)
def site() -> Instance:
    make_build("1.0")
    return make_instance("acme-live", foreign_mark=MARK, host=make_host("web1"))


def test_the_site_and_the_overview_say_it(client: Client, release_manager: User) -> None:
    client.force_login(release_manager)

    html = client.get(PAGE).content.decode()

    assert "Its directory is marked as shop, site 7 of another installation (ffffffff)." in html
    assert CLAIM in html
    assert "A directory is marked as another site’s" in client.get("/").content.decode()


def test_a_person_claims_it_with_a_reason_and_the_site_is_asked(client: Client, release_manager: User) -> None:
    client.force_login(release_manager)
    assert "shop, site 7 of another installation" in client.get(CLAIM).content.decode()

    empty = client.post(CLAIM, {"seen": MARK, "reason": " "})
    done = client.post(CLAIM, {"seen": MARK, "reason": "Copied on purpose"}, follow=True)

    assert empty.status_code == 422
    assert "A person said that it is this site now" in done.content.decode()
    assert Instance.objects.get().mark_given_up == MARK
    [change] = Change.objects.all()
    assert (change.kind, change.by, change.reason) == ("site.directory_claimed", release_manager, "Copied on purpose")
    task = SignedPackage.loads(OrmQ.objects.get().payload)
    assert (task["func"], task["args"]) == ("upgrades.tasks.ask_versions_later", ([Instance.objects.get().pk],))
    assert "A directory is marked" not in client.get("/").content.decode()


def test_another_mark_than_the_person_saw_is_not_given_up(client: Client, release_manager: User) -> None:
    client.force_login(release_manager)

    answer = client.post(CLAIM, {"seen": "else", "reason": "Copied"})

    assert answer.status_code == 409
    assert "marked in another way now" in answer.content.decode()
    assert Instance.objects.get().mark_given_up == ""
    assert not Change.objects.exists()
    assert not OrmQ.objects.exists()


def test_where_nothing_is_in_doubt_there_is_nothing_to_say(client: Client, release_manager: User) -> None:
    client.force_login(release_manager)
    Instance.objects.update(foreign_mark="")

    answer = client.get(CLAIM, follow=True)

    assert "is not marked as another site’s" in answer.content.decode()


def test_only_those_who_may_edit_sites_may_say_it(client: Client, support: User) -> None:
    client.force_login(support)

    assert "Saying whose it is needs Release manager." in client.get(PAGE).content.decode()
    assert client.post(CLAIM, {"seen": MARK, "reason": "x"}).status_code == 403
    assert client.get(CLAIM).status_code == 403
    client.logout()
    assert client.get(CLAIM).status_code == 302
    assert Instance.objects.get().mark_given_up == ""


def test_it_is_not_done_by_other_methods(client: Client, release_manager: User) -> None:
    client.force_login(release_manager)
    assert client.put(CLAIM).status_code == 405
