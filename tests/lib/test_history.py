"""The history of changes: added to, never changed; tells whether someone was there before (T7)."""

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from releasemgr.lib.actors import COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import (
    ChangedMeanwhile,
    change_of,
    changes_of,
    difference,
    last_seen,
    record,
    record_all,
    refuse_unless_seen,
    values_of,
)
from tests.factories import NOW, make_customer, make_instance

pytestmark = pytest.mark.django_db


def test_a_change_says_who_when_from_to_why_and_from_where(support: User) -> None:
    customer = make_customer("Acme")
    change = record(
        "customer.changed", customer, actor=Actor(Origin.PAGE, support), now=NOW,
        before={"name": "Acne"}, after={"name": "Acme", "since": NOW}, reason=" A typing error. ",
    )  # fmt: skip
    change.refresh_from_db()
    assert (change.by, change.origin, change.at, change.who) == (support, "page", NOW, support.username)
    assert (change.subject_type, change.subject_id, change.subject_name) == ("customer", str(customer.pk), "Acme")
    assert (change.before, change.reason) == ({"name": "Acne"}, "A typing error.")
    assert change.after == {"name": "Acme", "since": "2026-11-23T12:00:00Z"}


def test_the_database_refuses_to_change_or_delete_it() -> None:
    change = record("customer.added", make_customer(), actor=COMMAND, now=NOW)
    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
        Change.objects.filter(pk=change.pk).update(reason="Something else.")
    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
        change.delete()
    assert Change.objects.get().reason == ""


def test_many_changes_are_one_query(django_assert_num_queries: object) -> None:
    customers = [make_customer() for _each in range(3)]
    with django_assert_num_queries(1):  # type: ignore[operator]
        record_all(change_of("customer.added", one, actor=COMMAND, now=NOW) for one in customers)
    assert Change.objects.count() == 3


def test_who_saw_the_last_change_may_save() -> None:
    customer = make_customer()
    refuse_unless_seen(customer, 0)
    refuse_unless_seen(customer, None)
    change = record("customer.added", customer, actor=COMMAND, now=NOW)
    assert last_seen(customer) == change.pk
    refuse_unless_seen(customer, change.pk)


def test_who_did_not_see_the_last_change_is_shown_it() -> None:
    customer, other = make_customer(), make_customer()
    seen = record("customer.added", customer, actor=COMMAND, now=NOW)
    record("customer.added", other, actor=COMMAND, now=NOW)
    refuse_unless_seen(customer, seen.pk)
    theirs = record("customer.changed", customer, actor=COMMAND, now=NOW)
    with pytest.raises(ChangedMeanwhile, match="was changed by") as refused:
        refuse_unless_seen(customer, seen.pk)
    assert refused.value.theirs == theirs
    assert list(changes_of(customer)) == [theirs, seen]


def test_values_are_plain_and_only_differences_are_kept() -> None:
    site = make_instance("acme-live")
    values = values_of(site, ["path", "customer"])
    assert values == {"path": "/srv/acme-live", "customer": str(site.customer)}
    assert difference({"path": "/a", "url": ""}, {"path": "/b", "url": ""}) == ({"path": "/a"}, {"path": "/b"})
