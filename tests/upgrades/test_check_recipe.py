"""check_recipe. It needs no database, but for a dry run, which shows what a site would get."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from builds.maturity import Maturity
from instances.models import Instance
from releasemgr.lib.history.models import Change
from tests.commands import json_of, refusal_of, text_of
from tests.factories import make_build, make_host, make_instance
from tests.upgrades.test_recipes import FABFILE, FAULTY, GOOD, LINES, write_recipe
from upgrades.recipes.masks import masked, masked_text
from upgrades.recipes.recipe_file import SHIPPED

MakeRecipe = Callable[[str], Path]


@pytest.fixture
def recipe(tmp_path: Path, settings: Settings) -> MakeRecipe:
    """A recipe of that text, called `ours`, in a folder of the settings."""
    settings.RECIPE_DIRS = [tmp_path]
    return lambda text: write_recipe(tmp_path, text)


@pytest.mark.parametrize("name", sorted(path.parent.name for path in SHIPPED.glob("*/recipe.toml")))
def test_nothing_is_to_be_said_of_a_shipped_recipe(name: str) -> None:
    path = SHIPPED / name / "recipe.toml"
    assert json_of("check_recipe", name) == {"recipe": name, "file": str(path), "warnings": [], "shellcheck": True}


def test_a_recipe_is_named_by_its_name_its_folder_or_its_file(
    recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recipe(GOOD)
    assert text_of("check_recipe", "ours") == f"{path} can be used."
    assert text_of("check_recipe", path) == f"{path} can be used."
    assert text_of("check_recipe", path.parent) == f"{path} can be used."
    monkeypatch.chdir(path.parent)
    assert json_of("check_recipe", "recipe.toml")["recipe"] == "ours"
    assert "There is no recipe “theirs”" in refusal_of("check_recipe", "theirs")
    assert refusal_of("check_recipe", "./theirs.toml").endswith("error: It cannot be read: No such file or directory.")


def test_all_errors_are_told_each_with_its_line(recipe: MakeRecipe) -> None:
    path = recipe(FAULTY)
    said = refusal_of("check_recipe", "ours").splitlines()
    assert said[0].startswith(f"{path}: error: version: either this, a script")
    assert said[3].startswith(f"{path}:9: error: steps[1].phase: “deploy” is none of")
    assert len(said) == 10


def test_a_change_that_nothing_undoes_is_a_warning(recipe: MakeRecipe) -> None:
    path = recipe(GOOD.partition("[[way_back]]")[0])
    warning = "steps[1]: no step of the way back undoes “stop”."
    assert text_of("check_recipe", "ours").splitlines() == [f"{path}:4: warning: {warning}", f"{path} can be used."]
    assert json_of("check_recipe", "ours")["warnings"] == [{"file": str(path), "line": 4, "text": warning}]


def test_windows_line_ends_of_a_script_that_only_another_reads_are_a_warning(recipe: MakeRecipe) -> None:
    path = recipe(GOOD)
    (path.parent / "ours.sh").write_bytes(b"true\r\n")
    said = text_of("check_recipe", "ours")
    assert f"{path.parent / 'ours.sh'}: warning: It has Windows line ends, which no shell reads." in said
    (path.parent / "ours.sh").rename(path.parent / "stop.sh")
    assert refusal_of("check_recipe", "ours") == (
        f"{path}:8: error: steps[1].run: stop.sh has Windows line ends, which no shell reads."
    )


def test_the_shell_is_read_by_shellcheck_in_scripts_and_in_lines(recipe: MakeRecipe) -> None:
    path = recipe(LINES.replace('"acme@$SITE" # ü', "acme@$SITE"))
    (path.parent / "ours.sh").write_text("true\nif true; then\n")
    said = refusal_of("check_recipe", "ours").splitlines()
    assert said[0].startswith(f"{path}:8: warning: steps[1].command: SC2086: Double quote to prevent globbing")
    assert any(one.startswith(f"{path.parent / 'ours.sh'}:2: error: SC") for one in said)


def test_where_shellcheck_is_missing_that_is_said(recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")
    recipe(GOOD)
    assert text_of("check_recipe", "ours").splitlines()[0].startswith("shellcheck is not installed here")
    assert json_of("check_recipe", "ours")["shellcheck"] is False


def test_a_fabfile_without_a_rollback_task_is_a_warning(recipe: MakeRecipe) -> None:
    path = recipe(FABFILE)
    assert text_of("check_recipe", "ours") == f"{path} can be used."
    path.write_text(FABFILE.replace('rollback_task = "ops.rollback"\n', ""))
    assert text_of("check_recipe", "ours").splitlines()[0] == (
        f"{path}: warning: rollback_task: without one, whatever fails needs a person."
    )


def rehearse(**values: Any) -> Any:
    make_build("1.0", maturity=Maturity.STABLE)
    make_build("1.1", maturity=Maturity.STABLE, content=b"1.1")
    make_instance("acme-live", runs="1.0", path="/srv/acme", host=make_host("web-1"), **values)
    return json_of("check_recipe", "ours", "--dry-run", "acme-live")["dry_run"]


@pytest.mark.django_db
@pytest.mark.usefixtures("noon")
def test_a_dry_run_shows_what_a_site_would_get_and_changes_nothing(recipe: MakeRecipe) -> None:
    recipe(LINES)
    changes = Change.objects.count()
    shown = rehearse(backup_command="pg_dump --password=hunter2 acme")
    assert (shown["site"], shown["from"], shown["to"]) == ("acme-live", "1.0", "1.1")
    environment = shown["environment"]
    assert environment["SITE_PATH"] == "/srv/acme"
    assert environment["BACKUP_COMMAND"] == "pg_dump --password=*** acme"
    assert (environment["FROM_VERSION"], environment["TO_VERSION"], environment["DIRECTION"]) == ("1.0", "1.1", "up")
    assert shown["steps"] == [
        {
            "name": "stop", "title": "Stop", "phase": "change", "timeout_s": 60, "run": None,
            "command": 'systemctl stop "acme@$SITE" # ü',
        }
    ]  # fmt: skip
    assert [(step["name"], step["undoes"]) for step in shown["way_back"]] == [("start", "stop")]
    assert Change.objects.count() == changes

    text = text_of("check_recipe", "ours", "--dry-run", "acme-live")
    assert "acme-live, 1.0 → 1.1. Nothing was touched.\n" in text
    assert "  SITE_PATH=/srv/acme\n" in text
    assert 'stop  change  60 s   systemctl stop "acme@$SITE" # ü\n' in text
    assert text.endswith('start  stop    60 s   systemctl start "acme@$SITE"')


@pytest.mark.django_db
@pytest.mark.usefixtures("noon")
def test_a_dry_run_of_a_site_without_a_build_or_without_a_name_says_so(recipe: MakeRecipe) -> None:
    recipe(GOOD.partition("[[way_back]]")[0])
    make_instance("acme-live", runs=None)
    shown = json_of("check_recipe", "ours", "--dry-run", "acme-live")["dry_run"]
    assert (shown["to"], shown["way_back"], "TO_VERSION" in shown["environment"]) == (None, [], False)
    assert "acme-live, an unknown version → no build." in text_of("check_recipe", "ours", "--dry-run", "acme-live")
    assert refusal_of("check_recipe", "ours", "--dry-run", "nobody") == "No site is named nobody."
    Instance.objects.update(recipe_values="PAKAGE=acme")
    assert refusal_of("check_recipe", "ours", "--dry-run", "acme-live") == (
        "acme-live sets PAKAGE for the recipe “ours”, but it knows none."
    )


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("API_TOKEN", "abc", "***"),
        ("DB_PASSWORD", "", ""),
        ("KEEP_RELEASES", "3", "3"),
        ("SITE", "monkey", "monkey"),
        ("PIP_INDEX_URL", "https://ci:hunter2@pypi.example/simple", "https://***@pypi.example/simple"),
    ],
)
def test_values_that_look_secret_are_masked(name: str, value: str, shown: str) -> None:
    assert masked(name, value) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("login --token 'a b' now", "login --token *** now"),
        ('DB_PASSWORD="x y" run', "DB_PASSWORD=*** run"),
        ('run --password "$DB_PASSWORD"', 'run --password "$DB_PASSWORD"'),
        ("curl https://abc@example.org/a@b", "curl https://***@example.org/a@b"),
        ("systemctl restart acme", "systemctl restart acme"),
    ],
)
def test_commands_are_shown_without_what_looks_secret(text: str, shown: str) -> None:
    assert masked_text(text) == shown
