import json
from collections import Counter
from pathlib import Path

import pytest
from packaging.version import Version

from releasemgr.demo import hosts
from releasemgr.demo.builds import BUILDS
from releasemgr.demo.fleet import (
    CUSTOMERS,
    HOSTS,
    LACKING_DISK,
    PLUGIN_SITE,
    SITES,
    UNREACHABLE_HOST,
    Places,
    as_import,
    write_import,
)

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


def test_the_fleet_has_every_case_that_the_night_is_to_show() -> None:
    heads = {"alpha": "4.21.0", "beta": "4.20.4", "release": "4.20.2", "stable": "4.19.6"}
    ahead = [s.slug for s in SITES if Version(s.first_version) > Version(heads.get(s.target, "9999"))]
    assert ahead == ["cascadia-training"]
    assert [site.slug for site in SITES if site.target not in CHANNELS] == ["banyan-live", "ostrov-live"]
    assert [site.slug for site in SITES if site.min_free_mb > 10**6] == [LACKING_DISK]
    assert [site.slug for site in SITES if "legacy_reports" in site.plugins] == [PLUGIN_SITE]
    due_on_dark_host = [
        s for s in SITES if s.host == UNREACHABLE_HOST and s.first_version != heads.get(s.target, s.target)
    ]
    assert [site.slug for site in due_on_dark_host] == ["banyan-test"]
