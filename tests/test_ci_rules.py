"""What tests/conftest.py promises: in CI a skipped test is a failed one."""

from collections.abc import Generator

import pytest

from tests import conftest


def passed_through(hook: Generator[None, pytest.TestReport, pytest.TestReport], outcome: str) -> pytest.TestReport:
    location = ("file.py", 1, "test")
    report = pytest.TestReport("file.py::test", location, {}, outcome, "no browser", "call")  # type: ignore[arg-type]
    next(hook)
    with pytest.raises(StopIteration) as end:
        hook.send(report)
    returned = end.value.value
    assert isinstance(returned, pytest.TestReport)
    return returned


@pytest.mark.parametrize(
    ("in_ci", "outcome", "becomes"),
    [
        (True, "skipped", "failed"),
        (True, "passed", "passed"),
        (True, "failed", "failed"),
        (False, "skipped", "skipped"),
    ],
)
def test_a_skip_fails_in_ci_only(monkeypatch: pytest.MonkeyPatch, in_ci: bool, outcome: str, becomes: str) -> None:
    monkeypatch.setattr(conftest, "IN_CI", in_ci)
    report = passed_through(conftest.pytest_runtest_makereport(), outcome)
    assert report.outcome == becomes
    assert "no browser" in str(report.longrepr)


def test_programs_of_the_system_are_found_without_its_folders_in_the_path() -> None:
    assert conftest.found(("no-such-program", "sh")) is not None
    assert conftest.found(("no-such-program",)) is None
