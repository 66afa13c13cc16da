"""What every test stands on: artefacts in a folder of its own, no network, and one person of each role."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_socket
from django.contrib.auth.models import User
from pytest_django import Settings

from tests.factories import make_user

REAL_NETWORK = ("ssh", "browser", "queue", "demo")


@pytest.fixture(autouse=True)
def artifact_dir(settings: Settings, tmp_path: Path) -> Path:
    settings.ARTIFACT_DIR = tmp_path / "artifacts"
    settings.ARTIFACT_DIR.mkdir()
    folder: Path = settings.ARTIFACT_DIR
    return folder


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest) -> Iterator[None]:
    """The database may still be reached: psycopg does not use Python's sockets."""
    if any(request.node.get_closest_marker(name) for name in REAL_NETWORK):
        yield
        return
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()


@pytest.fixture
def viewer(db: None) -> User:
    return make_user(role="Viewer")


@pytest.fixture
def support(db: None) -> User:
    return make_user(role="Support")


@pytest.fixture
def release_manager(db: None) -> User:
    return make_user(role="Release manager")


@pytest.fixture
def administrator(db: None) -> User:
    return make_user(role="Administrator")


@pytest.fixture
def stranger(db: None) -> User:
    """Signed in, without a role."""
    return make_user()
