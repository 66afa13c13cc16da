"""R6, R10, T8, P5: the gates of the channels, stepping stones, and builds that halted a run, as pages."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from builds.maturity import Maturity
from builds.models import Build, Channel
from builds.services import announce_eligible, set_channel_policy
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import last_seen
from tests.factories import NOW, make_build, make_instance, make_run
from upgrades.models import RunHalt
from upgrades.services.planning import plan_night

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

HTMX = {"HX-Request": "true"}
STABLE = "/settings/gates/stable/"


@pytest.fixture
def manager(client: Client, release_manager: User) -> Client:
    client.force_login(release_manager)
    return client


def words(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def policy(**more: Any) -> dict[str, Any]:
    return {"amount": "14", "unit": "days", "reason": "", "seen": "0", **more}


@pytest.fixture
def soaked() -> Build:
    """Ten days in release, and would be stable after seven."""
    make_build("4.1", maturity=Maturity.STABLE)
    make_instance("goes", runs="4.1", target_channel_id="stable")
    return make_build("4.2", maturity=Maturity.RELEASE, channel_since=NOW - timedelta(days=10))


@pytest.mark.usefixtures("soaked")
def test_a_change_says_first_what_tonight_promotes_and_upgrades(manager: Client) -> None:
    """P1: the preview and the plan after it agree."""
    answer = manager.get(f"{STABLE}?amount=7&unit=days&automatic=on", headers=HTMX)
    assert "tonight 4.2 is promoted to stable by itself. 1 site upgrades tonight that would have stayed." in words(
        answer
    )
    assert "nothing is different tonight." in words(manager.get(f"{STABLE}?amount=7&unit=days", headers=HTMX))
    assert not Change.objects.exists()

    manager.post(STABLE, policy(amount="7", automatic="on", reason="Enough."))

    assert [str(one.code) for one in plan_night(NOW)[1]] == ["upgrade"]


def test_saving_records_who_from_and_to_and_shows_it(manager: Client, release_manager: User) -> None:
    answer = manager.post(STABLE, policy(amount="36", unit="hours", automatic="on", reason="Faster."), follow=True)

    channel = Channel.objects.get(name="stable")
    assert (channel.soak, channel.automatic) == (timedelta(hours=36), True)
    [change] = Change.objects.all()
    assert (change.kind, change.by, change.reason) == ("channel.changed", release_manager, "Faster.")
    html = words(answer)
    assert "36 hours in release" in html
    assert "by itself, at night" in html
    assert "Faster." in html
    assert 'value="36"' in words(manager.get(STABLE))


@pytest.mark.parametrize(
    "more", [{"amount": ""}, {"amount": "-1"}, {"amount": "x"}, {"amount": "366"}, {"unit": "weeks"}, {"seen": "x"}]
)
def test_what_cannot_be_is_refused_and_changes_nothing(manager: Client, more: dict[str, str]) -> None:
    answer = manager.post(STABLE, policy(**more))

    assert answer.status_code == 422
    assert not Change.objects.exists()


def test_t7_the_second_of_two_people_is_told_what_the_first_changed(manager: Client) -> None:
    set_channel_policy(Maturity.STABLE, automatic=True, actor=COMMAND, now=NOW, reason="Tired.")

    answer = manager.post(STABLE, policy(amount="7"))

    assert answer.status_code == 409
    assert "automatic promotion no → yes" in words(answer)
    assert 'value="7"' in words(answer)
    assert Channel.objects.get(name="stable").soak == timedelta(days=14)


def test_who_may_not_change_the_gates_sees_them_and_the_role_that_may(client: Client, support: User) -> None:
    client.force_login(support)

    assert "Changing them needs Release manager" in words(client.get("/settings/gates/"))
    assert client.post(STABLE, policy()).status_code == 403


@pytest.mark.usefixtures("soaked")
def test_a_lane_says_since_when_its_build_may_go_on_and_whether_the_night_promotes_into_it(manager: Client) -> None:
    set_channel_policy(Maturity.STABLE, soak=timedelta(days=7), automatic=True, actor=COMMAND, now=NOW)
    assert 'Ready for stable since <time datetime="2026-11-20T12:00:00Z"' in words(manager.get("/builds/"))

    announce_eligible(now=NOW - timedelta(days=2))

    html = words(manager.get("/builds/"))
    assert 'Ready for stable since <time datetime="2026-11-21T12:00:00Z"' in html
    assert "The night promotes into it by itself" in html


def test_a_stepping_stone_is_marked_with_its_effect_shown_first_and_unmarked_again(manager: Client) -> None:
    """T8."""
    stone = make_build("4.1")
    make_build("4.2", maturity=Maturity.RELEASE)
    make_instance("goes", runs="4.0", target_channel_id="release")
    address = "/builds/4.1/stepping-stone/"
    assert "1 site gets another target or way." in words(manager.get(address))

    manager.post(address, {"mark": "yes", "reason": "Moves data.", "seen": "0"})

    assert [leg.version for leg in plan_night(NOW)[1][0].legs] == ["4.1", "4.2"]
    assert "Stepping stone" in words(manager.get("/builds/4.1/"))
    late = manager.post(address, {"mark": "no", "reason": "", "seen": "0"})
    assert (late.status_code, Build.objects.get(pk=stone.pk).stepping_stone) == (409, True)
    manager.post(address, {"mark": "no", "reason": "", "seen": str(last_seen(stone))})
    assert not Build.objects.get(pk=stone.pk).stepping_stone


def test_what_no_site_may_install_is_no_stepping_stone(manager: Client) -> None:
    make_build("4.1", quarantined_at=NOW)

    answer = manager.post("/builds/4.1/stepping-stone/", {"mark": "yes", "reason": "", "seen": "0"})

    assert answer.status_code == 409
    assert "cannot be one that every site must pass through" in words(answer)


def test_a_build_names_the_run_that_it_halted_and_is_offered_again_with_a_reason(
    manager: Client, release_manager: User
) -> None:
    """P5."""
    build = make_build("4.2", maturity=Maturity.RELEASE)
    make_instance("goes", runs="4.1", target_channel_id="release")
    values = {"failed": 3, "planned": 10, "wave": 2, "share": 30, "limit": 10}
    halt = RunHalt.objects.create(run=make_run(), at=NOW, code="share", values=values, end="run_over", ended_at=NOW)
    halt.builds.add(build)
    address = f"/builds/4.2/release/{halt.pk}/"
    html = words(manager.get("/builds/4.2/"))
    assert f'<a href="/runs/{halt.run_id}/">run #{halt.run_id}</a>' in html
    assert f'<a href="{address}">Offer it again…</a>' in html
    assert "1 site upgrades tonight that would have stayed." in words(manager.get(address))

    assert manager.post(address, {"reason": "", "seen": "0"}).status_code == 422
    manager.post(address, {"reason": "It was the disk.", "seen": "0"})

    halt.refresh_from_db()
    assert (halt.released_by, halt.release_reason) == (release_manager, "It was the disk.")
    assert "It was the disk." in words(manager.get("/builds/4.2/"))
    assert [str(one.code) for one in plan_night(NOW)[1]] == ["upgrade"]
