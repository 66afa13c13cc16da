"""A form that makes something does so once, however often it is sent."""

import re
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from builds.models import Problem
from instances.models import Customer, Hold, Host
from releasemgr.models import Sent
from tests.factories import make_build, make_instance
from tests.together import run_together

NEW = "/problems/new/"


def filled(page: Any, **more: str) -> dict[str, str]:
    [token] = re.findall(r'name="once" value="([^"]+)"', page.content.decode())
    build = make_build("4.2").version
    return {
        "once": token, "severity": "minor", "first_affected": build, "title": "Loses mail", "url": "", "fixed_in": "",
        "seen": "0",
    } | more  # fmt: skip


@pytest.mark.django_db
def test_a_form_that_is_sent_twice_makes_one_thing_and_both_lead_to_it(client: Client, support: User) -> None:
    client.force_login(support)
    form = filled(client.get(NEW))
    first = client.post(NEW, form)
    second = client.post(NEW, form, follow=True)
    problem = Problem.objects.get()
    assert first.headers["Location"] == problem.get_absolute_url()
    assert second.redirect_chain == [(problem.get_absolute_url(), 302)]
    assert "That was sent twice. It was done once." in second.content.decode()


@pytest.mark.django_db
def test_what_was_refused_may_be_sent_again(client: Client, support: User) -> None:
    client.force_login(support)
    form = filled(client.get(NEW))
    assert client.post(NEW, form | {"title": ""}).status_code == 422
    assert not Sent.objects.exists()
    assert client.post(NEW, form).status_code == 302
    assert Problem.objects.count() == 1


@pytest.mark.django_db
def test_a_token_is_one_person_s_and_one_that_cannot_be_read_is_none(
    client: Client, support: User, release_manager: User
) -> None:
    client.force_login(support)
    form = filled(client.get(NEW))
    client.post(NEW, form)
    client.force_login(release_manager)
    client.post(NEW, form)
    client.post(NEW, form | {"once": "x"})
    assert Problem.objects.count() == 3


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        "/customers/new/", "/hosts/new/", "/hosts/authorities/", "/sites/new/", "/sites/acme-live/hold/",
        "/sites/acme-live/skip/", "/freezes/new/", NEW,
    ],
)  # fmt: skip
def test_every_form_that_makes_something_carries_a_token(client: Client, administrator: User, path: str) -> None:
    make_instance("acme-live")
    client.force_login(administrator)
    assert 'name="once"' in client.get(path).content.decode()


@pytest.mark.django_db
def test_a_site_is_put_on_hold_once(client: Client, support: User) -> None:
    site = make_instance("acme-live")
    client.force_login(support)
    [token] = re.findall(r'name="once" value="([^"]+)"', client.get("/sites/acme-live/skip/").content.decode())
    form = {"once": token, "seen": "0", "reason": ""}
    answers = [client.post("/sites/acme-live/skip/", form) for _time in range(2)]
    assert [answer.headers["Location"] for answer in answers] == [site.get_absolute_url()] * 2
    assert Hold.objects.count() == 1
    assert "sent twice" in client.get(site.get_absolute_url()).content.decode()
    late = client.post("/sites/acme-live/skip/", form | {"preview": "1"})
    assert (late.status_code, "sent twice" in late.content.decode()) == (200, False)


@pytest.mark.django_db(transaction=True)
def test_two_that_are_sent_at_the_same_time_make_one_thing(support: User) -> None:
    make_build("4.2")
    token = str(uuid4())

    def send() -> str:
        client = Client()
        client.force_login(support)
        form = {
            "once": token, "severity": "minor", "first_affected": "4.2", "title": "Loses mail", "url": "",
            "fixed_in": "", "seen": "0",
        }  # fmt: skip
        try:
            return str(client.post(NEW, form).headers["Location"])
        finally:
            connection.close()

    places = run_together(send, send)
    assert places == [Problem.objects.get().get_absolute_url()] * 2


@pytest.mark.django_db
def test_a_host_and_a_customer_are_made_once(client: Client, administrator: User) -> None:
    client.force_login(administrator)
    for path, values in (
        ("/customers/new/", {"name": "Acme", "slug": "acme"}),
        (
            "/hosts/new/",
            {
                "name": "app-1",
                "address": "10.0.0.1",
                "port": "22",
                "user": "x",
                "max_parallel": "2",
                "max_connections": "9",
            },
        ),
    ):
        form = values | {"once": str(uuid4()), "seen": "0", "reason": ""}
        answers = [client.post(path, form) for _time in range(2)]
        assert [answer.status_code for answer in answers] == [302, 302]
        assert answers[0].headers["Location"] == answers[1].headers["Location"]
    assert (Customer.objects.count(), Host.objects.count()) == (1, 1)
