import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.queue.fleet import Fleet
from tests.queue.served import Served


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not in tmp_path, where another user's PostgreSQL may not go when root runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="releasemgr-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    served = Served(folder / "var")
    assert served.manage("migrate", "--verbosity", "0").returncode == 0
    yield served
    served.end()


@pytest.fixture
def fleet(folder: Path, served: Served) -> Iterator[Fleet]:
    fleet = Fleet(folder, served)
    fleet.start()
    yield fleet
    fleet.end()
