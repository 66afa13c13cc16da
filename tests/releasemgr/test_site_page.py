"""The page of a site: three facts, why, the change of target with its preview, and the history."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from builds.maturity import Maturity
from builds.models import Build
from builds.services import withdraw_build
from instances.models import Instance, Target, TargetChange
from instances.pins import PinEnd
from instances.services import add_site, open_freeze, open_hold, read_windows, set_tags, set_target, set_windows
from releasemgr.lib.actors import COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from tests.factories import NOW, make_build, make_customer, make_host, make_instance, make_upgrade
from upgrades.choices import EndCode, Outcome
from upgrades.sentences import check_sentence
from upgrades.services.planning import decide_site, next_night
from upgrades.services.policy import switch_nights_off, switch_nights_on

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

HTMX = {"HX-Request": "true"}
PAGE, TARGET = "/sites/acme-live/", "/sites/acme-live/target/"


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


def stored() -> Target:
    return Instance.objects.get(slug="acme-live").target


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


@pytest.mark.usefixtures("site")
def test_the_page_shows_current_target_and_tonight(writer: Client) -> None:
    html = text(writer.get(PAGE))

    for words in ("4.1</a>", "Reported by the site on", "As it was added", "On target", "24 Nov 01:00"):
        assert words in html


def test_why_has_a_line_for_each_rule_the_planner_looked_at_and_marks_the_deciding_one(
    writer: Client, site: Instance
) -> None:
    """P2."""
    answer = writer.get(PAGE)

    decision = decide_site(site, next_night(NOW))
    lines = answer.context["why"]
    assert [line.sentence for line in lines] == [check_sentence(check) for check in decision.checks]
    assert [line.title for line in lines if line.decides] == ["Target"]
    assert text(answer).count("decides</span>") == 1


def test_a_locked_site_says_so_at_the_top_and_leads_to_the_upgrade(writer: Client, site: Instance) -> None:
    """U2."""
    stuck = make_upgrade(
        instance=site, outcome=Outcome.NEEDS_A_PERSON, end_code=EndCode.RESULT_UNREADABLE, end_values={"from": "4.1"}
    )

    html = text(writer.get(PAGE))

    assert "The site may be down." in html
    assert f'href="/upgrades/{stuck.pk}/"' in html


def test_an_unknown_version_is_said_with_what_the_site_printed(writer: Client, site: Instance) -> None:
    """P3, P10."""
    site.report("<oops>", now=NOW)

    html = text(writer.get(PAGE))

    assert "“&lt;oops&gt;”" in html
    assert "never upgraded blind" in html


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("target=release", "tonight this site upgrades from 4.1 to 4.2."),
        ("target=pin&build=4.3", "tonight this site upgrades from 4.1 to 4.3."),
        ("target=pin&build=4.1", "nothing happens tonight.</b> Pinned to 4.1 and runs it."),
        ("target=stable", "This is the target now."),
        ("target=pin&build=4.0", "4.0 is older, and going back is refused."),
        ("target=pin", "Choose the version to pin."),
        ("target=pin&build=9.9", "There is no build 9.9."),
        ("", "Choose a channel or a pin."),
    ],
)
def test_t3_before_it_is_saved_the_page_says_what_tonight_would_do(writer: Client, query: str, said: str) -> None:
    fragment = writer.get(f"{TARGET}?{query}", headers=HTMX)
    page = writer.get(f"{TARGET}?{query}")

    assert said in text(fragment)
    assert said in text(page)
    assert "<h1" not in text(fragment)
    assert not TargetChange.objects.exists()


def test_t3_a_preview_names_what_tonight_would_have_done_instead(writer: Client, builds: dict[str, Build]) -> None:
    make_instance("acme-live", runs="4.0", target_channel_id="stable")

    assert "from 4.0 to 4.2, instead of to 4.1." in text(writer.get(f"{TARGET}?target=release", headers=HTMX))
    assert "nothing happens tonight, instead of an upgrade to 4.1." in text(
        writer.get(f"{TARGET}?target=pin&build=4.0", headers=HTMX)
    )


@pytest.mark.usefixtures("site")
def test_t3_without_script_a_button_previews_and_saves_nothing(writer: Client) -> None:
    answer = writer.post(TARGET, {"target": "release", "seen": "0", "reason": "Ticket 7", "preview": "1"})

    assert answer.status_code == 200
    assert "tonight this site upgrades from 4.1 to 4.2." in text(answer)
    assert 'value="Ticket 7"' in text(answer)
    assert not TargetChange.objects.exists()


@pytest.mark.usefixtures("site")
def test_t1_support_changes_the_target_and_the_history_says_who_and_why(writer: Client, support: User) -> None:
    answer = writer.post(TARGET, {"target": "release", "seen": "0", "reason": "Ticket 7"}, follow=True)

    change = TargetChange.objects.get()
    assert (change.by, change.at, change.origin, change.reason) == (support, NOW, Origin.PAGE, "Ticket 7")
    assert stored() == Target(channel="release")
    assert answer.redirect_chain == [(PAGE, 302)]
    for words in ("The target of acme-live is release now.", "from stable to release", "Upgrade to 4.2", "Ticket 7"):
        assert words in text(answer)


@pytest.mark.usefixtures("site")
def test_a_change_saved_by_htmx_answers_with_the_renewed_page(writer: Client) -> None:
    answer = writer.post(TARGET, {"target": "pin", "build": "4.2", "reason": "A fix", "seen": "0"}, headers=HTMX)

    assert answer.status_code == 200
    assert answer["HX-Push-Url"] == PAGE
    assert text(answer).startswith('<div id="site-body">')
    for words in (
        "The target of acme-live is pinned 4.2 now.",
        "Upgrade to 4.2",
        f'value="{Change.objects.get().pk}"',
    ):
        assert words in text(answer)


def test_the_receipt_leads_back_to_the_target_before(writer: Client, site: Instance, builds: dict[str, Build]) -> None:
    set_target(site, Target(build=builds["4.2"]), actor=COMMAND, now=NOW, reason="A fix")
    seen = str(Change.objects.get().pk)

    answer = writer.post(TARGET, {"target": "stable", "seen": seen}, follow=True)

    assert f'{TARGET}?target=pin&amp;build=4.2#target">Go back to pinned 4.2…</a>' in text(answer)
    back = text(writer.get(f"{TARGET}?target=pin&build=4.2"))
    assert 'value="pin" checked' in back
    assert '<option value="4.2" selected>' in back


@pytest.mark.usefixtures("site")
def test_saving_the_same_target_changes_nothing(writer: Client) -> None:
    answer = writer.post(TARGET, {"target": "stable", "seen": "0"}, follow=True)

    assert "had this target already" in text(answer)
    assert not TargetChange.objects.exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"target": "pin", "build": "4.0"}, "4.0 is older, and going back is refused."),
        ({"target": "pin", "build": "4.3"}, "4.3 was withdrawn."),
        ({"target": "pin"}, "Choose the version to pin."),
        ({"target": "nightly"}, "nightly is not one of the available choices."),
        ({"target": "release", "reason": "x" * 501}, "at most 500 characters"),
    ],
)
@pytest.mark.parametrize("headers", [{}, HTMX])
@pytest.mark.usefixtures("site")
def test_t4_r9_what_is_refused_stands_in_the_form_and_nothing_changes(
    writer: Client, builds: dict[str, Build], data: dict[str, str], said: str, headers: dict[str, str]
) -> None:
    withdraw_build(builds["4.3"], actor=COMMAND, reason="Loses attachments.", now=NOW)

    answer = writer.post(TARGET, data | {"seen": "0"}, headers=headers)

    assert answer.status_code == 422
    assert said in text(answer)
    assert stored() == Target(channel="stable")
    assert not TargetChange.objects.exists()


def test_t7_a_save_over_someone_elses_change_is_refused_and_shows_theirs(
    writer: Client, site: Instance, release_manager: User
) -> None:
    set_target(site, Target(channel="beta"), actor=Actor(Origin.PAGE, release_manager), now=NOW, reason="Wants to test")

    answer = writer.post(TARGET, {"target": "release", "seen": "0"})

    theirs = Change.objects.get()
    assert answer.status_code == 409
    assert f"{release_manager.username} changed acme-live meanwhile" in text(answer)
    assert "target changed, stable → beta (“Wants to test”). Nothing was saved." in text(answer)
    assert stored() == Target(channel="beta")
    assert f'name="seen" value="{theirs.pk}"' in text(answer)
    writer.post(TARGET, {"target": "release", "seen": str(theirs.pk)})
    assert stored() == Target(channel="release")


@pytest.mark.usefixtures("site")
def test_a_form_without_what_it_was_made_from_is_refused(writer: Client) -> None:
    assert writer.post(TARGET, {"target": "release"}).status_code == 422
    assert not TargetChange.objects.exists()


@pytest.mark.usefixtures("site")
def test_a_viewer_sees_the_form_and_who_may_use_it(client: Client, viewer: User) -> None:
    client.force_login(viewer)

    html = text(client.get(PAGE))

    assert "<fieldset disabled>" in html
    assert "Needs Support" in html
    assert "Save target" not in html


def test_channels_say_their_build_and_what_is_unusual_for_a_live_site(writer: Client, site: Instance) -> None:
    options = {option.name: option for option in writer.get(PAGE).context["options"]}

    assert [(name, option.version, option.unusual) for name, option in options.items()] == [
        ("stable", "4.1", False), ("release", "4.2", False), ("beta", "4.3", True), ("alpha", "4.3", True),
    ]  # fmt: skip
    assert options["alpha"].note == "No newer build than beta has."
    assert options["stable"].note == "Now. Followed by 0 other sites."


@pytest.mark.usefixtures("site")
def test_a_pin_names_every_build_that_may_be_pinned_in_groups(writer: Client) -> None:
    """T2."""
    make_build("5.0", withdrawn_at=NOW)

    groups = {
        group.label: [version for version, _label in group.versions] for group in writer.get(PAGE).context["pins"]
    }

    assert groups == {"On channels": ["4.3", "4.2", "4.1"], "Older than the site runs": ["4.0"]}


def test_a_pin_that_could_not_be_set_anew_stays_in_the_list(
    writer: Client, site: Instance, builds: dict[str, Build]
) -> None:
    """R9."""
    set_target(site, Target(build=builds["4.3"]), actor=COMMAND, now=NOW, reason="A fix")
    withdraw_build(builds["4.3"], actor=COMMAND, reason="Loses attachments.", now=NOW)

    answer = writer.get(PAGE)

    assert answer.context["pins"][0].label == "Pinned now"
    assert '<option value="4.3" selected>' in text(answer)
    assert "Target withdrawn" in text(answer)


def test_the_history_merges_changes_and_upgrades_newest_first(
    writer: Client, site: Instance, builds: dict[str, Build]
) -> None:
    hour = timedelta(hours=1)
    set_target(site, Target(channel="release"), actor=COMMAND, now=NOW - 3 * hour)
    make_upgrade(
        instance=site, build=builds["4.2"], outcome=Outcome.ROLLED_BACK, started_at=NOW - 2 * hour,
        ended_at=NOW - 2 * hour, end_code=EndCode.STEP_FAILED, end_values={"from": "4.1", "step": "Migrate"},
        first_error="no space <left>",
    )  # fmt: skip
    set_target(site, Target(channel="stable"), actor=COMMAND, now=NOW - hour)

    answer = writer.get("/sites/acme-live/history/")

    assert [(entry.title, entry.words) for entry in answer.context["history"]] == [
        ("Target changed", "from release to stable"), ("Rolled back", ""), ("Target changed", "from stable to release"),
    ]  # fmt: skip
    assert "Failed at Migrate. The site is up on 4.1 again." in text(answer)
    assert "no space &lt;left&gt;" in text(answer)
    only = writer.get("/sites/acme-live/history/?only=upgrades").context["history"]
    assert [entry.title for entry in only] == ["Rolled back"]


def test_the_history_has_every_other_change_and_tells_a_change_of_target_once(
    writer: Client, site: Instance, support: User
) -> None:
    """T1, T2, P8."""
    hour, actor = timedelta(hours=1), Actor(Origin.PAGE, support)
    set_tags(site, ["canary"], actor=actor, now=NOW - 4 * hour)
    set_windows(site, read_windows("Sat 01:00-04:00 UTC"), actor=actor, now=NOW - 3 * hour, reason="Office hours")
    pin = Target(build=Build.objects.get(version="4.2"), ends=PinEnd.CAUGHT_UP)
    set_target(site, pin, actor=actor, now=NOW - 2 * hour, reason="A fix")
    open_hold(site, ends_at=NOW + hour, reason="Audit", actor=actor, now=NOW - hour)

    answer = writer.get("/sites/acme-live/history/")

    found = answer.context["history"]
    assert [str(entry.title) for entry in found] == [
        "Put on hold", "Target changed", "Windows changed", "Tags changed",
    ]  # fmt: skip
    assert found[1].words == "from stable to pinned 4.2 until stable is at 4.2 or later, then follows it"
    assert found[2].detail == f"{support.username}: “Office hours”"
    assert [each.new for each in found[3].differences] == ["canary"]
    assert [each.label for each in found[0].differences] == ["until", "from"]


def test_the_history_of_an_added_site_begins_once(writer: Client, site: Instance) -> None:
    values = {"slug": "acme-new", "customer": site.customer, "host": site.host, "kind": "live", "path": "/srv/new"}
    add_site(values, actor=COMMAND, now=NOW)

    history = writer.get("/sites/acme-new/history/").context["history"]

    assert [str(entry.title) for entry in history] == ["Site added"]


def test_the_full_history_has_pages_and_a_constant_number_of_queries(writer: Client, site: Instance) -> None:
    counts = []
    for number in (3, 60):
        for step in range(number):
            channel = "beta" if site.target_channel_id == "stable" else "stable"
            set_target(site, Target(channel=channel), actor=COMMAND, now=NOW + timedelta(seconds=step))
        with CaptureQueriesContext(connection) as queries:
            writer.get("/sites/acme-live/history/")
        counts.append(len(queries))

    assert counts[0] == counts[1]
    assert len(writer.get("/sites/acme-live/history/?page=2").context["history"]) == 13


def test_the_page_needs_as_many_queries_for_many_neighbours_as_for_few(writer: Client, site: Instance) -> None:
    counts = []
    for number in (1, 10):
        for _each in range(number):
            make_instance(customer=site.customer)
        with CaptureQueriesContext(connection) as queries:
            answer = writer.get(PAGE)
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 66  # about eleven of them for the shell
    assert len(answer.context["neighbours"]) == 8
    assert "All sites of this customer" in text(answer)


def test_asking_a_site_is_a_task_with_its_number(writer: Client, site: Instance) -> None:
    """P10."""
    answer = writer.post("/sites/acme-live/ask/", follow=True)

    task = SignedPackage.loads(OrmQ.objects.get().payload)
    assert (task["func"], task["args"]) == ("upgrades.tasks.ask_versions_later", ([site.pk],))
    assert "Reload in a moment." in text(answer)


def test_p5_while_nights_are_switched_off_the_site_says_so_and_what_would_be(client: Client, viewer: User) -> None:
    make_build("4.3", maturity=Maturity.RELEASE)
    site = make_instance(runs="4.2")
    switch_nights_off(actor=COMMAND, now=NOW, reason="Moving house.")
    client.force_login(viewer)

    page = client.get(f"/sites/{site.slug}/").content.decode()

    assert "Not while nights are switched off." in page
    assert "by the command line: “Moving house.”. Once they are on again:" in page
    switch_nights_on(actor=COMMAND, now=NOW)
    assert "Not while nights" not in client.get(f"/sites/{site.slug}/").content.decode()


def test_p8_a_freeze_that_begins_in_half_a_year_stands_on_the_page(client: Client, viewer: User) -> None:
    site = make_instance(runs="4.2")
    begins = NOW + timedelta(days=200)
    open_freeze(
        {"name": "Summer", "scope": "all", "starts_at": begins, "ends_at": begins + timedelta(days=9), "zone": "UTC",
         "reason": "Nobody is here"}, actor=COMMAND, now=NOW,
    )  # fmt: skip
    client.force_login(viewer)

    assert "Freeze to come: Summer" in client.get(f"/sites/{site.slug}/").content.decode()
