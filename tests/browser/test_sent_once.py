"""A form that is on its way is not sent again, however often its button is pressed."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, Request, Route, expect
from pytest_django.live_server_helper import LiveServer

from instances.models import Hold, Instance
from tests.browser.conftest import SignIn

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def press_twice(page: Page, name: str) -> list[Request]:
    """Like an impatient person, while the server is slow; what was sent."""
    sent: list[Request] = []

    def take_its_time(route: Route) -> None:
        sent.append(route.request)
        page.wait_for_timeout(600)
        route.continue_()

    page.route(
        lambda _url: True, lambda route: take_its_time(route) if route.request.method == "POST" else route.continue_()
    )
    button = page.get_by_role("button", name=name)
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    assert box
    for _time in range(2):
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_timeout(150)
    return sent


def test_a_form_is_sent_once_and_can_be_sent_again_after_going_back(
    sign_in: SignIn, live_server: LiveServer, fleet: Instance, support: User
) -> None:
    page = sign_in(support)
    page.goto(f"{live_server.url}{fleet.get_absolute_url()}skip/")
    sent = press_twice(page, "Skip tonight")
    expect(page.locator("main")).to_contain_text("is on hold until")
    assert len(sent) == 1
    assert Hold.objects.count() == 1

    page.go_back()
    expect(page.get_by_role("button", name="Skip tonight")).to_be_enabled()


def test_a_target_is_saved_once_and_its_preview_leaves_the_button_alone(
    sign_in: SignIn, live_server: LiveServer, fleet: Instance, support: User
) -> None:
    page = sign_in(support)
    page.goto(f"{live_server.url}{fleet.get_absolute_url()}")
    previews: list[str] = []
    page.on("request", lambda request: previews.append(request.method) if "/target/" in request.url else None)
    page.locator("#target-form input[value=release]").check()
    expect(page.locator("#target-form")).to_contain_text("If saved")
    assert previews == ["GET"]
    expect(page.get_by_role("button", name="Save target")).to_be_enabled()

    sent = press_twice(page, "Save target")

    expect(page.get_by_role("button", name="Save target")).to_be_disabled()
    expect(page.locator("#target-form input[name=seen]")).not_to_have_value("0")
    expect(page.get_by_role("button", name="Save target")).to_be_enabled()
    assert len(sent) == 1
    assert fleet.target_changes.count() == 1
