"""The form of a target: how a pin ends, going back to an older version, what is unusual, and the way there."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from builds.maturity import Maturity, Severity
from builds.models import Build
from instances.models import Instance, Target
from instances.pins import PinEnd
from instances.services import read_windows, set_target, set_windows
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import last_seen
from tests.factories import NOW, make_build, make_customer, make_host, make_instance, make_problem
from upgrades.services.planning import decide_site, next_night

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

HTMX = {"HX-Request": "true"}
PAGE, TARGET = "/sites/acme-live/", "/sites/acme-live/target/"
DEC_15 = datetime(2026, 12, 15, tzinfo=UTC)


@pytest.fixture
def builds() -> dict[str, Build]:
    stages = {"4.0": Maturity.STABLE, "4.1": Maturity.STABLE, "4.2": Maturity.RELEASE, "4.3": Maturity.BETA}
    return {version: make_build(version, maturity=stage) for version, stage in stages.items()}


@pytest.fixture
def site(builds: dict[str, Build]) -> Instance:
    """Runs stable's build."""
    return make_instance(
        "acme-live", runs="4.1", target_channel_id="stable", customer=make_customer("Acme"), host=make_host("web1")
    )


@pytest.fixture
def writer(client: Client, support: User) -> Client:
    client.force_login(support)
    return client


@pytest.fixture
def manager(client: Client, release_manager: User) -> Client:
    client.force_login(release_manager)
    return client


def stored() -> Instance:
    return Instance.objects.get(slug="acme-live")


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("build=4.2", "It stays on 4.2 until someone changes the target."),
        ("build=4.2&ends=on_date&until=2026-12-15", "4.2 until Tue 15 Dec 00:00 UTC, then follows stable."),
        (
            "build=4.2&ends=on_date&until=2026-12-15&then=release",
            "It stays on 4.2 until Tue 15 Dec 00:00 UTC, then follows release.",
        ),
        ("build=4.2&ends=caught_up", "It stays on 4.2 until stable is at 4.2 or later, then follows it."),
        ("build=4.1&ends=caught_up", "stable is at 4.1 already: a pin to 4.1 would end at once."),
        ("build=4.2&ends=on_date", "Choose the day on which the pin ends."),
        ("build=4.2&ends=on_date&until=2026-11-23", "The date on which the pin ends is over."),
        ("build=4.2&ends=on_date&until=soon", "Enter a valid date."),
    ],
)
def test_t2_t3_the_preview_says_in_words_how_a_pin_would_end(writer: Client, query: str, said: str) -> None:
    assert said in text(writer.get(f"{TARGET}?target=pin&{query}", headers=HTMX))


@pytest.mark.parametrize(
    ("terms", "target"),
    [
        ({"ends": "never"}, {}),
        ({"ends": "on_date", "until": "2026-12-15"}, {"ends": PinEnd.ON_DATE, "until": DEC_15, "then": "stable"}),
        ({"ends": "caught_up", "then": "release"}, {"ends": PinEnd.CAUGHT_UP, "then": "release"}),
    ],
)
def test_t2_a_pin_is_saved_with_its_end_and_the_page_says_it(
    writer: Client, site: Instance, builds: dict[str, Build], terms: dict[str, str], target: dict[str, Any]
) -> None:
    data = {"target": "pin", "build": "4.3", "reason": "A fix", "seen": "0"} | terms

    html = text(writer.post(TARGET, data, follow=True))

    assert stored().target == Target(build=builds["4.3"], **target)
    assert "“A fix”" in html
    assert {"never": "Until someone changes", "on_date": "Until Tue 15 Dec 00:00 UTC, then follows stable"}.get(
        terms["ends"], "Until release is at 4.3 or later, then follows it"
    ) in html


@pytest.mark.usefixtures("site")
def test_t2_a_pin_without_a_reason_is_refused_beside_the_field(writer: Client) -> None:
    answer = writer.post(TARGET, {"target": "pin", "build": "4.2", "seen": "0"})

    assert answer.status_code == 422
    assert 'id="reason-error">Pinning acme-live to 4.2 needs a reason.' in text(answer)
    assert not Change.objects.exists()


def test_a_day_that_is_not_changed_keeps_the_hour_of_a_pin(
    writer: Client, site: Instance, builds: dict[str, Build]
) -> None:
    afternoon = DEC_15 + timedelta(hours=14)
    target = Target(build=builds["4.2"], ends=PinEnd.ON_DATE, until=afternoon)
    set_target(site, target, actor=COMMAND, now=NOW, reason="A fix")
    data = {
        "target": "pin", "build": "4.2", "ends": "on_date", "until": "2026-12-15", "then": "stable", "reason": "Same",
        "seen": str(last_seen(site)),
    }  # fmt: skip

    assert "had this target already" in text(writer.post(TARGET, data, follow=True))
    assert stored().pin_until == afternoon


def test_t4_without_consent_a_pin_to_an_older_build_is_refused_and_asks_for_it(manager: Client, site: Instance) -> None:
    preview = text(manager.get(f"{TARGET}?target=pin&build=4.0", headers=HTMX))
    answer = manager.post(TARGET, {"target": "pin", "build": "4.0", "reason": "A bug", "seen": "0"})

    assert "Go back from 4.1 to 4.0 on this site" in preview
    assert answer.status_code == 422
    assert 'name="downgrade" value="on">Go back from 4.1 to 4.0 on this site' in text(answer)
    assert stored().target == site.target


def test_t4_with_consent_and_a_reason_tonight_goes_back(manager: Client, site: Instance) -> None:
    query = "target=pin&build=4.0&downgrade=on"

    preview = text(manager.get(f"{TARGET}?{query}", headers=HTMX))
    manager.post(TARGET, {"target": "pin", "build": "4.0", "downgrade": "on", "reason": "A bug", "seen": "0"})

    assert "tonight this site goes back from 4.1 to 4.0." in preview
    assert stored().may_downgrade
    assert decide_site(stored(), next_night(NOW)).code == "downgrade"


def test_t4_who_may_not_allow_it_is_told_who_may(writer: Client, site: Instance) -> None:
    preview = text(writer.get(f"{TARGET}?target=pin&build=4.0", headers=HTMX))
    answer = writer.post(
        TARGET, {"target": "pin", "build": "4.0", "downgrade": "on", "reason": "A bug", "seen": "0"}
    )  # fmt: skip

    assert "Go back from 4.1 to 4.0 on this site: needs Release manager." in preview
    assert 'name="downgrade"' not in preview
    assert answer.status_code == 403
    assert stored().target == site.target


def test_t4_a_site_that_cannot_undo_its_migrations_is_not_taken_back(manager: Client, site: Instance) -> None:
    Instance.objects.update(migrate_command="bin/migrate")
    data = {"target": "pin", "build": "4.0", "downgrade": "on", "reason": "A bug", "seen": "0"}

    answer = manager.post(TARGET, data)

    assert answer.status_code == 422
    assert "no way down" in text(answer)
    assert stored().target == site.target


def test_r7_the_preview_names_the_problems_of_the_build_and_what_is_unusual(
    writer: Client, site: Instance, builds: dict[str, Build]
) -> None:
    problem = make_problem(builds["4.3"], title="Loses <mail>", severity=Severity.BLOCKER)

    preview = text(writer.get(f"{TARGET}?target=pin&build=4.3", headers=HTMX))
    page = writer.get(PAGE)

    assert "4.3 is beta. That is not usual for a live site." in preview
    assert f"P-{problem.pk} Loses &lt;mail&gt; (blocker)" in preview
    assert f"Open problem P-{problem.pk}." in text(page)


def test_t8_the_preview_and_the_page_show_the_way_over_stepping_stones(
    writer: Client, site: Instance, builds: dict[str, Build]
) -> None:
    Build.objects.filter(pk=builds["4.2"].pk).update(stepping_stone=True)

    preview = text(writer.get(f"{TARGET}?target=pin&build=4.3", headers=HTMX))
    writer.post(TARGET, {"target": "pin", "build": "4.3", "reason": "A fix", "seen": "0"})
    page = writer.get(PAGE)

    assert "Upgrades from 4.1 over 4.2 to 4.3." in preview
    for html in (preview, text(page)):
        assert "stepping stone" in html
    assert [leg.version for leg in page.context["path"].legs] == ["4.2", "4.3"]


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ("Mon-Fri 01:00-04:00 Europe/Dublin", "From Tue 24 Nov 01:00 in Dublin, wave 1 (canary), about"),
        ("Sat 01:00-04:00 Europe/Dublin", "Next chance: Sat 28 Nov 01:00 in Dublin."),
    ],
)
def test_p4_p6_tonight_says_from_when_in_the_sites_own_zone_or_when_it_comes(
    writer: Client, site: Instance, window: str, said: str
) -> None:
    set_windows(site, read_windows(window), actor=COMMAND, now=NOW)
    set_target(site, Target(channel="release"), actor=COMMAND, now=NOW)

    assert said in text(writer.get(PAGE))
