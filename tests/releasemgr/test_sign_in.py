"""Nobody sees anything before signing in, guessing is stopped, and people keep their own settings."""

import pytest
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from releasemgr.models import Profile, profile_of

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture
def ines() -> User:
    return User.objects.create_user("ines", password=PASSWORD, first_name="Ines", last_name="Okafor")


@pytest.fixture
def signed_in(client: Client, ines: User) -> Client:
    client.force_login(ines)
    return client


def sign_in(client: Client, password: str = PASSWORD) -> int:
    return client.post("/sign-in/?next=/account/", {"username": "ines", "password": password}).status_code


def test_a_stranger_is_sent_to_sign_in_and_back(client: Client, ines: User) -> None:
    refused = client.get("/account/")
    assert (refused.status_code, refused["Location"]) == (302, "/sign-in/?next=/account/")

    accepted = client.post(refused["Location"], {"username": "ines", "password": PASSWORD})
    assert (accepted.status_code, accepted["Location"]) == (302, "/account/")


def test_a_fragment_sends_the_whole_page_to_sign_in(client: Client) -> None:
    page = "http://testserver/sites/?q=a"
    answer = client.get("/account/", headers={"HX-Request": "true", "HX-Current-URL": page})

    assert answer.status_code == 200
    assert answer["HX-Redirect"] == "/sign-in/?next=/sites/%3Fq%3Da"
    assert answer.content == b""


def test_a_wrong_password_is_told_without_saying_which_part_was_wrong(client: Client, ines: User) -> None:
    answer = client.post("/sign-in/", {"username": "ines", "password": "wrong"})

    assert "No account has this name and password." in answer.content.decode()
    assert "_auth_user_id" not in client.session


@pytest.mark.urls("tests.releasemgr.urls_of_a_page")
def test_signing_in_never_leads_to_another_site(client: Client, ines: User) -> None:
    answer = client.post("/sign-in/?next=https://evil.example/", {"username": "ines", "password": PASSWORD})

    assert answer["Location"] == "/"


def test_guessing_locks_the_name_from_that_address(client: Client, ines: User) -> None:
    for _attempt in range(settings.AXES_FAILURE_LIMIT - 1):
        assert sign_in(client, "wrong") == 200
    assert sign_in(client, "wrong") == 429

    locked = client.post("/sign-in/", {"username": "ines", "password": PASSWORD})
    assert locked.status_code == 429
    assert "Signing in with this name from here is locked for 15 min." in locked.content.decode()
    assert "_auth_user_id" not in client.session
    assert AccessAttempt.objects.count() == 1


def test_signing_out_takes_a_post(signed_in: Client) -> None:
    assert signed_in.get("/sign-out/").status_code == 405
    assert "_auth_user_id" in signed_in.session

    assert signed_in.post("/sign-out/")["Location"] == "/sign-in/"
    assert "_auth_user_id" not in signed_in.session


def test_settings_are_saved_for_that_person_alone(signed_in: Client, ines: User) -> None:
    other = User.objects.create_user("tom")
    assert profile_of(ines).pk is None

    answer = signed_in.post("/account/", {"theme": "dark"})

    assert answer["Location"] == "/account/"
    assert Profile.objects.values_list("user__username", "theme", "single_keys").get() == ("ines", "dark", False)
    assert profile_of(other).theme == "system"


def test_the_theme_button_changes_the_theme_and_comes_back(signed_in: Client, ines: User) -> None:
    page = "http://testserver/account/"
    answer = signed_in.post("/account/theme/", {"theme": "dark"}, headers={"Referer": page})

    assert (answer.status_code, answer["Location"]) == (302, page)
    assert profile_of(ines).theme == "dark"
    assert '<html lang="en-gb" data-bs-theme="dark">' in signed_in.get("/account/").content.decode()


def test_the_theme_button_answers_htmx_with_itself(signed_in: Client) -> None:
    answer = signed_in.post("/account/theme/", {"theme": "light"}, headers={"HX-Request": "true"})

    html = answer.content.decode()
    assert html.lstrip().startswith('<form id="theme"')
    assert 'data-theme="light"' in html
    assert 'value="dark"' in html


def test_an_unknown_theme_is_refused(signed_in: Client) -> None:
    assert signed_in.post("/account/theme/", {"theme": "pink"}).status_code == 400
    assert signed_in.get("/account/theme/").status_code == 405
    assert not Profile.objects.exists()


def test_a_password_is_changed_with_the_old_one(signed_in: Client, ines: User) -> None:
    new = "another horse entirely"
    passwords = {"old_password": "wrong", "new_password1": new, "new_password2": new}

    refused = signed_in.post("/account/password/", passwords)
    assert refused.status_code == 422
    ines.refresh_from_db()
    assert ines.check_password(PASSWORD)

    accepted = signed_in.post("/account/password/", passwords | {"old_password": PASSWORD})
    assert accepted["Location"] == "/account/"
    ines.refresh_from_db()
    assert ines.check_password(new)


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_what_a_person_was_shown_is_kept_by_no_cache(signed_in: Client, headers: dict[str, str]) -> None:
    """Back after signing out shows nothing; htmx keeps no copy either."""
    page = signed_in.get("/account/", headers=headers)
    signed_in.logout()

    assert page["Cache-Control"] == "private, no-store"
    assert '"historyCacheSize":0' in signed_in.get("/sign-in/").content.decode()
