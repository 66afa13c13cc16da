"""What we vendor is what we say it is, and our stylesheet stays out of the kit's way."""

import hashlib
import json
import re
from pathlib import Path

from django.conf import settings

STATIC = Path(settings.BASE_DIR) / "static"
VENDORED = json.loads((STATIC / "vendor.json").read_text())
# Tabler's classes that releasemgr.css restyles on purpose.
RESTYLED = {
    "alert", "btn", "btn-icon", "btn-sm", "card", "form-check-input", "form-control", "form-hint", "form-label",
    "form-select", "form-text", "h1", "h2", "h3", "icon", "invalid-feedback", "is-invalid", "mb-3", "navbar-collapse",
    "navbar-expand-lg", "navbar-vertical", "page-wrapper", "skip-link", "small", "strong",
}  # fmt: skip


def classes_of(stylesheet: Path) -> set[str]:
    text = re.sub(r"/\*.*?\*/", "", stylesheet.read_text(), flags=re.DOTALL)
    selectors = re.sub(r"\{[^{}]*\}", "{}", text)
    return set(re.findall(r"\.(-?[A-Za-z_][\w-]*)", re.sub(r"url\([^)]*\)", "", selectors)))


def test_every_vendored_file_is_listed_with_its_checksum() -> None:
    found = {
        str(file.relative_to(STATIC)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in (STATIC / "vendor").rglob("*")
        if file.is_file()
    }

    assert found == {entry["file"]: entry["sha256"] for entry in VENDORED}


def test_every_package_lies_under_its_version_beside_its_licence() -> None:
    files = {entry["file"] for entry in VENDORED}

    for entry in VENDORED:
        folder = entry["file"].rsplit("/", 1)[0]
        assert folder.endswith(f"-{entry['version']}")
        assert f"{folder}/LICENSE" in files


def test_no_vendored_file_names_a_source_map_that_is_not_there() -> None:
    texts = [STATIC / entry["file"] for entry in VENDORED if entry["file"].endswith((".css", ".js"))]

    assert texts
    assert not [file.name for file in texts if "sourceMappingURL" in file.read_text()]


def test_our_class_names_are_new_to_the_kit() -> None:
    kit = classes_of(next((STATIC / "vendor").glob("tabler-core-*/tabler.min.css")))

    assert classes_of(STATIC / "releasemgr.css") & kit == RESTYLED


def test_every_file_that_the_stylesheet_names_exists() -> None:
    named = re.findall(r'url\("([^"]+)"\)', (STATIC / "releasemgr.css").read_text())

    assert len(named) == 3
    assert all((STATIC / name).is_file() for name in named)


def test_our_script_stays_small() -> None:
    assert len((STATIC / "app.js").read_text().splitlines()) < 300
