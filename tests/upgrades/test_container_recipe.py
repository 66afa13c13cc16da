"""The recipe `container`, with a `docker` of our own on the path: it keeps images and containers in files.

It does what docker and docker compose do for the few commands of the recipe, and writes down each. No test here speaks
to a real engine.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.upgrades.sites import Site
from upgrades.recipes.reading import load_recipe
from upgrades.recipes.recipe import Phase
from upgrades.recipes.verdict import Ending

pytestmark = pytest.mark.shell
RECIPE = load_recipe("container")
COMPOSE = "services:\n  web:\n    image: registry.example:5000/acme:${TAG}\n"

DOCKER = f"""\
#!{sys.executable}
import json, os, pathlib, re, sys

state = pathlib.Path(os.environ["DOCKER_STATE"])
registry, pulled, running = (json.loads((state / name).read_text()) for name in ("registry", "pulled", "running"))
arguments = sys.argv[1:]
with (state / "said").open("a") as said:
    print(*arguments, file=said)


def image():
    text = pathlib.Path(os.environ.get("COMPOSE_FILE", "compose.yaml")).read_text()
    values = dict(re.findall("^([A-Z_]+)=(.*)$", pathlib.Path(".env").read_text(), re.M)) | dict(os.environ)
    return re.sub(r"[$][{{]([A-Z_]+)[}}]", lambda found: values[found[1]], re.search("image: (.*)", text)[1])


def keep(name, value):
    (state / name).write_text(json.dumps(value))


match arguments:
    case ["compose", "config", "--quiet"]:
        image()
    case ["compose", "pull"]:
        if image() not in registry:
            sys.exit(f"Error response from daemon: manifest for {{image()}} not found: manifest unknown")
        keep("pulled", pulled + [image()])
    case ["compose", "up", "-d"]:
        if image() not in pulled:
            sys.exit(f"No such image: {{image()}}")
        keep("running", {{"web": image()}})
    case ["compose", "ps", "-q", service]:
        if service not in running:
            sys.exit(f"no such service: {{service}}")
        print(f"id-of-{{service}}")
    case ["compose", "run", "--rm", "web", *command]:
        print("in", image(), *command)
        with (state / "data").open("a") as data:
            print(image().rpartition(":")[2], *command, file=data)
    case ["inspect", "--format", "{{{{.Config.Image}}}}", container]:
        print(running[container.removeprefix("id-of-")])
    case _:
        sys.exit(f"this docker does not know {{arguments}}")
"""


class Project(Site):
    """A compose project that runs 1.0; 1.1 is in the registry."""

    @property
    def state(self) -> Path:
        return self.path.parent / "docker"

    def make_project(self) -> None:
        image = "registry.example:5000/acme:{}"
        self.state.mkdir()
        self.keep("registry", [image.format("1.0"), image.format("1.1")])
        self.keep("pulled", [image.format("1.0")])
        self.keep("running", {"web": image.format("1.0")})
        (self.path / "compose.yaml").write_text(COMPOSE)
        (self.path / ".env").write_text("# ours\nTAG='1.0'\nOTHER=a b\n")
        (self.path / ".env").chmod(0o640)
        docker = Path(self.environment()["PATH"].split(":")[0]) / "docker"
        docker.write_text(DOCKER)
        docker.chmod(0o755)

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "DOCKER_STATE": str(self.state)}

    def keep(self, name: str, value: object) -> None:
        (self.state / name).write_text(json.dumps(value))

    def running(self) -> str:
        image: str = json.loads((self.state / "running").read_text())["web"]
        return image

    def said(self) -> list[str]:
        return (self.state / "said").read_text().splitlines()

    def data(self) -> list[str]:
        return (self.state / "data").read_text().splitlines()

    def dot_env(self) -> str:
        return (self.path / ".env").read_text()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path / "site")
    project.values |= {name: value for name, value in RECIPE.values.items() if value} | {"SERVICE": "web"}
    project.make_project()
    yield project
    project.let_go()


def test_the_new_tag_is_pulled_written_and_started(project: Project) -> None:
    """U10: the version is read from the running container. The rest of .env stays, and so does its mode."""
    verdict = project.run_upgrade(recipe=RECIPE)
    assert verdict.ending is Ending.SUCCEEDED, project.log()
    assert (verdict.version_before, verdict.version_after) == ("1.0", "1.1")
    assert project.running() == "registry.example:5000/acme:1.1"
    assert project.dot_env() == "# ours\nTAG=1.1\nOTHER=a b\n"
    assert (project.path / ".env").stat().st_mode & 0o777 == 0o640
    assert [line for line in project.said() if not line.startswith(("compose ps", "inspect"))] == [
        "compose config --quiet",
        "compose pull",
        "compose up -d",
    ]
    assert not list(project.path.glob(".env.*"))


def test_what_the_registry_does_not_have_ends_clean(project: Project) -> None:
    """Nothing but a pull was tried: what is written is what runs."""
    project.keep("registry", [])
    before = project.dot_env()
    verdict = project.run_upgrade(recipe=RECIPE)
    assert (verdict.ending, verdict.failed_step, verdict.phase) == (Ending.FAILED_CLEAN, "pull", Phase.PREPARE)
    assert "manifest for registry.example:5000/acme:1.1 not found" in project.log()
    assert (project.dot_env(), project.running()) == (before, "registry.example:5000/acme:1.0")


MIGRATIONS = {
    "MIGRATE_COMMAND": "docker compose run --rm web migrate",
    "MIGRATE_UNDO_COMMAND": "docker compose run --rm web undo",
}


def test_the_way_back_is_the_old_tag_and_the_new_image_undoes_its_migration(project: Project) -> None:
    """U5."""
    project.values |= MIGRATIONS | {"HEALTH_URL": "http://127.0.0.1:9/"}
    verdict = project.run_upgrade(recipe=RECIPE)
    assert (verdict.ending, verdict.failed_step, verdict.version_after) == (Ending.ROLLED_BACK, "health", "1.0")
    assert project.data() == ["1.1 migrate", "1.1 undo"]
    assert project.running() == "registry.example:5000/acme:1.0"
    assert project.dot_env() == "# ours\nTAG=1.0\nOTHER=a b\n"


def test_on_the_way_down_the_newer_image_undoes_its_migrations_before_the_switch(project: Project) -> None:
    """T4."""
    project.values |= MIGRATIONS
    assert project.run_upgrade(1, recipe=RECIPE).ending is Ending.SUCCEEDED
    project.values |= {"DIRECTION": "down", "FROM_VERSION": "1.1", "TO_VERSION": "1.0"}
    assert project.run_upgrade(2, recipe=RECIPE).ending is Ending.SUCCEEDED, project.log(2)
    assert project.data() == ["1.1 migrate", "1.1 undo"]
    assert project.running() == "registry.example:5000/acme:1.0"


def test_a_way_down_that_fails_comes_back_up_with_its_data_migrated_again(project: Project) -> None:
    """T4, U5."""
    project.values |= MIGRATIONS
    assert project.run_upgrade(1, recipe=RECIPE).ending is Ending.SUCCEEDED
    project.values |= {"DIRECTION": "down", "FROM_VERSION": "1.1", "TO_VERSION": "1.0"}
    project.values["HEALTH_URL"] = "http://127.0.0.1:9/"
    assert project.run_upgrade(2, recipe=RECIPE).ending is Ending.ROLLED_BACK
    assert project.data() == ["1.1 migrate", "1.1 undo", "1.1 migrate"]
    assert project.running() == "registry.example:5000/acme:1.1"


@pytest.mark.parametrize(
    ("values", "dot_env", "words"),
    [
        ({}, "OTHER=1\n", "/.env says TAG=, but what runs is 1.0. Make them agree first."),
        ({}, "TAG=1.0\nTAG=latest\n", "/.env says TAG=latest, but what runs is 1.0."),
        ({}, None, "/.env is not there: it is to have a line TAG=1.0."),
        ({"COMPOSE_FILE": "other.yaml"}, "TAG=1.0", "docker compose does not accept the project in"),
        ({"TO_VERSION": "1.1+local"}, "TAG=1.0", "1.1+local cannot be the tag of an image."),
        ({"SERVICE": ""}, "TAG=1.0", "Nothing tells the version: set SERVICE"),
        ({"SERVICE": "api"}, "TAG=1.0", "The site did not tell its version: "),
    ],
)
def test_what_does_not_fit_blocks_before_anything_is_touched(
    project: Project, values: dict[str, str], dot_env: str | None, words: str
) -> None:
    project.values |= values
    (project.path / ".env").unlink()
    if dot_env is not None:
        (project.path / ".env").write_text(dot_env)
    if "COMPOSE_FILE" in values or dot_env is None:
        project.values["VERSION_COMMAND"] = "echo 1.0"
    verdict = project.run_upgrade(recipe=RECIPE)
    assert (verdict.ending, verdict.failed_step) == (Ending.BLOCKED, "check")
    assert words in project.log()
    assert project.running() == "registry.example:5000/acme:1.0"


def test_the_site_s_own_tag_variable_and_restart_command_are_used(project: Project) -> None:
    project.values |= {"TAG_VARIABLE": "ACME_TAG", "RESTART_COMMAND": "docker compose up -d && echo and more"}
    (project.path / "compose.yaml").write_text(COMPOSE.replace("TAG", "ACME_TAG"))
    (project.path / ".env").write_text("TAG=7\nACME_TAG=1.0")
    assert project.run_upgrade(recipe=RECIPE).ending is Ending.SUCCEEDED, project.log()
    assert project.dot_env() == "TAG=7\nACME_TAG=1.1\n"
    assert "and more" in project.log()
