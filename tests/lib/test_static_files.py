import os
from pathlib import Path

from pytest_django import Settings

from releasemgr.lib.static_files import collect_when_stale

COLLECTING = "whitenoise.storage.CompressedManifestStaticFilesStorage"
PLAIN = "django.contrib.staticfiles.storage.StaticFilesStorage"


def test_static_files_are_collected_when_there_are_none_and_again_when_one_is_newer(
    settings: Settings, tmp_path: Path
) -> None:
    source, collected = tmp_path / "static", tmp_path / "collected"
    source.mkdir()
    (source / "a.css").write_text("a { color: red }")
    settings.INSTALLED_APPS = ["django.contrib.staticfiles"]
    settings.STATICFILES_DIRS = [source]
    settings.STATIC_ROOT = collected
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": COLLECTING}}

    assert collect_when_stale() is True
    assert len(list(collected.glob("a.*.css"))) == 1
    assert collect_when_stale() is False

    (source / "a.css").write_text("a { color: green }")
    later = (collected / "staticfiles.json").stat().st_mtime + 1
    os.utime(source / "a.css", (later, later))

    assert collect_when_stale() is True
    assert len(list(collected.glob("a.*.css"))) == 2


def test_in_development_nothing_is_collected(settings: Settings, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path / "collected"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": PLAIN}}
    assert collect_when_stale() is False
    assert not settings.STATIC_ROOT.exists()
