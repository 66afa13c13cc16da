"""P4: sites that share something are upgraded so many at once, whatever their hosts, workers and runs."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.test import Client

from builds.maturity import Maturity
from instances.exceptions import InvalidInput
from instances.models import Instance, Tag
from instances.services import set_limit, set_tags
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import last_seen
from tests.commands import json_of, refusal_of, text_of
from tests.factories import NOW, make_build, make_host, make_instance, make_upgrade, one_wave
from tests.together import Beside
from upgrades.choices import EndCode, Outcome, UpgradeState
from upgrades.models import Run, Upgrade
from upgrades.services import claims
from upgrades.services.runs import start_upgrades

ACT: dict[str, Any] = {"actor": COMMAND, "now": NOW}
PAGE = "/settings/limits/"


def due_run(slugs: str, tag: str = "db-1") -> Run:
    """Sites on a host of their own each, of which those with a capital letter share a database."""
    one_wave()
    make_build("2.0", maturity=Maturity.RELEASE)
    sites = []
    for slug in slugs.split():
        site = make_instance(slug.lower(), host=make_host(f"host-{slug.lower()}"))
        if slug[0].isupper():
            set_tags(site, [tag], **ACT)
        sites.append(site)
    return start_upgrades(sites, **ACT)


def may_begin() -> set[str]:
    numbers = [turn.number for turns in claims.due_by_host(NOW).values() for turn in turns]
    return set(Upgrade.objects.filter(pk__in=numbers).values_list("instance__slug", flat=True))


def begin(run: Run) -> list[str]:
    return sorted(one.instance.slug for one in claims.begin_all(list(run.upgrades.for_list()), now=NOW))


@pytest.mark.django_db
def test_what_waits_for_a_limit_lets_others_go_first() -> None:
    run = due_run("A B C plain")
    set_limit("db-1", 2, **ACT)
    assert may_begin() == {"a", "b", "c", "plain"}

    assert begin(run) == ["a", "b", "plain"]

    assert may_begin() == set()
    assert begin(run) == []
    run.upgrades.get(instance__slug="a").end(Outcome.SUCCEEDED, EndCode.DONE, now=NOW)
    assert may_begin() == {"c"}
    assert begin(run) == ["c"]


@pytest.mark.django_db
def test_a_limit_counts_what_runs_in_other_runs_and_is_read_when_something_begins() -> None:
    run = due_run("A B")
    other = make_instance("other", host=make_host("host-other"))
    set_tags(other, ["db-1"], **ACT)
    make_upgrade(instance=other, state=UpgradeState.ROLLING_BACK, started_at=NOW)
    set_limit("db-1", 1, **ACT)
    assert begin(run) == []

    set_limit("db-1", 2, **ACT)
    assert begin(run) == ["a"]

    set_limit("db-1", None, **ACT)
    assert begin(run) == ["b"]


@pytest.mark.django_db
def test_a_site_waits_for_every_limit_of_its_tags() -> None:
    run = due_run("A B")
    set_tags(Instance.objects.get(slug="b"), ["db-1", "rack-7"], **ACT)
    set_limit("db-1", 5, **ACT)
    make = make_instance("blocker", host=make_host("host-x"))
    set_tags(make, ["rack-7"], **ACT)
    make_upgrade(instance=make, state=UpgradeState.RUNNING, started_at=NOW)
    set_limit("rack-7", 1, **ACT)
    assert may_begin() == {"a"}
    assert begin(run) == ["a"]


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_keep_to_one_limit() -> None:
    run = due_run("A B")
    set_limit("db-1", 1, **ACT)
    first, second = run.upgrades.for_list()

    with transaction.atomic():
        began = claims.begin(first, now=NOW)
        other = Beside(lambda: claims.begin(second, now=NOW))
        assert other.waits

    assert (began, other.answer()) == (True, False)


@pytest.mark.django_db
def test_no_limit_costs_one_query_and_any_number_two(django_assert_num_queries: Any) -> None:
    due_run("A B C")
    with django_assert_num_queries(4):
        claims.due_by_host(NOW)
    for number in range(1, 6):
        set_limit(f"db-{number}", number, **ACT)
    with django_assert_num_queries(5):
        claims.due_by_host(NOW)


@pytest.mark.django_db
def test_the_page_of_an_upgrade_says_which_limit_it_waits_for(client: Client, viewer: User) -> None:
    run = due_run("A B")
    set_limit("db-1", 1, **ACT)
    begin(run)
    client.force_login(viewer)
    waiting = run.upgrades.get(instance__slug="b")
    page = client.get(f"/upgrades/{waiting.pk}/").content.decode()
    assert "of the sites tagged db-1, 1 is upgraded at once." in page
    begun = run.upgrades.get(instance__slug="a")
    assert "upgraded at once" not in client.get(f"/upgrades/{begun.pk}/").content.decode()


# Setting one.


@pytest.mark.django_db
def test_a_limit_is_set_changed_and_taken_away_with_a_history(client: Client, release_manager: User) -> None:
    set_tags(make_instance("acme-live"), ["db-1"], **ACT)
    client.force_login(release_manager)
    assert "No limit" in client.get(PAGE).content.decode()

    answer = client.post(PAGE, {"tag": "db-1", "max_parallel": "2", "reason": "It is old", "seen": "0"}, follow=True)
    page = " ".join(answer.content.decode().split())
    assert "2 upgrades at once, 1 site<" in page
    assert 'value="2"' in client.get(f"{PAGE}?tag=db-1").content.decode()

    late = client.post(PAGE, {"tag": "db-1", "max_parallel": "5", "reason": "", "seen": "0"})
    assert late.status_code == 409
    assert "changed db-1 meanwhile" in late.content.decode()
    assert Tag.objects.get().max_parallel == 2

    seen = str(last_seen(Tag))
    client.post(PAGE, {"tag": "db-1", "max_parallel": "", "reason": "A new one", "seen": seen})
    assert Tag.objects.get().max_parallel is None
    changes = Change.objects.filter(kind="limit.changed").order_by("pk")
    assert [(one.before, one.after, one.reason) for one in changes] == [
        ({"max_parallel": None}, {"max_parallel": 2}, "It is old"),
        ({"max_parallel": 2}, {"max_parallel": None}, "A new one"),
    ]
    assert "upgrades at once" in client.get("/activity/").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "value"),
    [("tag", ""), ("tag", "two words"), ("max_parallel", "0"), ("max_parallel", "1001"), ("max_parallel", "x")],
)
def test_what_is_no_limit_is_refused_beside_its_field(
    client: Client, release_manager: User, field: str, value: str
) -> None:
    client.force_login(release_manager)
    answer = client.post(PAGE, {"tag": "db-1", "max_parallel": "2", "reason": "", "seen": "0"} | {field: value})
    assert (answer.status_code, list(answer.context["form"].errors)) == (422, [field])
    assert not Tag.objects.filter(max_parallel__isnull=False).exists()


@pytest.mark.django_db
def test_who_may_set_a_limit(client: Client, support: User) -> None:
    given = {"tag": "db-1", "max_parallel": "2", "seen": "0"}
    assert client.post(PAGE, given).status_code == 302
    client.force_login(support)
    assert client.post(PAGE, given).status_code == 403
    assert "Changing one needs Release manager." in client.get(PAGE).content.decode()
    assert not Tag.objects.exists()


@pytest.mark.django_db
def test_the_command_does_the_same() -> None:
    assert text_of("set_limit", "db-1", 2, "--reason", "Old") == "db-1: 2 at once."
    assert json_of("set_limit", "db-1", 2) == {"tag": "db-1", "max_parallel": 2, "changed": False}
    assert text_of("set_limit", "db-1", "none") == "db-1: no limit."
    assert "two words" in refusal_of("set_limit", "two words", 1)
    assert "1000" in refusal_of("set_limit", "db-1", 1001)


@pytest.mark.django_db
def test_neither_the_service_nor_the_database_takes_a_limit_of_nothing() -> None:
    with pytest.raises(InvalidInput):
        set_limit("db-1", 0, **ACT)
    assert not Tag.objects.exists()
    with pytest.raises(IntegrityError), transaction.atomic():
        Tag.objects.create(name="db-1", max_parallel=0)
