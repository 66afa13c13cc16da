"""Commands and services that act on any selection of sites, whole or not at all (T9)."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from builds.maturity import Maturity
from instances.choices import Kind
from instances.models import Hold, Instance, Target
from instances.services import last_seen_of, open_hold, open_holds, set_targets
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import ChangedMeanwhile
from tests.commands import json_of, refusal_of, text_of
from tests.factories import NOW, make_build, make_customer, make_host, make_instance
from tests.together import run_together
from upgrades.exceptions import PlanChanged
from upgrades.models import Run
from upgrades.services.planning import next_night, plan_night
from upgrades.services.selections import as_shown, candidates, effects_print, preview_change, with_targets

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

MEANT = "/sites/?customer=acme&customer=bolt&kind=test&version=4.1"


@pytest.fixture
def fleet() -> None:
    make_build("4.1", maturity=Maturity.STABLE)
    make_build("4.2", maturity=Maturity.BETA)
    for name in ("Acme", "Bolt", "Zed"):
        customer = make_customer(name)
        make_instance(f"{customer.slug}-live", runs="4.1", customer=customer)
        make_instance(f"{customer.slug}-test", runs="4.1", customer=customer, kind=Kind.TEST)


@pytest.mark.usefixtures("fleet")
def test_t9_commands_take_many_sites_by_a_filter() -> None:
    target = json_of("set_target", "--where", MEANT, "--channel", "stable")
    assert [(one["site"], one["changed"]) for one in target["sites"]] == [("acme-test", True), ("bolt-test", True)]
    assert "site" not in target

    tags = json_of("tag_sites", "--where", MEANT, "--add", "care", "early")
    assert tags["sites"][0] == {"site": "acme-test", "changed": True, "tags": ["care", "early"]}
    assert text_of("tag_sites", "zed-test", "acme-test", "--remove", "early") == (
        "acme-test: care.\nzed-test: no tag, as before."
    )

    holds = json_of("hold_site", "--where", "tag=care", "--until", "2026-12-01T06:00", "--reason", "Audit")
    assert [hold["site"] for hold in holds["holds"]] == ["acme-test", "bolt-test"]
    assert len(json_of("end_hold", "--where", "state=held")["ended"]) == 2


@pytest.mark.usefixtures("fleet")
def test_p8_upgrade_sites_goes_through_holds_with_a_reason() -> None:
    site = Instance.objects.get(slug="acme-test")
    open_hold(site, ends_at=NOW + timedelta(days=2), reason="Audit", actor=COMMAND, now=NOW)

    assert json_of("upgrade_sites", "acme-test")["upgrades"] == []
    refused = refusal_of("upgrade_sites", "acme-test", "--through-holds", "--outside-window")
    assert refused == "Upgrading through a hold, a freeze or outside the window needs a reason."
    told = json_of("upgrade_sites", "--where", "customer=acme&kind=test", "--through-holds", "--reason", "Agreed")

    assert [one["site"] for one in told["upgrades"]] == ["acme-test"]
    assert list(Run.objects.order_by("pk").values_list("waived", flat=True)) == [[], ["pause"]]


@pytest.mark.parametrize(
    ("filter_", "words"),
    [
        ("kind=prod", "“prod” is not one of live, test."),
        ("hots=web1", "There is no filter “hots”."),
        ("customer=typo", "No customer is named typo."),
        ("tag=typo", "No site has ever had the tag typo."),
        ("version=9", "No site matches the filter."),
        ("kind=", "The filter says nothing."),
    ],
)
@pytest.mark.usefixtures("fleet")
def test_a_command_refuses_a_faulty_filter(filter_: str, words: str) -> None:
    for command in (("set_target", "--channel", "beta"), ("end_hold",), ("tag_sites", "--add", "x")):
        assert words in refusal_of(command[0], "--where", filter_, *command[1:])
    assert not Change.objects.exists()


@pytest.mark.usefixtures("fleet")
def test_a_command_wants_names_or_a_filter_and_not_both() -> None:
    for arguments in ([], ["acme-test", "--where", "kind=test"]):
        assert refusal_of("end_hold", *arguments) == "Name the sites, or give a filter with --where."
    assert refusal_of("tag_sites", "acme-test") == "Say which tags to --add or to --remove."
    assert "not a tag" in refusal_of("tag_sites", "acme-test", "--add", "a b!")


@pytest.mark.usefixtures("fleet")
def test_t9_one_site_that_refuses_refuses_the_whole() -> None:
    make_instance("ahead", runs="4.2", kind=Kind.TEST, customer=make_customer("Ahead"))

    refused = refusal_of("set_target", "--where", "kind=test", "--version", "4.1", "--reason", "A fix")

    assert refused == "ahead runs 4.2. 4.1 is older, and going back is refused."
    assert not Change.objects.exists()


@pytest.mark.usefixtures("fleet")
def test_p1_an_act_whose_effect_is_not_the_one_that_was_shown_is_not_done() -> None:
    sites = list(Instance.objects.filter(kind=Kind.TEST))
    change = with_targets(dict.fromkeys([site.pk for site in sites], Target("stable")))
    shown = effects_print(preview_change(sites, change, next_night(NOW)))
    make_build("4.3", maturity=Maturity.BETA)

    with pytest.raises(PlanChanged):
        as_shown(sites, change, lambda: pytest.fail("acted"), shown=shown, now=NOW)


@pytest.mark.usefixtures("fleet")
def test_the_candidates_cost_the_same_queries_for_any_number_of_sites() -> None:
    host, customer, counts = make_host(), make_customer("Many"), []
    for number in (1, 9):
        for _each in range(number):
            make_instance(host=host, customer=customer)
        night, decisions = plan_night(NOW)
        with CaptureQueriesContext(connection) as queries:
            assert len(candidates(decisions, night, NOW)) == Instance.objects.count()
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 8


@pytest.mark.django_db(transaction=True)
def test_t9_of_two_conflicting_acts_at_once_one_is_done_whole_and_the_other_not_at_all() -> None:
    """Real transactions: overlapping selections, each by somebody who saw the same state."""
    make_build("4.1", maturity=Maturity.STABLE)
    customer, host = make_customer("Acme"), make_host()
    sites = [make_instance(f"s{number}", runs="4.1", customer=customer, host=host) for number in range(6)]
    seen = last_seen_of(sites)

    def target() -> str:
        try:
            set_targets(sites[:4], Target("beta"), actor=COMMAND, now=NOW, seen=seen)
        except ChangedMeanwhile:
            return "refused"
        return "target"

    def hold() -> str:
        try:
            open_holds(
                sites[:1:-1], ends_at=NOW + timedelta(days=1), reason="Audit", actor=COMMAND, now=NOW, seen=seen
            )  # fmt: skip
        except ChangedMeanwhile:
            return "refused"
        return "hold"

    done = run_together(target, hold)

    aimed, held = Instance.objects.filter(target_channel="beta").count(), Hold.objects.count()
    assert (sorted(done), aimed, held) in [(["refused", "target"], 4, 0), (["hold", "refused"], 0, 4)]
