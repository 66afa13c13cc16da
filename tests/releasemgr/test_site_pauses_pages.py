"""Holds on the page of a site: each says its effect, leaves a record, and can be taken back (P8, T3, T7)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from builds.maturity import Maturity
from instances.models import Hold, Instance
from instances.services import open_freeze, open_hold
from releasemgr.lib.actors import COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import last_seen
from tests.factories import NOW, make_build, make_customer, make_instance, make_run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

HTMX = {"HX-Request": "true"}
PAGE, HOLD, SKIP = "/sites/acme-live/", "/sites/acme-live/hold/", "/sites/acme-live/skip/"
DAY = timedelta(days=1)
DEC_1 = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
def site() -> Instance:
    """Upgrades tonight."""
    make_build("4.2", maturity=Maturity.STABLE)
    return make_instance("acme-live", runs="4.1", target_channel_id="stable", customer=make_customer("Acme"))


@pytest.fixture
def writer(client: Client, support: User) -> Client:
    client.force_login(support)
    return client


@pytest.fixture
def held(site: Instance, support: User) -> Hold:
    actor = Actor(Origin.PAGE, support)
    return open_hold(site, ends_at=DEC_1, reason="Audit", actor=actor, now=NOW)


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


@pytest.mark.usefixtures("site")
def test_t3_a_hold_says_what_it_does_to_tonight_and_when_the_site_goes_then(writer: Client) -> None:
    page = text(writer.get(HOLD))
    preview = text(writer.post(HOLD, {"preview": "1", "ends_at": "2026-12-01", "seen": "0"}, headers=HTMX))

    assert "nothing happens tonight, instead of an upgrade to 4.2." in page
    assert "On hold until 1 Dec 00:00" in preview
    assert "Next chance: Tue 1 Dec 01:00 UTC." in preview
    assert not Hold.objects.exists()
    assert not Change.objects.exists()


def test_p8_support_holds_a_site_and_the_page_says_who_why_and_until_when(
    writer: Client, site: Instance, support: User
) -> None:
    answer = writer.post(HOLD, {"ends_at": "2026-12-01", "reason": "Audit", "seen": "0"}, follow=True)

    hold = Hold.objects.get()
    assert (hold.instance, hold.starts_at, hold.ends_at, hold.reason, hold.by) == (site, NOW, DEC_1, "Audit", support)
    assert [change.kind for change in Change.objects.all()] == ["hold.opened"]
    assert f'href="{PAGE}holds/{hold.pk}/end/"' in text(answer)
    [line] = answer.context["pauses"]
    assert (line.hold, line.who, line.runs, line.pause.reason) == (hold, support.username, True, "Audit")


@pytest.mark.usefixtures("site")
def test_p8_skipping_tonight_holds_the_site_until_the_night_is_over(writer: Client) -> None:
    page = text(writer.get(SKIP))
    writer.post(SKIP, {"seen": "0", "reason": ""})

    hold = Hold.objects.get()
    night = datetime(2026, 11, 24, tzinfo=UTC)
    assert "nothing happens tonight, instead of an upgrade to 4.2." in page
    assert "Next chance: Wed 25 Nov 01:00 UTC." in page
    assert (hold.starts_at, hold.ends_at.date(), hold.reason) == (NOW, night.date(), "Skips this night.")


@pytest.mark.usefixtures("site")
def test_skipping_while_a_night_runs_means_that_night(writer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    at_two = datetime(2026, 11, 24, 2, tzinfo=UTC)
    monkeypatch.setattr("releasemgr.lib.clock.now", lambda: at_two)
    make_run(date=at_two.date())

    writer.post(SKIP, {"seen": "0"})

    assert Hold.objects.get().ends_at.date() == at_two.date()


@pytest.mark.parametrize(
    ("data", "field", "said"),
    [
        ({"ends_at": "2026-12-01"}, "reason", "A hold needs a reason."),
        ({"ends_at": "2026-11-23", "reason": "x"}, "ends_at", "The end has to be after the start."),
        ({"ends_at": "2028-01-01", "reason": "x"}, "ends_at", "At most 366 days; it can be renewed then."),
        ({"ends_at": "soon", "reason": "x"}, "ends_at", "Enter a valid date."),
        ({"reason": "x"}, "ends_at", "Choose the day on which the hold ends."),
    ],
)
@pytest.mark.usefixtures("site")
def test_a_hold_that_is_refused_says_why_beside_the_field(
    writer: Client, data: dict[str, str], field: str, said: str
) -> None:
    answer = writer.post(HOLD, data | {"seen": "0"})

    assert answer.status_code == 422
    assert answer.context["form"].errors[field] == [said]
    assert said in text(answer)
    assert not Hold.objects.exists()


def test_t7_a_hold_over_someone_elses_change_is_refused_and_shows_theirs(
    writer: Client, site: Instance, release_manager: User
) -> None:
    open_hold(site, ends_at=DEC_1, reason="Audit", actor=Actor(Origin.PAGE, release_manager), now=NOW)

    answer = writer.post(HOLD, {"ends_at": "2026-12-02", "reason": "Training", "seen": "0"})

    assert answer.status_code == 409
    assert f"{release_manager.username} changed acme-live meanwhile" in text(answer)
    assert 'value="Training"' in text(answer)
    assert Hold.objects.count() == 1


def test_the_end_of_a_hold_is_moved_and_the_hold_ended(writer: Client, site: Instance, held: Hold) -> None:
    address = f"{PAGE}holds/{held.pk}/"

    writer.post(f"{address}extend/", {"ends_at": "2026-12-05", "reason": "", "seen": str(last_seen(site))})
    held.refresh_from_db()
    assert held.ends_at == datetime(2026, 12, 5, tzinfo=UTC)
    page = text(writer.get(f"{address}end/"))
    answer = writer.post(f"{address}end/", {"reason": "Done", "seen": str(last_seen(site))}, follow=True)

    assert "tonight this site upgrades from 4.1 to 4.2." in page
    assert [change.kind for change in Change.objects.all()] == ["hold.ended", "hold.changed", "hold.opened"]
    assert answer.context["pauses"] == []
    assert writer.post(f"{address}end/", {"seen": str(last_seen(site))}).status_code == 422


def test_a_hold_is_another_sites_only_there(writer: Client, held: Hold) -> None:
    make_instance("other")

    assert writer.get(f"/sites/other/holds/{held.pk}/end/").status_code == 404
    assert writer.get(f"{PAGE}holds/{2**70}/end/").status_code == 404


def test_p8_freezes_that_run_or_are_to_come_are_listed_with_their_scope(writer: Client, site: Instance) -> None:
    terms = {"name": "Christmas", "scope": "live", "starts_at": NOW + DAY, "ends_at": NOW + 2 * DAY, "zone": "UTC"}
    open_freeze(terms | {"reason": "Nobody is here"}, actor=COMMAND, now=NOW)

    [line] = writer.get(PAGE).context["pauses"]

    assert (line.hold, line.runs, line.pause.scope) == (None, False, "all live sites")
    assert line.title == "Freeze to come: Christmas"
