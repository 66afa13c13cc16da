"""Adding, changing, tagging and deleting customers, hosts and sites: each refusal names its field (T7, T9)."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from instances.choices import Kind
from instances.exceptions import InvalidInput, ReasonMissing, StillInUse
from instances.models import Customer, Host, Instance, Tag, Target, TargetChange
from instances.services import (
    add_customer,
    add_host,
    add_site,
    approve_host_key,
    change_customer,
    change_host,
    change_site,
    change_tags,
    delete_customer,
    delete_host,
    delete_site,
    last_seen_of,
    set_tags,
)
from releasemgr.lib.actors import COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import ChangedMeanwhile, last_seen
from tests.factories import HOST_KEY, NOW, make_build, make_customer, make_host, make_instance, make_upgrade
from tests.together import run_together

pytestmark = pytest.mark.django_db
ACT: dict[str, Any] = {"actor": COMMAND, "now": NOW}


def site_values(**values: Any) -> dict[str, Any]:
    place = {"customer": Customer.objects.first() or make_customer(), "host": Host.objects.first() or make_host()}
    return {"slug": "shop", "kind": "test", "path": "/srv/shop"} | place | values


def test_what_is_added_is_in_the_history_with_who_did_it(administrator: User) -> None:
    actor = Actor(Origin.PAGE, administrator)

    customer = add_customer({"slug": "acme", "name": "Acme"}, actor=actor, now=NOW)
    host = add_host({"name": "web1", "address": "web1.example.net"}, actor=actor, now=NOW)
    site = add_site(site_values(customer=customer, host=host), actor=actor, now=NOW, reason="New customer")

    changes = {change.kind: change for change in Change.objects.all()}
    assert set(changes) == {"customer.added", "host.added", "site.added"}
    assert {change.by for change in changes.values()} == {administrator}
    assert changes["customer.added"].after == {"slug": "acme", "name": "Acme"}
    assert (changes["site.added"].after["customer"], changes["site.added"].after["target"]) == (
        "Acme", {"channel": "beta"},
    )  # fmt: skip
    assert (TargetChange.objects.get().before, site.target) == (None, Target(channel="beta"))


def test_t1_t2_a_site_may_be_added_with_a_target_of_its_own() -> None:
    build = make_build("4.2")

    with pytest.raises(ReasonMissing):
        add_site(site_values(), target=Target(build=build), **ACT)
    site = add_site(site_values(), target=Target(build=build), reason="As agreed", **ACT)

    assert (site.target, site.pin_reason) == (Target(build=build), "As agreed")


@pytest.mark.parametrize(
    ("add", "values", "fields"),
    [
        (add_customer, {"slug": "two words", "name": "Acme"}, ["slug"]),
        (add_customer, {}, ["slug", "name"]),
        (add_customer, {"slug": "a", "name": "A\x00"}, ["name"]),
        (add_customer, {"slug": "a", "name": "\ud800"}, ["name"]),
        (add_customer, {"slug": "a", "name": "x" * 121}, ["name"]),
        (add_host, {"name": "w", "address": "", "port": 70000, "max_parallel": 9}, ["address", "port", "max_parallel"]),
        (add_host, {"name": "web1", "address": "web1", "port": "ssh"}, ["port"]),
        (add_site, {"path": "srv", "kind": "prod", "url": "shop"}, ["kind", "path", "url"]),
        (add_site, {"customer": None}, ["customer"]),
        (add_site, {"min_free_mb": 10**12}, ["min_free_mb"]),
        (add_site, {"restart_command": "one\ntwo"}, ["restart_command"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_field_and_nothing_is_saved(
    add: Callable[..., object], values: dict[str, Any], fields: list[str]
) -> None:
    before = site_values()

    with pytest.raises(InvalidInput) as refused:
        add(before | values if add is add_site else values, **ACT)

    assert sorted(set(refused.value.errors) - {""}) == sorted(fields)
    assert all(f"{field}: " in str(refused.value) for field in fields)
    assert (Customer.objects.count(), Host.objects.count(), Instance.objects.count()) == (1, 1, 0)
    assert not Change.objects.exists()


def test_a_name_or_a_place_that_is_taken_is_refused() -> None:
    site = make_instance("shop")

    with pytest.raises(InvalidInput) as refused:
        add_site(site_values(slug="shop", path="/srv/other"), **ACT)
    assert list(refused.value.errors) == ["slug"]
    with pytest.raises(InvalidInput, match="already exists"):
        add_site(site_values(slug="other", host=site.host), **ACT)
    with pytest.raises(InvalidInput, match="slug: "):
        add_customer({"slug": site.customer.slug, "name": "Another"}, **ACT)


def test_a_change_keeps_what_it_does_not_name_and_records_only_what_differs() -> None:
    site = make_instance("shop", notes="Ask Jane")
    site.report("1.2", now=NOW)
    stale = Instance.objects.get()
    Instance.objects.update(reported_version="1.3")

    assert change_site(stale, {"path": "/srv/new", "notes": "Ask Jane"}, reason="Moved", **ACT)
    assert not change_site(stale, {"path": "/srv/new"}, **ACT)

    row, change = Instance.objects.get(), Change.objects.get()
    assert (row.path, row.notes, row.reported_version, stale.path) == ("/srv/new", "Ask Jane", "1.3", "/srv/new")
    assert (change.kind, change.before, change.after, change.reason) == (
        "site.changed", {"path": "/srv/shop"}, {"path": "/srv/new"}, "Moved",
    )  # fmt: skip
    with pytest.raises(InvalidInput, match="path: "):
        change_site(stale, {"path": "srv"}, **ACT)
    with pytest.raises(TypeError):
        change_site(stale, {"reported_version": "9"}, **ACT)


def test_t7_a_customer_a_host_and_a_site_changed_meanwhile_are_refused() -> None:
    site = make_instance()
    rows: list[tuple[Callable[..., bool], Any, dict[str, str], dict[str, str]]] = [
        (change_customer, site.customer, {"name": "One"}, {"name": "Two"}),
        (change_host, site.host, {"user": "one"}, {"user": "two"}),
        (change_site, site, {"notes": "One"}, {"notes": "Two"}),
    ]
    for change, row, first, second in rows:
        assert change(row, first, seen=0, **ACT)
        with pytest.raises(ChangedMeanwhile):
            change(row, second, seen=0, **ACT)
        assert change(row, second, seen=last_seen(row), **ACT)


def test_what_something_hangs_on_is_not_deleted() -> None:
    site = make_instance("shop")
    make_upgrade(instance=site)

    acts: list[tuple[Callable[..., None], object, str]] = [
        (delete_customer, site.customer, "sites"), (delete_host, site.host, "sites"), (delete_site, site, "upgrades"),
    ]  # fmt: skip
    for delete, row, words in acts:
        with pytest.raises(StillInUse, match=f"cannot be deleted: it has {words}"):
            delete(row, **ACT)
    assert Instance.objects.get() == site
    assert not Change.objects.exists()


def test_what_nothing_hangs_on_is_deleted_and_its_history_stays() -> None:
    site = make_instance("shop")
    set_tags(site, ["canary"], **ACT)
    customer, host = site.customer, site.host

    delete_site(site, reason="Left us", **ACT)
    delete_host(host, **ACT)
    delete_customer(customer, **ACT)

    assert [change.kind for change in Change.objects.all()] == [
        "customer.deleted", "host.deleted", "site.deleted", "tags.changed",
    ]  # fmt: skip
    assert Change.objects.get(kind="site.deleted").before["path"] == "/srv/shop"
    assert [model.objects.count() for model in (Instance, Host, Customer)] == [0, 0, 0]


def test_the_tags_of_a_site_are_replaced_and_recorded() -> None:
    site = make_instance()

    assert set_tags(site, ["Canary", "eu ", "canary"], seen=0, **ACT)
    assert not set_tags(site, ["eu", "canary"], **ACT)
    with pytest.raises(ChangedMeanwhile):
        set_tags(site, [], seen=0, **ACT)
    assert set_tags(site, ["eu"], **ACT)

    assert [tag.name for tag in site.tags.all()] == ["eu"]
    assert [(one.before["tags"], one.after["tags"]) for one in Change.objects.all()] == [
        (["canary", "eu"], ["eu"]), ([], ["canary", "eu"]),
    ]  # fmt: skip
    with pytest.raises(InvalidInput, match="tags: “two words” is not a tag"):
        set_tags(site, ["two words"], **ACT)
    with pytest.raises(InvalidInput, match="tags"):
        set_tags(site, ["x" * 61], **ACT)


def test_t9_tags_of_many_sites_change_together_for_the_same_queries() -> None:
    def queries(number: int) -> int:
        sites = [make_instance() for _each in range(number)]
        set_tags(sites[0], ["canary", "old"], **ACT)
        seen = last_seen_of(sites)
        with CaptureQueriesContext(connection) as found:
            changed = change_tags(sites, add=["canary"], remove=["old"], seen=seen, **ACT)
        assert len(changed) == number
        assert {tuple(tag.name for tag in site.tags.all()) for site in sites} == {("canary",)}
        return len(found)

    queries(1)  # makes the tags
    assert queries(2) == queries(9)
    assert set(Tag.objects.values_list("name", flat=True)) == {"canary", "old"}


def test_the_approval_of_a_host_key_is_in_the_history(administrator: User) -> None:
    """U6."""
    host = make_host(host_key="", offered_key=HOST_KEY)

    approve_host_key(host, seen=HOST_KEY, actor=Actor(Origin.PAGE, administrator), now=NOW)

    change = Change.objects.get()
    assert (change.kind, change.by, change.after) == ("host.key_approved", administrator, {"host_key": HOST_KEY})


@pytest.mark.django_db(transaction=True)
def test_one_site_added_twice_at_the_same_moment_is_added_once() -> None:
    values = site_values(kind=Kind.LIVE)

    def add() -> list[str]:
        try:
            add_site(values, **ACT)
        except InvalidInput as refused:
            return list(refused.errors)
        return []

    assert sorted(run_together(add, add), key=len)[0] == []
    assert (Instance.objects.count(), TargetChange.objects.count(), Change.objects.count()) == (1, 1, 1)
