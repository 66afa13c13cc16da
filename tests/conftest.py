"""What every test stands on: which needs what, that CI skips nothing, artefacts in a folder, one person a role."""

import gc
import itertools
import os
import shutil
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import override_settings
from hypothesis import HealthCheck
from hypothesis import settings as drawing
from pytest_django import DjangoDbBlocker, Settings

from releasemgr.lib import clock
from tests import fresh_database
from tests.clients import SignedInClient
from tests.factories import NOW, make_user

sys.dont_write_bytecode = False  # or each worker of each run compiles every test again, for five seconds
# How long drawing or a case takes says something of a busy machine, and nothing of the rules.
drawing.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
drawing.load_profile("patient")

IN_CI = os.environ.get("CI") == "true"
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
NEEDS = {"browser": CHROMIUMS, "ssh": ("sshd",), "faults": ("sshd",), "soak": ("sshd",)}
MAY_USE_SOCKETS = ("shell", "ssh", "browser", "queue", "demo", "faults", "soak")


def found(programs: tuple[str, ...]) -> str | None:
    """The path of the first of these programs that is installed."""
    return next(filter(None, (shutil.which(name, path=SYSTEM_PATH) for name in programs)), None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    absent = {marker: programs for marker, programs in NEEDS.items() if not found(programs)}
    for item in items:
        if any(item.get_closest_marker(marker) for marker in MAY_USE_SOCKETS):
            item.add_marker(pytest.mark.enable_socket)
        for marker, programs in absent.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=f"{programs[0]} is not installed"))
    _leave_out_what_only_root_can_try(config, items)


def _leave_out_what_only_root_can_try(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    left_out = [item for item in items if item.get_closest_marker("root")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", f"In CI nothing is skipped: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if IN_CI and report.skipped:
        report.outcome, report.longrepr = "failed", f"In CI nothing is skipped: {report.longrepr}"
    return report


def pytest_collection_finish() -> None:
    """What is imported by now stays: looking through it again and again takes a twentieth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the figures that tests recorded, also those of other processes."""
    for report in terminalreporter.getreports("passed"):
        for name, figures in report.user_properties:
            if name == "figures":
                terminalreporter.write_line(str(figures))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """A test's commit need not survive a power cut."""
    connection.settings_dict.setdefault("OPTIONS", {})["options"] = "-c synchronous_commit=off"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.unblock():
        fresh_database.keep()


@pytest.fixture(scope="session")
def artifact_dirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An endless row of folders."""
    base = tmp_path_factory.mktemp("artifacts")
    return (base / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def artifact_dir(settings: Settings, artifact_dirs: Iterator[Path]) -> Path:
    folder = next(artifact_dirs)
    folder.mkdir()
    settings.ARTIFACT_DIR = folder
    return folder


@pytest.fixture(scope="session", autouse=True)
def plain_pages() -> Generator[None]:
    """Static files by their plain names, since nothing has collected them, and hashing that is quick.

    And nothing is kept from one test for the next.
    """
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    with override_settings(
        CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}},
        STORAGES=django_settings.STORAGES | {"staticfiles": plain},
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ):
        yield


@pytest.fixture
def client() -> SignedInClient:
    return SignedInClient()


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The business's clock stands still at NOW."""
    monkeypatch.setattr(clock, "now", lambda: NOW)


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
