"""U1, U3: upgrades begun are upgrades ended, each step ran once, each log is whole, whatever is killed meanwhile.

`make soak N=300 SEED=7` tries so many and prints the figures, `make test` a few.
"""

import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.soak import Soak

SEED = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(10**6))
UPGRADES = int(os.environ.get("SOAK_UPGRADES") or 200)


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="releasemgr-soak-"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("upgrades", "hosts"),
    [
        pytest.param(12, 3, marks=[pytest.mark.faults, pytest.mark.quick, pytest.mark.timeout(400)], id="a-few"),
        pytest.param(UPGRADES, 6, marks=[pytest.mark.soak, pytest.mark.timeout(6 * 3600)], id="many"),
    ],
)
def test_whatever_is_killed_each_upgrade_that_begins_ends_and_each_step_runs_once(
    folder: Path, upgrades: int, hosts: int
) -> None:
    soak = Soak(folder, SEED, hosts)
    try:
        soak.run(upgrades)
        report = soak.report()
    finally:
        soak.end()
    print(f"\nseed {SEED}\n{json.dumps(report, indent=2)}")  # noqa: T201 - the figures are what it is for
    assert report["faults"] == []
    assert report["upgrades begun"] == report["upgrades ended"] >= upgrades
    assert {"succeeded, done", "rolled_back, step_failed"} <= set(report["outcomes"])
