"""P8: how a freeze comes again, as people choose it, in words, and when it is ended early."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from instances.choices import FreezeState
from instances.exceptions import InvalidInput
from instances.models import Freeze
from instances.recurrence import Recurrence
from instances.repeats import Pattern, Repeat, pattern_of
from instances.sentences import repeat_words
from instances.services import end_freeze, end_freeze_on, open_freeze, sites_of
from instances.services.fleet import change_tags
from instances.windows import DAY
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from tests.factories import NOW, make_customer, make_instance

LAST = date(2027, 3, 31)
DUBLIN = ZoneInfo("Europe/Dublin")


@pytest.mark.parametrize(
    ("pattern", "rule", "words"),
    [
        (Pattern(Repeat.ONCE), "", "once"),
        (Pattern(Repeat.WEEKLY, frozenset({0, 4})), "FREQ=WEEKLY;BYDAY=MO,FR", "every week on Mon, Fri"),
        (Pattern(Repeat.WEEKLY, frozenset(range(7))), "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU", "every day"),
        (Pattern(Repeat.MONTH_END), "FREQ=MONTHLY;BYMONTHDAY=-1", "each month end"),
        (Pattern(Repeat.MONTH_DAY, day=5), "FREQ=MONTHLY;BYMONTHDAY=5", "each month on day 5"),
        (Pattern(Repeat.YEARLY, last_day=LAST), "FREQ=YEARLY;UNTIL=20270331", "every year, until 31 Mar 2027"),
        (Pattern(Repeat.RULE, rule="FREQ=MONTHLY;BYDAY=-1FR"), "FREQ=MONTHLY;BYDAY=-1FR", None),
        (Pattern(Repeat.RULE, rule="FREQ=WEEKLY;INTERVAL=2"), "FREQ=WEEKLY;INTERVAL=2", None),
    ],
)
def test_a_choice_and_its_rule_say_the_same(pattern: Pattern, rule: str, words: str | None) -> None:
    assert pattern.as_rule == rule
    assert pattern_of(rule) == pattern
    assert repeat_words(rule) == (words or f"by the rule {rule}")


def test_the_next_times_begin_with_the_one_that_runs() -> None:
    night = Recurrence(NOW - DAY, NOW - DAY / 2, "FREQ=WEEKLY;BYDAY=SU", ZoneInfo("UTC"))

    assert [span.starts_at for span in night.coming(NOW - DAY * 3 / 4, 2)] == [NOW - DAY, NOW + 6 * DAY]
    assert [span.starts_at for span in night.coming(NOW, 2)] == [NOW + 6 * DAY, NOW + 13 * DAY]
    assert night.first_that_fits == (NOW - DAY).replace(tzinfo=None)
    assert Recurrence(NOW, NOW + DAY, "", ZoneInfo("UTC")).coming(NOW + DAY, 5) == []


def opened(**values: Any) -> Freeze:
    standard: dict[str, Any] = {
        "name": "Month end", "scope": "all", "customer": None, "tag": None, "repeats": "", "zone": "Europe/Dublin",
        "starts_at": datetime(2026, 11, 30, 18, tzinfo=DUBLIN), "ends_at": datetime(2026, 12, 1, 6, tzinfo=DUBLIN),
        "reason": "Books",
    }  # fmt: skip
    return open_freeze(standard | values, actor=COMMAND, now=NOW)


@pytest.mark.django_db
def test_a_freeze_that_comes_again_may_be_ended_on_a_later_day() -> None:
    freeze = opened(repeats="FREQ=MONTHLY;BYMONTHDAY=-1")

    assert end_freeze_on(freeze, datetime(2027, 1, 31, tzinfo=UTC), actor=COMMAND, now=NOW, reason="New books")

    assert freeze.repeats == "FREQ=MONTHLY;BYMONTHDAY=-1;UNTIL=20270131"
    assert [f"{span.starts_at:%d %b}" for span in freeze.recurrence.coming(NOW, 9)] == ["30 Nov", "31 Dec", "31 Jan"]
    assert Change.objects.latest("pk").reason == "New books"
    assert end_freeze_on(freeze, datetime(2026, 12, 30, tzinfo=UTC), actor=COMMAND, now=NOW)
    assert freeze.repeats == "", "it comes only once until then"
    with pytest.raises(InvalidInput, match="at"):
        end_freeze_on(freeze, NOW, actor=COMMAND, now=NOW)


@pytest.mark.django_db
def test_a_freeze_that_has_not_begun_by_then_is_to_be_ended_now() -> None:
    freeze = opened(repeats="FREQ=MONTHLY;BYMONTHDAY=-1")

    with pytest.raises(InvalidInput, match="It has not begun by then"):
        end_freeze_on(freeze, datetime(2026, 11, 29, tzinfo=UTC), actor=COMMAND, now=NOW)

    assert Freeze.objects.get().repeats == freeze.repeats


@pytest.mark.django_db
def test_a_freeze_is_coming_then_running_then_over() -> None:
    freeze = opened()

    states = [freeze.state(freeze.starts_at + each) for each in (-DAY, timedelta(0), DAY / 2)]

    assert states == [FreezeState.COMING, FreezeState.RUNNING, FreezeState.OVER]
    assert list(Freeze.objects.ended(NOW)) == []
    end_freeze(freeze, actor=COMMAND, now=NOW)
    assert freeze.state(NOW) is FreezeState.OVER
    assert list(Freeze.objects.ended(NOW)) == [freeze]


@pytest.mark.django_db
def test_the_sites_of_a_freeze_are_those_of_its_scope() -> None:
    acme = make_customer("Acme")
    live, test = make_instance("live", customer=acme), make_instance("test", kind="test")
    change_tags([test], add=["ward"], actor=COMMAND, now=NOW)
    (tag,) = test.tags.all()

    found = [
        sites_of(Freeze(scope=scope, **values))
        for scope, values in (
            ("all", {}), ("live", {}), ("test", {}), ("customer", {"customer": acme}), ("tag", {"tag": tag}),
        )
    ]  # fmt: skip

    assert found == [{live.pk, test.pk}, {live.pk}, {test.pk}, {live.pk}, {test.pk}]
