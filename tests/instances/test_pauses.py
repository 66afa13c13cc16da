"""P8: holds and freezes, once and again and again, and what they mean for each site."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from instances.choices import Kind
from instances.exceptions import InvalidInput
from instances.models import Freeze, Hold, Instance, Tag
from instances.pauses import Pause, PauseKind
from instances.recurrence import Recurrence
from instances.services import (
    change_freeze,
    change_tags,
    end_freeze,
    end_hold,
    end_holds,
    extend_hold,
    last_seen_of,
    left_alone,
    open_freeze,
    open_hold,
    open_holds,
    pauses_for,
)
from instances.windows import Span
from releasemgr.lib.actors import COMMAND, Actor, Origin
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import ChangedMeanwhile, last_seen
from tests.factories import NOW, make_customer, make_instance

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
LONDON = ZoneInfo("Europe/London")


def hold(site: Instance, *, starts_at: datetime | None = None, ends_at: datetime = NOW + DAY, **values: Any) -> Hold:
    said: dict[str, Any] = {"reason": "Audit", "actor": COMMAND, "now": NOW} | values
    return open_hold(site, starts_at=starts_at, ends_at=ends_at, **said)


def freeze(**values: Any) -> Freeze:
    return open_freeze(TERMS | values, actor=COMMAND, now=NOW)


TERMS: dict[str, Any] = {
    "name": "Christmas", "scope": "all", "starts_at": NOW, "ends_at": NOW + DAY, "zone": "UTC",
    "reason": "Nobody is here",
}  # fmt: skip


# How a freeze comes again


def local(text: str, zone: ZoneInfo = LONDON) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def times(first: str, last: str, rule: str, zone: ZoneInfo = LONDON, *, years: int = 1) -> list[str]:
    again = Recurrence(local(first, zone), local(last, zone), rule, zone)
    assert again.fault == ""
    spans = again.spans(local(first, zone), local(first, zone) + years * 366 * DAY)
    return [f"{s.starts_at.astimezone(zone):%y-%m-%d %H:%M} {s.ends_at.astimezone(zone):%m-%d %H:%M}" for s in spans]


@pytest.mark.parametrize(
    ("first", "last", "rule", "expected"),
    [
        (
            "2026-01-31T18:00", "2026-02-01T06:00", "FREQ=MONTHLY;BYMONTHDAY=-1",
            ["26-01-31 18:00 02-01 06:00", "26-02-28 18:00 03-01 06:00", "26-03-31 18:00 04-01 06:00"],
        ),
        (
            "2026-03-27T20:00", "2026-03-29T20:00", "FREQ=WEEKLY",
            ["26-03-27 20:00 03-29 20:00", "26-04-03 20:00 04-05 20:00", "26-04-10 20:00 04-12 20:00"],
        ),
        (
            "2026-03-28T01:30", "2026-03-28T02:30", "FREQ=DAILY",
            ["26-03-28 01:30 03-28 02:30", "26-03-29 02:30 03-29 03:30", "26-03-30 01:30 03-30 02:30"],
        ),
        (
            "2026-01-30T00:00", "2026-01-31T00:00", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
            ["26-01-30 00:00 01-31 00:00", "26-02-27 00:00 02-28 00:00", "26-03-31 00:00 04-01 00:00"],
        ),
        (
            "2026-01-12T00:00", "2026-01-13T00:00", "FREQ=MONTHLY;BYDAY=2MO;UNTIL=20260209",
            ["26-01-12 00:00 01-13 00:00", "26-02-09 00:00 02-10 00:00"],
        ),
    ],
)  # fmt: skip
def test_p8_a_recurring_freeze_keeps_its_local_hours(first: str, last: str, rule: str, expected: list[str]) -> None:
    assert times(first, last, rule)[:3] == expected


def test_p8_each_december_lasts_the_whole_month_each_year() -> None:
    assert times("2026-12-01T00:00", "2027-01-01T00:00", "FREQ=YEARLY", years=2) == [
        "26-12-01 00:00 01-01 00:00", "27-12-01 00:00 01-01 00:00", "28-12-01 00:00 01-01 00:00",
    ]  # fmt: skip


def test_p8_one_that_began_before_the_asked_span_and_reaches_into_it_is_found() -> None:
    again = Recurrence(local("2020-12-01T00:00"), local("2021-01-01T00:00"), "FREQ=YEARLY", LONDON)

    moment = local("2026-12-31T23:00")
    assert [span.covers(moment) for span in again.spans(moment, moment + timedelta(minutes=1))] == [True]
    assert list(again.spans(local("2027-01-01T00:00"), local("2027-11-30T00:00"))) == []


@given(
    st.sampled_from(["Europe/London", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]),
    st.integers(0, 25 * 366 * 24),
    st.integers(1, 23),
    st.sampled_from(["FREQ=DAILY", "FREQ=WEEKLY", "FREQ=DAILY;INTERVAL=3"]),
    st.integers(0, 400),
)
def test_p8_looking_at_a_part_finds_what_looking_at_the_whole_finds(
    name: str, first: int, hours: int, rule: str, days: int
) -> None:
    zone = ZoneInfo(name)
    start = datetime(2005, 1, 1, tzinfo=UTC) + first * HOUR
    again = Recurrence(start, start + hours * HOUR, rule, zone)
    after, before = start + days * DAY, start + (days + 9) * DAY

    whole = [span for span in again.spans(start, before + 30 * DAY) if span.meets(after, before)]

    assert list(again.spans(after, before)) == whole
    assert all(span.ends_at > span.starts_at for span in whole)


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ("every month", "“every month” is not how something repeats. It looks like FREQ=MONTHLY;BYMONTHDAY=-1."),
        ("FREQ=SECONDLY", "“FREQ=SECONDLY” is not how"),
        ("FREQ=DAILY;COUNT=3", "“COUNT=3” is not how"),
        ("FREQ=DAILY;FREQ=DAILY", "“FREQ=DAILY” is not how"),
        ("FREQ=DAILY;", "“” is not how"),
        ("BYMONTHDAY=1", "It does not say how often."),
        ("FREQ=DAILY;UNTIL=20260231", "UNTIL is not a day."),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "The first time does not fit how it repeats."),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", "The first time does not fit how it repeats."),
        ("FREQ=WEEKLY;BYDAY=TU", "The first time does not fit how it repeats."),
        ("FREQ=MONTHLY;BYDAY=1MO", "The first time does not fit how it repeats."),
        ("FREQ=YEARLY;BYDAY=5MO;BYMONTHDAY=1", "A day of the month and a counted weekday do not go together."),
        ("FREQ=DAILY;UNTIL=20261123", "It does not come a second time."),
        ("FREQ=YEARLY;INTERVAL=99", "It does not come a second time."),
        ("FREQ=DAILY", "One time would last until the next one begins: it would never end."),
    ],
)
def test_p8_how_something_repeats_is_refused_with_the_reason(rule: str, fault: str) -> None:
    monday = datetime(2026, 11, 23, 12, tzinfo=UTC)

    assert Recurrence(monday, monday + DAY, rule, ZoneInfo("UTC")).fault.startswith(fault)


# Holds


@pytest.mark.django_db
def test_p8_a_hold_leaves_a_site_alone_from_its_start_up_to_its_end(support: User) -> None:
    site, other = make_instance(), make_instance()
    held = hold(site, reason=" Audit ", actor=Actor(Origin.PAGE, support))

    pauses = pauses_for(None, NOW - DAY, NOW + 9 * DAY)

    assert pauses == {site.pk: (Pause(PauseKind.HOLD, held.pk, Span(NOW, NOW + DAY), "Audit"),), other.pk: ()}
    assert pauses_for([site], NOW + DAY, NOW + 2 * DAY) == {site.pk: ()}
    assert pauses_for([site], NOW - DAY, NOW) == {site.pk: ()}
    change = Change.objects.get()
    assert (change.kind, change.subject_type, change.subject_name) == ("hold.opened", "instance", site.slug)
    assert (change.by, change.reason, change.after["hold"]) == (support, "Audit", held.pk)
    assert held.made_by == support.username


@pytest.mark.django_db
def test_a_hold_may_begin_later_and_never_before_now() -> None:
    site = make_instance()

    assert hold(site, starts_at=NOW + HOUR).starts_at == NOW + HOUR
    assert hold(site, starts_at=NOW - HOUR).starts_at == NOW


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"reason": " "}, "reason", "is missing"),
        ({"reason": "\x00"}, "reason", "not text"),
        ({"ends_at": NOW}, "ends_at", "after the start"),
        ({"ends_at": NOW + 367 * DAY}, "ends_at", "At most 366 days"),
        ({"starts_at": NOW + 2000 * DAY, "ends_at": NOW + 2001 * DAY}, "starts_at", "five years"),
    ],
)
def test_a_hold_that_may_not_be_is_refused_with_its_field(values: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        hold(make_instance(), **values)

    assert list(refused.value.errors) == [field]
    assert words in refused.value.errors[field][0]
    assert not Hold.objects.exists()
    assert not Change.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"ends_at": NOW}, "hold_ends_after_its_start"),
        ({"ends_at": NOW + 366 * DAY + HOUR}, "hold_is_renewed_within_a_year"),
        ({"renewed_at": NOW - HOUR}, "hold_is_renewed_within_a_year"),
        ({"reason": ""}, "hold_has_a_reason"),
    ],
)
def test_the_database_refuses_a_hold_that_may_not_be(values: dict[str, Any], constraint: str) -> None:
    held = hold(make_instance(), ends_at=NOW + 366 * DAY)

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Hold.objects.filter(pk=held.pk).update(**values)


@pytest.mark.django_db
def test_a_hold_is_renewed_for_another_year_at_most() -> None:
    held, later = hold(make_instance(), ends_at=NOW + 366 * DAY), NOW + 300 * DAY

    assert extend_hold(held, later + 366 * DAY, actor=COMMAND, now=later)
    assert not extend_hold(held, later + 366 * DAY, actor=COMMAND, now=later)
    for end, words in ((later + 367 * DAY, "At most 366 days"), (later, "after the start")):
        with pytest.raises(InvalidInput, match=words):
            extend_hold(held, end, actor=COMMAND, now=later)
    assert held.ends_at == Hold.objects.get().ends_at == later + 366 * DAY
    assert [change.kind for change in Change.objects.all()] == ["hold.changed", "hold.opened"]


@pytest.mark.django_db
def test_a_hold_that_a_person_ends_is_over_at_once_and_one_to_come_never_begins() -> None:
    site = make_instance()
    running, to_come = hold(site), hold(site, starts_at=NOW + 2 * DAY, ends_at=NOW + 3 * DAY)

    assert end_hold(running, actor=COMMAND, now=NOW + HOUR)
    assert not end_hold(running, actor=COMMAND, now=NOW + HOUR)
    assert end_hold(to_come, actor=COMMAND, now=NOW + HOUR)

    [pause] = pauses_for([site], NOW, NOW + 9 * DAY)[site.pk]
    assert pause.span == Span(NOW, NOW + HOUR)
    assert Change.objects.filter(kind="hold.ended").count() == 2
    with pytest.raises(InvalidInput, match="is over"):
        extend_hold(running, NOW + 5 * DAY, actor=COMMAND, now=NOW + 2 * HOUR)


@pytest.mark.django_db
def test_t7_a_hold_on_a_site_that_changed_meanwhile_is_refused() -> None:
    site = make_instance()
    held = hold(site, seen=0)

    with pytest.raises(ChangedMeanwhile):
        hold(site, seen=0)
    with pytest.raises(ChangedMeanwhile):
        end_hold(held, actor=COMMAND, now=NOW, seen=0)
    assert Hold.objects.get().ended_at is None
    assert extend_hold(held, NOW + 2 * DAY, actor=COMMAND, now=NOW, seen=last_seen(site))


@pytest.mark.django_db
def test_t9_many_sites_are_held_and_let_go_together_for_the_same_queries() -> None:
    def queries(number: int) -> int:
        sites = [make_instance() for _each in range(number)]
        with CaptureQueriesContext(connection) as found:
            holds = open_holds(
                sites, ends_at=NOW + DAY, reason="Audit", actor=COMMAND, now=NOW, seen=last_seen_of(sites)
            )  # fmt: skip
            ended = end_holds(sites, actor=COMMAND, now=NOW + HOUR)
        assert len(holds) == len(ended) == number
        assert Change.objects.filter(subject_id__in=[site.pk for site in sites]).count() == 2 * number
        return len(found)

    assert queries(1) == queries(10)


# Freezes


@pytest.mark.django_db
def test_p8_a_freeze_is_for_all_for_live_for_test_for_a_customer_or_for_a_tag() -> None:
    acme = make_customer("Acme")
    live, test = make_instance("live", customer=acme), make_instance("test", kind=Kind.TEST)
    change_tags([test], add=["canary"], actor=COMMAND, now=NOW)
    scopes: list[dict[str, Any]] = [
        {"scope": "all"}, {"scope": "live"}, {"scope": "test"}, {"scope": "customer", "customer": acme},
        {"scope": "tag", "tag": Tag.objects.get()},
    ]  # fmt: skip
    for values in scopes:
        freeze(**values)

    pauses = pauses_for(None, NOW, NOW + DAY)

    assert {pause.scope for pause in pauses[live.pk]} == {"all sites", "all live sites", "customer Acme"}
    assert {pause.scope for pause in pauses[test.pk]} == {"all sites", "all test sites", "tag canary"}
    assert pauses_for([test], NOW, NOW + DAY) == {test.pk: pauses[test.pk]}
    assert {pause.kind for pause in pauses[live.pk]} == {PauseKind.FREEZE}


@pytest.mark.django_db
def test_p8_a_recurring_freeze_gives_a_pause_for_each_time_and_ends_when_it_is_ended() -> None:
    site = make_instance()
    weekly = freeze(repeats="FREQ=WEEKLY")

    def starts() -> list[int]:
        return [(pause.span.starts_at - NOW).days for pause in pauses_for([site], NOW, NOW + 22 * DAY)[site.pk]]

    assert starts() == [0, 7, 14, 21]
    assert end_freeze(weekly, actor=COMMAND, now=NOW + 7 * DAY + HOUR, reason="Over")
    assert not end_freeze(weekly, actor=COMMAND, now=NOW + 8 * DAY)
    assert starts() == [0, 7]
    assert pauses_for([site], NOW, NOW + 22 * DAY)[site.pk][1].span.ends_at == NOW + 7 * DAY + HOUR
    with pytest.raises(InvalidInput, match="was ended already"):
        change_freeze(weekly, {"name": "Again"}, actor=COMMAND, now=NOW)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ({"reason": ""}, ["reason"]),
        ({"name": ""}, ["name"]),
        ({"name": "two\nlines"}, ["name"]),
        ({"name": "x" * 81}, ["name"]),
        ({"scope": "some"}, ["scope"]),
        ({"scope": "customer"}, ["customer"]),
        ({"scope": "tag"}, ["tag"]),
        ({"zone": ""}, ["zone"]),
        ({"zone": "Mars/Olympus"}, ["zone"]),
        ({"ends_at": NOW}, ["ends_at"]),
        ({"ends_at": None}, ["ends_at"]),
        ({"starts_at": NOW - 2 * DAY, "ends_at": NOW - DAY}, ["ends_at"]),
        ({"ends_at": NOW + 367 * DAY}, ["ends_at"]),
        ({"repeats": "FREQ=YEARLY;INTERVAL=3", "ends_at": NOW + 367 * DAY}, ["ends_at"]),
        ({"repeats": "monthly"}, ["repeats"]),
        ({"ends_at": NOW, "zone": "", "reason": ""}, ["ends_at", "zone", "reason"]),
    ],
)
def test_a_freeze_that_may_not_be_is_refused_with_its_fields(values: dict[str, Any], fields: list[str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        freeze(**values)

    assert list(refused.value.errors) == fields
    assert not Freeze.objects.exists()
    assert not Change.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("values", [{"scope": "tag"}, {"scope": "customer"}, {"scope": "some"}])
def test_the_database_refuses_a_freeze_whose_scope_has_no_column(values: dict[str, str]) -> None:
    frozen = freeze()

    with pytest.raises(IntegrityError, match="freeze_scope_matches_its_column"), transaction.atomic():
        Freeze.objects.filter(pk=frozen.pk).update(**values)


@pytest.mark.django_db
def test_t7_a_change_of_a_freeze_is_recorded_and_refused_to_who_did_not_see_the_last_one() -> None:
    frozen = freeze()
    seen = last_seen(frozen)

    assert not change_freeze(frozen, {"name": "Christmas "}, actor=COMMAND, now=NOW, seen=seen)
    assert change_freeze(frozen, {"ends_at": NOW + 2 * DAY}, actor=COMMAND, now=NOW, seen=seen)
    with pytest.raises(ChangedMeanwhile):
        change_freeze(frozen, {"name": "Easter"}, actor=COMMAND, now=NOW, seen=seen)
    with pytest.raises(ChangedMeanwhile):
        end_freeze(frozen, actor=COMMAND, now=NOW, seen=seen)
    with pytest.raises(InvalidInput, match="zone"):
        change_freeze(frozen, {"zone": "Nowhere"}, actor=COMMAND, now=NOW)

    changed = Change.objects.first()
    assert changed
    assert (changed.kind, changed.before, changed.after) == (
        "freeze.changed", {"ends_at": "2026-11-24T12:00:00Z"}, {"ends_at": "2026-11-25T12:00:00Z"},
    )  # fmt: skip
    assert Freeze.objects.get().ends_at == frozen.ends_at == NOW + 2 * DAY


@pytest.mark.django_db
def test_the_pauses_of_all_sites_cost_the_same_queries_whatever_their_number() -> None:
    def queries(number: int) -> int:
        sites = [make_instance() for _each in range(number)]
        change_tags(sites, add=["canary"], actor=COMMAND, now=NOW)
        open_holds(sites, ends_at=NOW + DAY, reason="Audit", actor=COMMAND, now=NOW)
        for site in sites:
            freeze(scope="tag", tag=Tag.objects.get())
            freeze(scope="customer", customer=site.customer, repeats="FREQ=WEEKLY")
        with CaptureQueriesContext(connection) as found:
            pauses = pauses_for(None, NOW, NOW + DAY)
        assert all(len(pauses[site.pk]) >= 3 for site in sites)
        return len(found)

    assert queries(1) == queries(8) == 4


@pytest.mark.django_db
def test_a_site_left_alone_for_over_90_days_without_a_break_is_found() -> None:
    long, broken, short, frozen = (make_instance(slug, kind=Kind.TEST) for slug in ("long", "broken", "short", "live"))
    Instance.objects.filter(pk=frozen.pk).update(kind=Kind.LIVE)
    hold(long, ends_at=NOW + 50 * DAY)
    hold(long, starts_at=NOW + 50 * DAY, ends_at=NOW + 100 * DAY)
    hold(broken, ends_at=NOW + 50 * DAY)
    hold(broken, starts_at=NOW + 51 * DAY, ends_at=NOW + 100 * DAY)
    hold(short, starts_at=NOW + HOUR, ends_at=NOW + 100 * DAY)
    freeze(scope="live", starts_at=NOW - HOUR, ends_at=NOW + 95 * DAY)

    assert [(one.site.slug, one.since, one.until) for one in left_alone(NOW + 90 * DAY + HOUR / 2)] == [
        ("live", NOW - HOUR, NOW + 95 * DAY), ("long", NOW, NOW + 100 * DAY),
    ]  # fmt: skip
    assert [one.site.slug for one in left_alone(NOW + 90 * DAY)] == ["live"]
    assert left_alone(NOW + 101 * DAY) == []
