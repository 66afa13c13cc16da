import json
from collections import Counter
from pathlib import Path

import pytest

from releasemgr.demo import hosts
from releasemgr.demo.builds import BUILDS
from releasemgr.demo.fleet import (
    CUSTOMERS,
    HOSTS,
    PLUGIN_SITE,
    SITES,
    UNREACHABLE_HOST,
    Places,
    as_import,
    write_import,
)
from releasemgr.demo.month import TESTED_AT
from releasemgr.demo.people import ROLES
from releasemgr.demo.story import ACTS, FIRST_DAY, Follow, Promote, WantDisk, Withdraw

CHANNELS = {"alpha", "beta", "release", "stable"}
VERSIONS = {build.version for build in BUILDS}


@pytest.fixture
def places(tmp_path: Path) -> Places:
    names = [*HOSTS, *(site.slug for site in SITES)]
    places = Places(tmp_path, {name: 20_000 + number for number, name in enumerate(names)})
    for host in HOSTS:
        hosts.ensure_key(places.host_key(host))
    return places


def test_names_are_unique_and_every_reference_is_there(places: Places) -> None:
    data = as_import(places)
    for kind, key, count in (("customers", "slug", 12), ("hosts", "name", 8), ("sites", "slug", 30)):
        assert len({row[key] for row in data[kind]}) == len(data[kind]) == count
    assert {row["host"] for row in data["sites"]} == set(HOSTS)
    assert {row["customer"] for row in data["sites"]} == set(CUSTOMERS)
    assert len({row["url"] for row in data["sites"]}) == len({row["path"] for row in data["sites"]}) == 30
    assert len({row["host_key"] for row in data["hosts"]}) == len(HOSTS)
    assert Counter(row["kind"] for row in data["sites"]) == {"live": 16, "test": 14}


def test_the_file_is_what_the_import_reads(places: Places) -> None:
    write_import(places)
    assert json.loads(places.fleet_file.read_text()) == as_import(places)


def test_targets_and_first_versions_exist() -> None:
    assert {site.target for site in SITES} <= CHANNELS | VERSIONS
    assert {site.first_version for site in SITES} <= VERSIONS


def test_every_act_of_the_story_is_about_builds_sites_and_people_that_exist() -> None:
    slugs = {site.slug for site in SITES}
    ages = {build.version: min(build.age_days, FIRST_DAY) for build in BUILDS}
    for day, acts in ACTS.items():
        for _at, act in acts:
            match act:
                case Promote() | Withdraw():
                    assert ages[act.version] >= day
                    assert act.by in ROLES
                case Follow():
                    assert (act.site in slugs, act.channel in CHANNELS, act.by in ROLES) == (True, True, True)
                case WantDisk():
                    assert act.site in slugs


def test_the_acts_of_a_day_stand_in_their_order_and_after_what_comes_by_itself() -> None:
    for acts in ACTS.values():
        times = [at for at, _act in acts]
        assert times == sorted(times)
        assert times[0] > TESTED_AT


def test_the_fleet_has_every_case_that_the_night_is_to_show() -> None:
    assert [site.slug for site in SITES if site.target not in CHANNELS] == ["banyan-live", "ostrov-live"]
    assert [site.slug for site in SITES if "legacy_reports" in site.plugins] == [PLUGIN_SITE]
    assert {site.slug for site in SITES if site.host == UNREACHABLE_HOST} == {"banyan-live", "banyan-test"}
