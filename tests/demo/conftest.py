from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from releasemgr.demo import lifecycle
from releasemgr.demo.fleet import SITES, Places, Site


def quiet(_: str) -> None:
    """The demo's progress is of no interest to a test."""


@pytest.fixture(scope="session")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    root = tmp_path_factory.mktemp("demo")
    try:
        yield lifecycle.start(root, quiet)
    finally:
        lifecycle.stop(root)


@pytest.fixture
def world(shared_world: Places) -> Iterator[Places]:
    """The whole fleet, running. What a test took down is up again afterwards."""
    yield shared_world
    lifecycle.set_down(shared_world, frozenset(), quiet)


@pytest.fixture
def own_world(tmp_path: Path) -> Iterator[Path]:
    """A folder of its own for a test of the life cycle."""
    root = tmp_path / "demo"
    yield root
    lifecycle.stop(root)


@pytest.fixture(scope="session")
def site_named() -> Callable[[str], Site]:
    return {site.slug: site for site in SITES}.__getitem__
