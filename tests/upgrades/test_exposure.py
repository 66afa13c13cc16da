"""R6: beside the soak clock, how much a build has been out in the world."""

from datetime import timedelta

import pytest

from instances.choices import Kind
from tests.factories import NOW, make_build, make_instance, make_upgrade
from upgrades.choices import Outcome
from upgrades.services.exposure import Exposure, exposure_of, exposures

pytestmark = pytest.mark.django_db

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


def test_days_count_from_the_upgrade_until_the_next_one_or_now() -> None:
    build, newer = make_build("4.2"), make_build("4.3")
    stays, leaves = make_instance(runs="4.2"), make_instance(runs="4.3", kind=Kind.TEST)
    for site in (stays, leaves):
        ended = NOW - 5 * DAY
        make_upgrade(
            build=build, instance=site, outcome=Outcome.SUCCEEDED, started_at=ended - 3 * MINUTE, ended_at=ended
        )
    make_upgrade(build=newer, instance=leaves, outcome=Outcome.ROLLED_BACK, ended_at=NOW - 4 * DAY)
    make_upgrade(build=newer, instance=leaves, outcome=Outcome.SUCCEEDED, ended_at=NOW - 3 * DAY)

    assert exposure_of(build, NOW) == Exposure(
        sites=2, live=1, days=7.0, upgrades=2, failed=0, median=3 * MINUTE
    )  # fmt: skip


def test_failed_upgrades_count_and_what_touched_nothing_does_not() -> None:
    """P5: an unreachable site never counts as failed."""
    build = make_build("4.2")
    for outcome in Outcome:
        make_upgrade(build=build, instance=make_instance(runs="4.1"), outcome=outcome, ended_at=NOW - DAY)

    found = exposure_of(build, NOW)

    assert (found.upgrades, found.failed) == (4, 3)
    assert (found.sites, found.days) == (2, 2.0)


def test_a_site_that_has_the_build_without_an_upgrade_counts_without_days() -> None:
    build = make_build("4.2")
    make_instance(runs="4.2.0")

    assert exposure_of(build, NOW) == Exposure(sites=1, live=1)


def test_each_build_has_its_own() -> None:
    builds = [make_build("4.1"), make_build("4.2")]
    make_upgrade(build=builds[0], outcome=Outcome.SUCCEEDED, ended_at=NOW - DAY, started_at=NOW - DAY)

    found = exposures(builds, NOW)

    assert found[builds[0].pk].days == 1.0
    assert found[builds[1].pk] == Exposure()
