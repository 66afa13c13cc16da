"""The values that reach a site's scripts: the site's own before those of its recipe."""

from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from instances.models import Instance
from tests.factories import HOST_KEY, NOW, make_build, make_host, make_instance, make_upgrade
from tests.upgrades.test_recipes import FABFILE, GOOD, write_recipe
from upgrades.exceptions import RecipeInvalid
from upgrades.recipes.recipe import Kind
from upgrades.services.assignments import assignment_for, question_for
from upgrades.services.facts import facts_of_night
from upgrades.services.planning import next_night

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

VALUES = """
[values]
PACKAGE = "acme"
PIP_NO_INDEX = ""
RESTART_COMMAND = "systemctl restart acme"
"""


@pytest.fixture(autouse=True)
def recipe(tmp_path: Path, settings: Settings) -> Path:
    settings.RECIPE_DIRS = [tmp_path]
    return write_recipe(tmp_path, GOOD + VALUES)


def make_site(**values: Any) -> Instance:
    return make_instance("acme-live", recipe="ours", **values)


def test_a_recipe_s_values_stand_where_the_site_has_nothing_of_its_own() -> None:
    """One that is empty is not sent."""
    values = question_for(make_site(), "ours").values
    assert (values["PACKAGE"], values["RESTART_COMMAND"]) == ("acme", "systemctl restart acme")
    assert "PIP_NO_INDEX" not in values


def test_a_site_s_own_values_and_commands_come_before_its_recipe_s() -> None:
    site = make_site(recipe_values="PACKAGE='acme [pdf]' PIP_NO_INDEX=1", restart_command="sv restart acme")
    values = question_for(site, "ours").values
    assert (values["PACKAGE"], values["PIP_NO_INDEX"]) == ("acme [pdf]", "1")
    assert values["RESTART_COMMAND"] == "sv restart acme"


def test_a_site_takes_a_value_of_its_recipe_away() -> None:
    assert "PACKAGE" not in question_for(make_site(recipe_values="PACKAGE="), "ours").values


def test_a_value_that_the_recipe_does_not_know_is_refused_before_anything_begins(recipe: Path) -> None:
    site = make_site(recipe_values="PAKAGE=acme")
    upgrade = make_upgrade(instance=site, recipe="ours")
    said = "acme-live sets PAKAGE for the recipe “ours”, but it knows PACKAGE, PIP_NO_INDEX, RESTART_COMMAND."
    for refused in (lambda: question_for(site, "ours"), lambda: assignment_for(upgrade, taken_over=False)):
        with pytest.raises(RecipeInvalid) as caught:
            refused()
        assert str(caught.value) == said
    assert assignment_for(upgrade, taken_over=True).values["PACKAGE"] == "acme"

    recipe.write_text(GOOD)
    with pytest.raises(RecipeInvalid, match="but it knows none"):
        question_for(site, "ours")


def test_u6_a_fabfile_knows_the_approved_key_of_its_host_and_runs_in_a_folder_here(
    recipe: Path, settings: Settings, tmp_path: Path
) -> None:
    settings.VAR_DIR = tmp_path / "var"
    recipe.write_text(FABFILE)
    site = make_site(host=make_host("web-1", address="10.0.0.7", port=2222, user="deploy"))
    assignment = assignment_for(make_upgrade(instance=site, recipe="ours"), taken_over=False)
    assert assignment.ground.site_path == str(tmp_path / "var" / "fabfile" / str(site.pk))
    assert assignment.recipe.scripts["known_hosts"].decode() == f"[10.0.0.7]:2222,[web-1]:2222 {HOST_KEY}\n"
    told = [assignment.values[name] for name in ("FAB_HOST", "FAB_TASK", "SITE_PATH")]
    assert told == ["deploy@10.0.0.7:2222", "deploy", site.path]
    assert not [name for name in assignment.question.values if name.startswith("FAB_")]


def test_what_runs_here_is_not_for_who_edits_a_site_to_say(recipe: Path) -> None:
    recipe.write_text(FABFILE)
    with pytest.raises(RecipeInvalid, match="sets FAB_PYTHON for the recipe “ours”, but it knows none"):
        question_for(make_site(recipe_values="FAB_PYTHON=/bin/sh"), "ours")


def test_a_fabfile_that_runs_is_found_here_also_when_its_recipe_broke_since(
    recipe: Path, settings: Settings, tmp_path: Path
) -> None:
    settings.VAR_DIR = tmp_path / "var"
    recipe.write_text("broken")
    upgrade = make_upgrade(instance=make_site(), recipe="ours")
    assert assignment_for(upgrade, taken_over=True).recipe.kind is Kind.HOST
    here = tmp_path / "var" / "fabfile" / str(upgrade.instance_id)
    (here / ".releasemgr" / "upgrades" / str(upgrade.pk)).mkdir(parents=True)
    assert assignment_for(upgrade, taken_over=True).recipe.kind is Kind.FABFILE


@pytest.mark.parametrize(
    ("more", "goes_down"),
    [
        ("", True),
        ('MIGRATE_COMMAND = "migrate"', False),
        ('MIGRATE_COMMAND = "migrate"\nMIGRATE_UNDO_COMMAND = "undo"', True),
    ],
)
def test_t4_migrations_by_the_recipe_s_command_need_one_that_undoes_them(
    recipe: Path, more: str, goes_down: bool
) -> None:
    recipe.write_text("way_down = true\n" + GOOD + VALUES + more)
    make_build("1.0")
    make_site()
    [facts] = facts_of_night(next_night(NOW)).sites
    assert facts.goes_down is goes_down
