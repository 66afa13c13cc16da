"""Which sites a filter means (T9), without a database."""

from dataclasses import replace
from typing import Any

import pytest

from builds.maturity import Maturity
from builds.versions import key_of
from upgrades.plan import Check, Code, Decision, Rule, SiteFacts
from upgrades.selection import Candidate, FilterRefused, VersionTest, canonical, criteria_of, read_query


def candidate(slug: str, runs: str = "4.1", code: Code = Code.UP_TO_DATE, **values: Any) -> Candidate:
    of_site = {name: values.pop(name) for name in ("live", "channel", "pin", "needs_a_person") if name in values}
    facts: dict[str, Any] = {"live": True, "channel": Maturity.STABLE, "pin": None} | of_site
    site = SiteFacts(id=1, slug=slug, reported=runs, key=key_of(runs), host="web1", **facts)
    return Candidate(Decision(site, code, None, (Check(Rule.TARGET, code),)), **values)


FLEET = [
    candidate("acme-live", customer="acme", customer_name="Acme & Söhne"),
    candidate("acme-test", customer="acme", live=False, runs="4.1.3", tags=frozenset({"early", "care"})),
    candidate("bolt-test", customer="bolt", live=False, runs="4.1", held=True),
    candidate("bolt-old", customer="bolt", live=False, runs="4.0.9", code=Code.UPGRADE, problems=frozenset({118})),
    candidate("zed-test", customer="zed", live=False, channel=None, pin=7, owner="ines", code=Code.PARKED),
    candidate("zed-live", customer="zed", runs="what?", code=Code.VERSION_UNKNOWN, frozen=True, needs_a_person=3),
]


def chosen(query: str) -> list[str]:
    criteria = criteria_of(read_query(query))
    return [one.decision.site.slug for one in FLEET if criteria.take(one)]


@pytest.mark.parametrize(
    ("query", "slugs"),
    [
        ("", [one.decision.site.slug for one in FLEET]),
        ("?customer=acme&customer=bolt&kind=test&version=4.1", ["acme-test", "bolt-test"]),
        ("customer=bolt&version=<4.1", ["bolt-old"]),
        ("version=unknown", ["zed-live"]),
        ("target=pinned", ["zed-test"]),
        ("target=pinned&target=stable&kind=test&customer=zed&customer=acme", ["acme-test", "zed-test"]),
        ("tag=care&tag=nothing", ["acme-test"]),
        ("tag=CARE", ["acme-test"]),
        ("owner=ines", ["zed-test"]),
        ("problem=P-118", ["bolt-old"]),
        ("problem=7&problem=118", ["bolt-old"]),
        ("host=web2", []),
        ("state=held", ["bolt-test"]),
        ("state=frozen&state=held", ["bolt-test", "zed-live"]),
        ("state=parked", ["zed-test"]),
        ("state=tonight", ["bolt-old"]),
        ("state=off-target", ["bolt-old", "zed-test", "zed-live"]),
        ("state=needs-a-person", ["zed-live"]),
        ("q=söhne+acme", ["acme-live"]),
        ("q=SÖHNE&q=live", ["acme-live"]),
        ("q=+&customer=", [one.decision.site.slug for one in FLEET]),
    ],
)
def test_t9_a_filter_takes_the_sites_where_one_value_of_each_holds(query: str, slugs: list[str]) -> None:
    assert chosen(query) == slugs


@pytest.mark.parametrize(
    ("test", "version", "takes"),
    [
        ("4.1", "4.1", True),
        ("4.1", "4.1.7", True),
        ("4.1", "4.1rc1", True),
        ("4.1", "4.10", False),
        ("4.1", "4.11.1", False),
        ("4.1", "1!4.1", False),
        ("4.1.*", "4.1.7", True),
        ("4.0", "4", True),
        ("4.0", "4.0.5", True),
        ("4.0", "4.1", False),
        ("4", "4.20.2", True),
        ("4.1rc1", "4.1rc1", True),
        ("4.1rc1", "4.1", False),
        ("=4.1", "4.1.0", True),
        ("==4.1", "4.1.1", False),
        ("<4.1", "4.1rc1", True),
        ("<4.1", "4.1", False),
        ("<=4.1", "4.1", True),
        (">4.1", "4.1.1", True),
        (">= 4.1", "4.1", True),
        (">4.1", "4.1", False),
        ("unknown", "what?", True),
        ("unknown", "4.1", False),
        ("<9999", "what?", False),
    ],
)
def test_a_version_is_looked_for_as_a_series_exactly_or_by_its_order(test: str, version: str, takes: bool) -> None:
    assert VersionTest.read(test).takes(key_of(version)) is takes


@pytest.mark.parametrize(
    ("query", "name", "words"),
    [
        ("problem=118x", "problem", "“118x” is not the number of a problem, such as P-118."),
        ("hots=web1", "hots", "There is no filter “hots”."),
        ("kind=prod", "kind", "“prod” is not one of live, test."),
        ("target=nightly", "target", "“nightly” is not one of stable, release, beta, alpha, pinned."),
        ("state=asleep&kind=live", "state", "“asleep” is not one of off-target, tonight,"),
        ("version=new", "version", "“new” is not a version to look for. Accepted are 4.1 (all of 4.1), =4.1"),
        ("version==4.1.*", "version", "is not a version to look for."),
    ],
)
def test_a_malformed_filter_says_what_is_wrong(query: str, name: str, words: str) -> None:
    with pytest.raises(FilterRefused) as refused:
        criteria_of(read_query(query))

    assert list(refused.value.errors) == [name]
    assert words in str(refused.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(FilterRefused) as refused:
        criteria_of(read_query("kind=prod&kind=stage&version=x&version=y&foo=1"))

    assert {name: len(texts) for name, texts in refused.value.errors.items()} == {"kind": 2, "version": 2, "foo": 1}


def test_equal_filters_have_one_address() -> None:
    assert canonical(read_query("kind=test&customer=b&customer=a&q=&page=2&customer=a")) == (
        "customer=a&customer=b&kind=test"
    )


def test_a_pin_that_ends_tonight_counts_as_a_pin() -> None:
    """T2: the filter asks what the site's row says."""
    pinned = FLEET[4]
    followed = replace(pinned, decision=replace(pinned.decision, channel=Maturity.BETA))

    assert criteria_of({"target": ["pinned"]}).take(followed)
