"""Acts on any selection of sites: named with what changes tonight, done whole or not at all, taken back (T9)."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from builds.maturity import Maturity
from instances.choices import Kind
from instances.models import Hold, Instance, Tag, Target, TargetChange
from instances.services import open_freeze, open_hold, set_target
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from tests.factories import NOW, make_build, make_customer, make_host, make_instance, make_user
from upgrades.models import Run, Upgrade

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

ALL_TESTS_OF_TWO_ON_41 = "customer=acme&customer=bolt&kind=test&version=4.1&matching=1"
TARGET, HOLD, TAGS, END = (f"/sites/bulk/{name}/" for name in ("target", "hold", "tags", "end-holds"))
SOON = "2026-11-27T08:00"


@pytest.fixture(autouse=True)
def fleet() -> None:
    make_build("4.1.2", maturity=Maturity.STABLE)
    make_build("4.2", maturity=Maturity.BETA)
    acme, bolt, zed = (make_customer(name) for name in ("Acme", "Bolt", "Zed"))
    for customer in (acme, bolt):
        make_instance(f"{customer.slug}-live", runs="4.1.2", customer=customer)
        make_instance(f"{customer.slug}-test", runs="4.1", customer=customer, kind=Kind.TEST)
        make_instance(f"{customer.slug}-new", runs="4.2", customer=customer, kind=Kind.TEST)
    make_instance("zed-test", runs="4.1", customer=zed, kind=Kind.TEST)


@pytest.fixture
def manager(client: Client, release_manager: User) -> Client:
    client.force_login(release_manager)
    return client


def form_of(answer: Any) -> dict[str, str]:
    """What the page's hidden fields carry."""
    html = answer.content.decode()
    fields = {name: re.findall(rf'name="{name}" value="([^"]*)"', html) for name in ("sites", "seen", "shown", "query")}
    return {name: found[0].replace("&amp;", "&") for name, found in fields.items() if found}


def confirmed(client: Client, address: str, said: dict[str, str], query: str = ALL_TESTS_OF_TWO_ON_41) -> Any:
    """Opens the page, looks at the preview and confirms it."""
    page = form_of(client.get(f"{address}?{query}"))
    preview = client.post(address, page | said | {"preview": "1"})
    assert preview.status_code == 200, preview.context["form"].errors
    return client.post(address, form_of(preview) | said)


def groups(answer: Any) -> dict[str, list[str]]:
    return {str(group.look.label): [row.slug for row in group.rows] for group in answer.context["preview"].groups()}


def slugs_with(**wanted: Any) -> list[str]:
    return list(Instance.objects.filter(**wanted).order_by("slug").values_list("slug", flat=True))


def test_t9_all_test_sites_of_these_two_customers_on_41_get_a_target_a_hold_and_a_manual_upgrade(
    manager: Client,
) -> None:
    """The sentence of the rule, each in one act that names both sites."""
    meant = ["acme-test", "bolt-test"]

    answer = confirmed(manager, TARGET, {"target": "stable", "reason": "Ticket 7"})
    assert answer["Location"] == "/sites/?customer=acme&customer=bolt&kind=test&version=4.1"
    assert slugs_with(target_channel="stable") == meant
    assert TargetChange.objects.filter(at=NOW, reason="Ticket 7").count() == 2

    confirmed(manager, HOLD, {"until": SOON, "reason": "Acceptance test"})
    assert slugs_with(holds__reason="Acceptance test") == meant

    page = manager.get(f"/upgrades/now/?{ALL_TESTS_OF_TWO_ON_41}")
    shown = manager.post("/upgrades/now/", form_of(page) | {"preview": "1", "through_holds": "1", "reason": "Ticket 7"})
    started = manager.post("/upgrades/now/", form_of(shown) | {"through_holds": "1", "reason": "Ticket 7"})
    assert started.status_code == 302
    assert sorted(Upgrade.objects.values_list("instance__slug", "build__version")) == [
        ("acme-test", "4.1.2"), ("bolt-test", "4.1.2"),
    ]  # fmt: skip


def test_t3_the_preview_names_every_site_in_the_group_of_what_changes(manager: Client) -> None:
    page = manager.get(f"{TARGET}?kind=test&matching=1")
    answer = manager.post(TARGET, form_of(page) | {"target": "beta", "preview": "1"})
    assert groups(answer) == {"Stay as they are": ["acme-test", "bolt-test", "zed-test", "acme-new", "bolt-new"]}

    pinned = manager.post(TARGET, form_of(page) | {"target": "pin", "build": "4.1.2", "preview": "1"})

    assert groups(pinned) == {
        "Refused": ["acme-new", "bolt-new"],
        "Upgrade tonight": ["acme-test", "bolt-test", "zed-test"],
    }
    html = pinned.content.decode()
    for words in ("2 sites refuse this, so it is done to none.", "Leave these 2 out", "runs 4.2. 4.1.2 is older"):
        assert words in html
    assert '<button class="btn btn-go" type="submit">' not in html


def test_a_group_names_the_sites_that_do_not_upgrade_any_more(manager: Client) -> None:
    page = manager.get(f"{HOLD}?{ALL_TESTS_OF_TWO_ON_41}")
    answer = manager.post(HOLD, form_of(page) | {"until": SOON, "preview": "1"})

    assert groups(answer) == {"Do not upgrade tonight any more": ["acme-test", "bolt-test"]}
    assert "Hold 2 sites</button>" in answer.content.decode()


def test_what_is_refused_can_be_left_out(manager: Client) -> None:
    page = form_of(manager.get(f"{TARGET}?kind=test&matching=1"))
    said = {"target": "pin", "build": "4.1.2", "reason": "One fix."}

    rest = manager.post(TARGET, page | said | {"leave_out": "1"})
    assert groups(rest) == {"Upgrade tonight": ["acme-test", "bolt-test", "zed-test"]}

    assert manager.post(TARGET, form_of(rest) | said).status_code == 302
    assert slugs_with(target_build__version="4.1.2") == ["acme-test", "bolt-test", "zed-test"]


def test_t4_going_back_needs_the_permission_and_the_consent(client: Client, support: User, manager: Client) -> None:
    said = {"target": "pin", "build": "4.1.2", "reason": "A fault."}
    query = "site=acme-new&site=bolt-new"

    answer = manager.post(TARGET, form_of(manager.get(f"{TARGET}?{query}")) | said | {"preview": "1"})
    assert "Let the 2 sites that run something newer go back to 4.1.2" in answer.content.decode()
    assert confirmed(manager, TARGET, said | {"downgrade": "1"}, query).status_code == 302
    assert all(site.may_downgrade for site in Instance.objects.filter(slug__in=["acme-new", "bolt-new"]))

    client.force_login(support)
    page = form_of(client.get(f"{TARGET}?{query}"))
    assert client.post(TARGET, page | said | {"downgrade": "1", "preview": "1"}).status_code == 403


def test_t2_many_sites_are_pinned_until_a_date_and_follow_each_its_own_channel_then(manager: Client) -> None:
    said = {"target": "pin", "build": "4.2", "ends": "on_date", "until": "2026-12-24T12:00", "reason": "One fix."}

    confirmed(manager, TARGET, said, "site=acme-live&site=acme-test")

    pins = Instance.objects.filter(target_build__version="4.2").order_by("slug")
    assert [(site.slug, site.pin_then_id, site.pin_ends) for site in pins] == [
        ("acme-live", "release", "on_date"), ("acme-test", "beta", "on_date"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "said", "field", "words"),
    [
        (TARGET, {"target": "pin", "build": "4.2"}, "reason", "Pinning sites needs a reason."),
        (TARGET, {}, "target", "Choose a channel or a pin."),
        (TARGET, {"target": "pin"}, "build", "Choose the version to pin."),
        (TARGET, {"target": "pin", "build": "9"}, "build", "There is no build 9."),
        (TARGET, {"target": "pin", "build": "4.2", "ends": "on_date"}, "until", "Choose when the pin ends."),
        (HOLD, {"until": SOON}, "reason", "Holding sites needs a reason."),
        (HOLD, {"reason": "x"}, "until", "Choose until when."),
        (HOLD, {"until": "tomorrow", "reason": "x"}, "until", "This is not a time."),
        (HOLD, {"until": "2026-11-22T08:00", "reason": "x"}, "until", "The end has to be after the start."),
        (TAGS, {}, "add", "Name a tag to add or to remove."),
        (TAGS, {"add": "a b!"}, "add", "“b!” is not a tag"),
        (TAGS, {"add": "a", "remove": "A"}, "remove", "Added and removed at once: a."),
    ],
)
def test_a_form_is_refused_with_the_field_and_the_reason(
    manager: Client, address: str, said: dict[str, str], field: str, words: str
) -> None:
    page = form_of(manager.get(f"{address}?{ALL_TESTS_OF_TWO_ON_41}"))
    shown = form_of(manager.post(address, page | said | {"preview": "1"}))

    answer = manager.post(address, page | shown | said)

    assert answer.status_code == 422
    assert words in " ".join(answer.context["form"].errors[field])
    assert not Change.objects.exists()


def test_a_plan_that_changed_in_between_changes_nothing_and_marks_the_difference(manager: Client) -> None:
    """P1."""
    page = form_of(manager.get(f"{TARGET}?{ALL_TESTS_OF_TWO_ON_41}"))
    preview = manager.post(TARGET, page | {"target": "stable", "preview": "1"})
    rows = preview.context["rows_json"]
    make_build("4.1.3", maturity=Maturity.STABLE)

    answer = manager.post(TARGET, form_of(preview) | {"target": "stable", "rows": rows})

    assert answer.status_code == 409
    assert "Nothing was changed." in answer.content.decode()
    assert [row.mark for row, _words in answer.context["preview"].groups()[0].lines()] == ["changed", "changed"]
    assert not Change.objects.exists()
    assert manager.post(TARGET, form_of(answer) | {"target": "stable"}).status_code == 302


def test_t7_a_conflicting_change_of_one_site_refuses_the_whole_and_is_shown(manager: Client) -> None:
    page = form_of(manager.get(f"{TARGET}?{ALL_TESTS_OF_TWO_ON_41}"))
    preview = form_of(manager.post(TARGET, page | {"target": "stable", "preview": "1"}))
    held = Instance.objects.filter(slug__in=("acme-test", "bolt-test"))
    for site in held:
        open_hold(site, ends_at=NOW + timedelta(minutes=9), reason="Mine.", actor=COMMAND, now=NOW)

    answer = manager.post(TARGET, preview | {"target": "stable"})

    assert answer.status_code == 409
    assert {line.change.subject_name for line in answer.context["page"].theirs} == {str(site) for site in held}
    assert all(f"changed {site} meanwhile:" in answer.content.decode() for site in held)
    assert slugs_with(target_channel="stable") == []


def test_each_channel_says_what_build_it_has(manager: Client) -> None:
    answer = manager.get(f"{TARGET}?{ALL_TESTS_OF_TWO_ON_41}")
    assert answer.context["channels"] == [("stable", "4.1.2"), ("release", "4.1.2"), ("beta", "4.2"), ("alpha", "4.2")]
    assert 'stable <span class="muted">4.1.2</span>' in answer.content.decode()


def test_many_live_sites_want_their_number_typed(manager: Client) -> None:
    for number in range(3):
        make_instance(f"more-{number}", runs="4.1.2")
    page = form_of(manager.get(f"{HOLD}?kind=live&matching=1"))
    said = {"until": SOON, "reason": "Audit."}
    preview = manager.post(HOLD, page | said | {"preview": "1"})
    assert "5 LIVE sites are among them. Type <b>5</b> to confirm" in preview.content.decode()

    refused = manager.post(HOLD, form_of(preview) | said)
    assert (refused.status_code, "Type 5 to confirm." in refused.content.decode()) == (422, True)
    assert not Hold.objects.exists()
    assert manager.post(HOLD, form_of(preview) | said | {"typed": "5"}).status_code == 302
    assert Hold.objects.count() == 5


def test_skipping_tonight_holds_to_the_end_of_the_night(manager: Client) -> None:
    page = manager.get("/sites/bulk/skip/?site=acme-test")

    assert page.context["form"]["until"].value() == "2026-11-24T05:00"
    assert groups(page) == {"Do not upgrade tonight any more": ["acme-test"]}


def test_holds_of_many_are_ended_and_those_without_are_said_to_have_none(manager: Client) -> None:
    open_hold(
        Instance.objects.get(slug="acme-test"), ends_at=NOW + timedelta(days=3), reason="Test.", actor=COMMAND, now=NOW
    )

    page = manager.get(f"{END}?{ALL_TESTS_OF_TWO_ON_41}")

    assert groups(page) == {"Upgrade tonight": ["acme-test"], "Stay as they are": ["bolt-test"]}
    assert "End the holds of 1 site</button>" in page.content.decode()
    assert manager.post(END, form_of(page)).status_code == 302
    assert not Hold.objects.not_over(NOW).exists()


def test_p8_a_tag_brings_its_freeze_with_it(manager: Client) -> None:
    frozen = Tag.objects.create(name="frozen")
    open_freeze(
        {
            "name": "Audit", "scope": "tag", "tag": frozen, "starts_at": NOW, "ends_at": NOW + timedelta(days=2),
            "zone": "UTC", "reason": "Audit.",
        },
        actor=COMMAND, now=NOW,
    )  # fmt: skip
    page = form_of(manager.get(f"{TAGS}?{ALL_TESTS_OF_TWO_ON_41}"))

    preview = manager.post(TAGS, page | {"add": "frozen", "preview": "1"})
    assert groups(preview) == {"Do not upgrade tonight any more": ["acme-test", "bolt-test"]}

    manager.post(TAGS, form_of(preview) | {"add": "frozen"})
    assert slugs_with(tags=frozen) == ["acme-test", "bolt-test"]
    again = manager.post(TAGS, page | {"remove": "frozen", "preview": "1"})
    assert groups(again) == {"Upgrade tonight": ["acme-test", "bolt-test"]}


@pytest.mark.parametrize(
    ("address", "said", "words"),
    [
        (TARGET, {"target": "stable"}, "Undo: give each of the 2 sites its target back"),
        (HOLD, {"until": SOON, "reason": "Test."}, "Undo: end these 2 holds"),
        (TAGS, {"add": "care"}, "Undo: give each of the 2 sites its tags back"),
    ],
)
def test_t9_an_act_is_taken_back_for_each_of_its_sites(
    manager: Client, address: str, said: dict[str, str], words: str
) -> None:
    before = [(site.target, list(site.tags.all())) for site in Instance.objects.order_by("pk")]
    receipt = manager.get(confirmed(manager, address, said)["Location"]).content.decode()
    assert words in receipt

    link = re.findall(r'href="(/sites/bulk/undo/[^"]+)"', receipt)[0].replace("&amp;", "&")
    page = manager.get(link)
    assert len(page.context["preview"].effects) == 2
    answer = manager.post(link.partition("?")[0], form_of(page))

    assert answer["Location"] == "/sites/?customer=acme&customer=bolt&kind=test&version=4.1"
    assert [(site.target, list(site.tags.all())) for site in Instance.objects.order_by("pk")] == before
    assert not Hold.objects.not_over(NOW).exists()


def test_t9_a_site_changed_since_is_named_and_left(manager: Client) -> None:
    receipt = manager.get(confirmed(manager, TARGET, {"target": "stable"})["Location"]).content.decode()
    link = re.findall(r'href="(/sites/bulk/undo/[^"?]+)', receipt)[0]
    page = manager.get(link)
    set_target(Instance.objects.get(slug="bolt-test"), Target("alpha"), actor=COMMAND, now=NOW)

    late = manager.post(link, form_of(page))
    assert late.status_code == 409
    html = late.content.decode()
    assert "Changed since, and left as they are" in html
    assert "command line changed it again" in html
    assert manager.post(link, form_of(late)).status_code == 302
    assert (slugs_with(target_channel="stable"), slugs_with(target_channel="alpha")) == ([], ["bolt-test"])


def test_the_filter_of_the_list_is_not_taken_for_what_is_chosen(manager: Client) -> None:
    page = manager.get(f"{TARGET}?target=beta&matching=1")

    assert (len(page.context["preview"].effects), page.context["act"]) == (5, None)


def test_without_a_selection_the_person_is_sent_to_the_list(manager: Client) -> None:
    assert manager.get(HOLD)["Location"] == "/sites/"


@pytest.mark.parametrize("data", [{}, {"sites": "1;2", "seen": "0"}, {"sites": "1"}, {"sites": "0", "seen": "0"}])
def test_a_malformed_act_is_not_understood(manager: Client, data: dict[str, str]) -> None:
    for address in (TARGET, HOLD, TAGS, END):
        assert manager.post(address, data).status_code == 400
    assert not Change.objects.exists()


@pytest.mark.parametrize("query", ["host=typo&matching=1", "version=x", "foo=1&matching=1"])
def test_a_filter_that_is_not_understood_is_answered_with_what_is_wrong(manager: Client, query: str) -> None:
    answer = manager.get(f"{HOLD}?{query}")

    assert answer.status_code == 400
    assert "There is no" in answer.content.decode() or "not a version" in answer.content.decode()


@pytest.mark.parametrize("address", ["/sites/bulk/nothing/", "/sites/bulk/undo/1-2/", "/sites/bulk/hold/?site=nobody"])
def test_what_does_not_exist_is_not_found(manager: Client, address: str) -> None:
    assert manager.get(address).status_code == 404


def test_who_may_do_what(client: Client, viewer: User, support: User, stranger: User) -> None:
    assert client.get(f"{HOLD}?site=acme-test")["Location"].startswith("/sign-in/")
    for user, address, answer in (
        (stranger, HOLD, 403), (viewer, HOLD, 403), (viewer, TARGET, 403), (support, TAGS, 403), (support, HOLD, 200),
        (support, TARGET, 200), (support, END, 200),
    ):  # fmt: skip
        client.force_login(user)
        assert client.get(f"{address}?site=acme-test").status_code == answer
        if answer == 403:
            assert client.post(address, {"sites": "1", "seen": "0"}).status_code == 403


def test_a_fragment_is_the_effect_alone(manager: Client) -> None:
    page = form_of(manager.get(f"{TARGET}?{ALL_TESTS_OF_TWO_ON_41}"))

    html = manager.post(
        TARGET, page | {"target": "stable", "preview": "1"}, headers={"HX-Request": "true"}
    ).content.decode()

    assert "<h1" not in html
    assert 'name="shown"' in html
    assert "Change the target of 2 sites</button>" in html


def test_the_number_of_queries_does_not_grow_with_the_selection(manager: Client) -> None:
    host, customer, counts = make_host(), make_customer("Many"), []
    for number in (2, 10):
        for _each in range(number):
            make_instance(customer=customer, host=host, runs="4.1")
        page = form_of(manager.get(f"{TARGET}?customer=many"))
        with CaptureQueriesContext(connection) as queries:
            manager.post(TARGET, page | {"target": "pin", "build": "4.2", "ends": "caught_up", "preview": "1"})
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_p8_a_manual_upgrade_sets_holds_and_windows_aside_with_permission_reason_and_names(
    manager: Client, client: Client
) -> None:
    open_hold(
        Instance.objects.get(slug="acme-test"), ends_at=NOW + timedelta(days=3), reason="Mine.", actor=COMMAND, now=NOW
    )
    page = manager.get(f"/upgrades/now/?{ALL_TESTS_OF_TWO_ON_41}")
    assert [(one.name, one.sites) for one in page.context["aside"]] == [("through_holds", 1)]

    shown = manager.post("/upgrades/now/", form_of(page) | {"through_holds": "1", "preview": "1"})
    html = shown.content.decode()
    assert "For 1 site a hold, a freeze or its window is set aside." in html
    assert "On hold until 26 Nov 2026" in html or "On hold until 26 Nov" in html

    unreasoned = manager.post("/upgrades/now/", form_of(shown) | {"through_holds": "1"})
    assert (unreasoned.status_code, unreasoned.context["form"].errors["reason"]) == (
        422, ["Setting a rule aside needs a reason."],
    )  # fmt: skip
    assert not Run.objects.exists()
    manager.post("/upgrades/now/", form_of(shown) | {"through_holds": "1", "reason": "Agreed."})
    assert Run.objects.get().waived == ["pause"]
    assert Upgrade.objects.count() == 2

    starter = make_user(role="Release manager")
    starter.groups.clear()
    starter.user_permissions.add(*_permissions("start_upgrade", "view_instance"))
    client.force_login(starter)
    assert client.get("/upgrades/now/?site=bolt-test&through_holds=1").status_code == 403
    assert client.post("/upgrades/now/", {"sites": "1", "seen": "x", "through_holds": "1"}).status_code == 403


def _permissions(*names: str) -> Any:
    return Permission.objects.filter(codename__in=names)
