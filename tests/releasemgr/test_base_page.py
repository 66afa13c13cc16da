"""The shell around every page, and the pages for what goes wrong."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.test import Client, RequestFactory

from releasemgr.context import Shell
from releasemgr.lib.permission import needs
from releasemgr.views import not_allowed

POLICY = {
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "font-src 'self'",
    "connect-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
}  # fmt: skip
INLINE = re.compile(r"<style|<script(?![^>]*\bsrc=)|\s(?:style|on[a-z]+|hx-on[^=\s]*)=", re.IGNORECASE)


@pytest.fixture
def ines(db: None) -> User:
    return User.objects.create_user("ines", first_name="Ines", last_name="Okafor")


@pytest.fixture
def account(client: Client, ines: User) -> Any:
    client.force_login(ines)
    return client.get("/account/")


@pytest.mark.django_db
def test_every_page_forbids_what_it_does_not_need(client: Client, account: Any) -> None:
    for answer in (account, Client().get("/sign-in/"), client.get("/no-such-page/")):
        assert set(answer["Content-Security-Policy"].split("; ")) == POLICY


def test_the_shell_has_nothing_inline(account: Any) -> None:
    assert not INLINE.findall(account.content.decode())


@pytest.mark.parametrize("name", ["400.html", "403.html", "403_csrf.html", "404.html", "500.html"])
def test_an_error_page_needs_no_request_and_has_nothing_inline(name: str) -> None:
    html = render_to_string(name)

    assert not INLINE.findall(html)
    assert html.count("<h1") == 1
    assert 'href="/"' in html


def test_the_shell_names_its_landmarks_and_has_one_heading(account: Any) -> None:
    html = account.content.decode()

    assert html.count("<h1") == 1
    assert '<a class="skip-link" href="#main">' in html
    assert '<main class="content" id="main" tabindex="-1">' in html
    assert 'aria-label="Sections"' in html
    assert '<form class="search-box" role="search" action="/search/">' in html


def test_the_shell_shows_who_is_signed_in(account: Any) -> None:
    html = account.content.decode()

    assert '<span class="avatar-i" aria-hidden="true">IO</span>Ines Okafor' in html
    assert html.count('action="/sign-out/"') == 2
    assert 'data-keys="on"' in html


@pytest.mark.parametrize(
    ("path", "current"),
    [
        ("/", ["Overview"]),
        ("/sites/brightwater-test/", ["Sites"]),
        ("/customers/brightwater/", ["Sites"]),
        ("/builds/", ["Builds"]),
        ("/runs/tonight/", ["Nightly runs"]),
        ("/upgrades/8847/", ["Nightly runs"]),
        ("/freezes/7/", ["Calendar"]),
        ("/hosts/", ["Hosts"]),
        ("/problems/118/", ["Problems"]),
        ("/activity/", ["Activity"]),
        ("/account/", []),
    ],
)
def test_the_navigation_marks_the_section_of_the_page(path: str, current: list[str]) -> None:
    entries = Shell(RequestFactory().get(path)).navigation

    assert [str(entry.label) for entry in entries] == [
        "Overview", "Sites", "Builds", "Nightly runs", "Calendar", "Hosts", "Problems", "Activity",
    ]  # fmt: skip
    assert [str(entry.label) for entry in entries if entry.current] == current


@pytest.mark.urls("tests.releasemgr.urls_of_a_page")
def test_the_current_section_is_said_and_not_only_shown(client: Client, ines: User) -> None:
    client.force_login(ines)
    html = client.get("/sites/").content.decode()

    assert html.count('aria-current="page"') == 1
    assert '<a href="/sites/" data-go="s" aria-current="page">' in html


@pytest.mark.urls("tests.releasemgr.urls_of_a_page")
def test_messages_are_announced_and_escaped(client: Client, ines: User) -> None:
    client.force_login(ines)
    html = client.get("/sites/").content.decode()

    assert '<div class="note ok" role="status">' in html
    assert '<div class="note bad" role="alert">' in html
    assert "&lt;b&gt;refused&lt;/b&gt;" in html


@needs("builds.promote_build")
def promote(request: HttpRequest) -> HttpResponse:
    return HttpResponse("promoted")


def test_what_is_not_allowed_says_what_is_missing_and_who_can_do_it(client: Client, ines: User) -> None:
    ines.groups.add(Group.objects.get(name="Release manager"))
    tom = User.objects.create_user("tom")
    tom.groups.add(Group.objects.get(name="Support"))
    request = RequestFactory().post("/builds/4.20.2/promote/stable/")
    request.user = tom

    with pytest.raises(PermissionDenied) as refusal:
        promote(request)
    answer = not_allowed(request, refusal.value)

    html = answer.content.decode()
    assert answer.status_code == 403
    assert "It needs the permission “Can promote and demote builds”." in html
    assert "The roles Release manager, Administrator have it." in html
    assert "You have Support." in html
    assert "Who can do it: Ines Okafor." in html


def test_whoever_has_no_role_can_sign_out_and_is_led_to_no_page_that_refuses_again(
    client: Client, stranger: User
) -> None:
    client.force_login(stranger)

    html = client.get("/").content.decode()

    assert "You have no role." in html
    assert 'action="/sign-out/"' in html
    assert "Go to Overview" not in html


def test_who_has_the_permission_reaches_the_view(ines: User) -> None:
    ines.groups.add(Group.objects.get(name="Release manager"))
    request = RequestFactory().post("/")
    request.user = User.objects.get(pk=ines.pk)

    assert promote(request).content == b"promoted"
