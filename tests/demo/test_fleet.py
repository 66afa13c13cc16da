import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from instances.window_text import parse_windows
from releasemgr.demo import hosts
from releasemgr.demo.builds import BUILDS
from releasemgr.demo.fleet import (
    AMSTERDAM,
    CUSTOMERS,
    DUBLIN,
    HOSTS,
    LOS_ANGELES,
    PLUGIN_SITE,
    ROME,
    SITES,
    UNREACHABLE_HOST,
    Places,
    as_import,
    write_import,
)
from releasemgr.demo.month import TESTED_AT
from releasemgr.demo.people import ROLES
from releasemgr.demo.story import ACTS, FIRST_DAY, MORNING, Act, FreezeMonthly, Report

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


def test_the_windows_of_europe_open_together_and_in_the_night_all_the_year() -> None:
    """Else the canary among them would not come before the others."""
    late = [parse_windows(window)[0] for window in (DUBLIN, AMSTERDAM, ROME)]
    for first in (datetime(2026, 1, 1, 1, 0, tzinfo=UTC) + timedelta(days=day) for day in range(0, 365, 3)):
        night = (first, first + timedelta(hours=4))
        starts = {next(iter(window.openings(*night))).starts_at for window in late}
        assert len(starts) == 1
        assert first + timedelta(minutes=30) < starts.pop() < night[1]
        (american,) = parse_windows(LOS_ANGELES)[0].openings(*night)
        assert american.starts_at <= first + timedelta(minutes=30)


def test_targets_and_first_versions_exist() -> None:
    assert {site.target for site in SITES} <= CHANNELS | VERSIONS
    assert {site.first_version for site in SITES} <= VERSIONS


def test_every_act_of_the_story_is_about_builds_sites_and_people_that_exist() -> None:
    dated: list[tuple[int, Act]] = [(day, act) for day, acts in ACTS.items() for _at, act in acts]
    ages = {build.version: min(build.age_days, FIRST_DAY) for build in BUILDS}
    titles = {act.title for _day, act in dated if isinstance(act, Report)}
    for day, act in [*dated, *((0, act) for act in MORNING)]:
        assert act.by in ROLES
        assert ages[getattr(act, "version", getattr(act, "first_affected", "4.20.0"))] >= day
        assert getattr(act, "site", SITES[0].slug) in {site.slug for site in SITES}
        assert isinstance(act, Report) or getattr(act, "title", next(iter(titles))) in titles
        assert not isinstance(act, FreezeMonthly) or act.customer in CUSTOMERS


def test_the_acts_of_a_day_stand_in_their_order_and_after_what_comes_by_itself() -> None:
    for acts in ACTS.values():
        times = [at for at, _act in acts]
        assert times == sorted(times)
        assert times[0] > TESTED_AT


def test_the_fleet_has_every_case_that_the_night_is_to_show() -> None:
    assert [site.slug for site in SITES if site.target not in CHANNELS] == ["ostrov-live"]
    assert {site.slug for site in SITES if "canary" in site.tags} == {"lindqvist-live", "mapleridge-live"}
    assert {site.customer for site in SITES if "healthcare" in site.tags} == {"brightwater"}
    assert [site.slug for site in SITES if "legacy_reports" in site.plugins] == [PLUGIN_SITE]
    assert {site.slug for site in SITES if site.host == UNREACHABLE_HOST} == {"banyan-live", "banyan-test"}
