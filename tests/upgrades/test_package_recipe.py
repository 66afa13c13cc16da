"""The recipe `package`, on real virtual environments and an index in a folder: no network."""

import hashlib
import http.server
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.upgrades.sites import Site
from upgrades.recipes.reading import load_recipe
from upgrades.recipes.recipe import Phase
from upgrades.recipes.verdict import Ending

pytestmark = pytest.mark.shell
RECIPE = load_recipe("package")


def make_wheel(folder: Path, name: str, version: str, *, requires: str = "", body: str = "", tag: str = "py3") -> Path:
    """What a build tool makes of a package of one module and one command."""
    path, info = folder / f"{name}-{version}-{tag}-none-any.whl", f"{name}-{version}.dist-info"
    tags = "".join(f"Tag: {python}-none-any\n" for python in tag.split("."))
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{name}.py": f"VERSION = {version!r}\n{body}\ndef main():\n    print(VERSION)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}Provides-Extra: pdf\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n{tags}",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(file, text)
    return path


def publish(index: Path, wheel: Path) -> None:
    """As the simple index of PyPI, in files."""
    page = index / wheel.name.split("-")[0] / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    with page.open("a") as file:
        file.write(f'<a href="{wheel.as_uri()}#sha256={digest}">{wheel.name}</a>\n')


@pytest.fixture
def index(tmp_path: Path) -> Path:
    (tmp_path / "built").mkdir()
    for version in ("1.0", "1.1", "1.2"):
        wheel = make_wheel(tmp_path / "built", "tiny", version, requires='helper; extra == "pdf"')
        publish(tmp_path / "index", wheel)
    publish(tmp_path / "index", make_wheel(tmp_path / "built", "helper", "7"))
    return tmp_path / "index"


@pytest.fixture
def site(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """It runs 1.0 from a virtual environment, and knows no other index than ours."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    site = Site(tmp_path / "site", patience=120)
    old = site.path / "releases" / "1.0"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", old], check=True)
    [library] = old.glob("lib/python*/site-packages")
    zipfile.ZipFile(tmp_path / "built" / "tiny-1.0-py3-none-any.whl").extractall(library)
    site.values |= {name: value for name, value in RECIPE.values.items() if value}
    site.values |= {"PACKAGE": "tiny", "PYTHON": sys.executable, "PIP_INDEX_URL": index.as_uri()}
    yield site
    site.let_go()


ASK = """current/bin/python -c 'import tiny; tiny.main()'"""


def test_a_version_is_installed_from_the_index_into_a_virtual_environment_of_its_own(site: Site) -> None:
    """That very version, though a newer one is there; the old environment stays. U10: the version is read back."""
    site.values["MIGRATE_COMMAND"] = "bin/tiny >migrated"
    verdict = site.run_upgrade(recipe=RECIPE)
    assert verdict.ending is Ending.SUCCEEDED, site.log()
    assert (verdict.version_before, verdict.version_after) == ("1.0", "1.1")
    assert site.current() == "releases/1.1"
    assert (site.path / "current" / "migrated").read_text() == "1.1\n"
    assert (site.path / "releases" / "1.0" / "bin" / "python").exists()
    assert set(site.steps().values()) == {0}


def test_an_artefact_that_is_a_wheel_is_installed_itself_with_what_it_needs_from_the_index(
    site: Site, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path, "tiny", "1.1", requires='helper; extra == "pdf"', body="OURS = 1", tag="py2.py3")
    nameless = tmp_path / "as-in-the-cache"
    wheel.rename(nameless)
    site.set_artifact(nameless)
    site.values["PACKAGE"] = "Tiny[pdf]"
    assert site.run_upgrade(recipe=RECIPE).ending is Ending.SUCCEEDED, site.log()
    [library] = (site.path / "current").glob("lib/python*/site-packages")
    assert "OURS" in (library / "tiny.py").read_text()
    assert (library / "helper.py").exists()


def test_the_way_back_is_the_old_virtual_environment(site: Site) -> None:
    """U5."""
    site.values["RESTART_COMMAND"] = f"{ASK} | grep 1.0"
    verdict = site.run_upgrade(recipe=RECIPE)
    assert (verdict.ending, verdict.failed_step, verdict.version_after) == (Ending.ROLLED_BACK, "restart", "1.0")
    assert site.begun_steps()[-4:] == ["switch-back", "undo-migrate", "restart-old", "remove-release"]
    assert site.releases() == {"0.9", "1.0"}


Spoil = Callable[[Site, Path], None]


def unknown_version(site: Site, tmp_path: Path) -> None:
    site.values["TO_VERSION"] = "1.3"


def broken_need(site: Site, tmp_path: Path) -> None:
    site.set_artifact(make_wheel(tmp_path, "tiny", "1.1", requires="nothing-of-that-name"))


def another_package(site: Site, tmp_path: Path) -> None:
    site.set_artifact(make_wheel(tmp_path, "other", "1.1"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (unknown_version, "No matching distribution found for tiny==1.3"),
        (broken_need, "No matching distribution found for nothing-of-that-name"),
        (another_package, "The artefact is a wheel of other, not of tiny."),
    ],
)
def test_what_cannot_be_installed_leaves_nothing_behind(site: Site, tmp_path: Path, spoil: Spoil, words: str) -> None:
    spoil(site, tmp_path)
    verdict = site.run_upgrade(recipe=RECIPE)
    assert (verdict.ending, verdict.failed_step, verdict.phase) == (Ending.FAILED_CLEAN, "install", Phase.PREPARE)
    assert words in site.log()
    assert site.releases() == {"0.9", "1.0"}
    assert site.current() == "releases/1.0"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PACKAGE", "", "The name of the package is missing: set PACKAGE"),
        ("PYTHON", "python9", "python9 on web-1 makes no virtual environments."),
    ],
)
def test_what_is_missing_blocks_before_anything_is_touched(site: Site, name: str, value: str, words: str) -> None:
    site.values |= {name: value, "VERSION_COMMAND": "echo 1.0"}
    verdict = site.run_upgrade(recipe=RECIPE)
    assert (verdict.ending, verdict.failed_step) == (Ending.BLOCKED, "check-package")
    assert words in site.log()


def test_what_a_runner_left_half_made_is_made_anew_and_what_is_not_ours_is_left_alone(site: Site) -> None:
    release = site.path / "releases" / "1.1"
    release.mkdir()
    assert site.run_upgrade(1, recipe=RECIPE).ending is Ending.FAILED_CLEAN
    assert "not made from this artefact. Move it away first." in site.log(1)
    (release / ".releasemgr-release").write_text("incomplete\n")
    (release / "half").touch()
    assert site.run_upgrade(2, recipe=RECIPE).ending is Ending.SUCCEEDED
    assert not (release / "half").exists()


def test_the_version_is_asked_on_the_site_s_page_where_it_has_one(site: Site) -> None:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"1.1\n")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        site.values["VERSION_URL"] = f"http://127.0.0.1:{server.server_port}/"
        assert site.run_upgrade(recipe=RECIPE).ending is Ending.ALREADY_THERE
        server.shutdown()
