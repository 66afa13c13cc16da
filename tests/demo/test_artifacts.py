import tarfile
from pathlib import Path

import pytest
from packaging.version import Version

from releasemgr.demo import artifacts
from releasemgr.demo.builds import BUILDS, DemoBuild


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> list[artifacts.Artifact]:
    return artifacts.build_all(tmp_path_factory.mktemp("artifacts"))


def test_the_same_build_gives_the_same_bytes(packed: list[artifacts.Artifact]) -> None:
    artifacts.assets.cache_clear()
    assert artifacts.pack(BUILDS[0]) == packed[0].path.read_bytes()


def test_each_build_has_content_a_commit_and_a_changelog_of_its_own(packed: list[artifacts.Artifact]) -> None:
    assert len({item.sha256 for item in packed}) == len({item.commit for item in packed}) == len(BUILDS)
    assert all(len(item.commit) == 40 for item in packed)
    assert len({item.changelog.read_text() for item in packed}) == len(BUILDS)


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.version)
def test_an_archive_holds_a_release_directory(packed: list[artifacts.Artifact], build: DemoBuild) -> None:
    path = next(item.path for item in packed if item.build is build)
    with tarfile.open(path) as archive:
        members = {member.name: member for member in archive}
        version = archive.extractfile("VERSION")
        assert version
        assert version.read().decode() == f"{build.version}\n"
    assert 200_000 < path.stat().st_size < 1_000_000
    assert max(member.size for member in members.values()) < 300_000
    assert {"app.py", "migrate.py", "hooks/restart", "hooks/migrate", "hooks/backup"} <= set(members)
    assert not any("__pycache__" in name or name.startswith(("/", ".")) for name in members)
    assert ("plugins/legacy_reports.py" in members) == (Version(build.version) < Version("4.20.4"))


def test_builds_are_listed_in_order_and_one_failed_its_smoke_tests() -> None:
    assert list(BUILDS) == sorted(BUILDS, key=lambda build: Version(build.version))
    assert [build.age_days for build in BUILDS] == sorted((build.age_days for build in BUILDS), reverse=True)
    assert [build.version for build in BUILDS if build.smoke == "failed"] == ["4.21.1"]


def test_an_archive_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    artifacts.archive(tmp_path, "4.20.2").write_bytes(b"as it was registered")
    artifacts.build_all(tmp_path)
    assert artifacts.archive(tmp_path, "4.20.2").read_bytes() == b"as it was registered"
