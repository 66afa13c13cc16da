from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from releasemgr.lib.env import Env


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("maybe", lambda env: env.flag("A_SETTING", default=False)),
        ("ten", lambda env: env.number("A_SETTING", 1)),
        ("1.5", lambda env: env.number("A_SETTING", 1)),
        ("-1", lambda env: env.number("A_SETTING", 1)),
        ("65", lambda env: env.number("A_SETTING", 2, least=1, most=64)),
        ("Europe/Lodnon", lambda env: env.zone("A_SETTING", "UTC")),
    ],
)
def test_a_value_that_cannot_be_read_is_refused_with_the_name_and_the_value(
    value: str, read: Callable[[Env], object]
) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^A_SETTING is “{value}”. It takes "):
        read(Env({"A_SETTING": value}))


def test_a_missing_text_without_a_default_is_refused_by_name() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^A_SETTING is not set"):
        Env({"A_SETTING": "  "}).text("A_SETTING")


@pytest.mark.parametrize(("value", "meaning"), [("Yes", True), ("1", True), ("off", False), ("FALSE", False)])
def test_a_flag_is_read_in_any_usual_spelling(value: str, meaning: bool) -> None:
    assert Env({"A_SETTING": value}).flag("A_SETTING", default=not meaning) is meaning


def test_an_empty_value_means_the_default() -> None:
    env = Env({"A_SETTING": ""})
    assert env.text("A_SETTING", "mine") == "mine"
    assert env.flag("A_SETTING", default=True) is True
    assert env.number("A_SETTING", 7) == 7
    assert env.words("A_SETTING", "a,b") == ["a", "b"]
    assert env.path("A_SETTING", Path("/x")) == Path("/x")
    assert env.zone("A_SETTING", "Europe/London") == "Europe/London"


def test_words_are_separated_by_commas_and_trimmed() -> None:
    assert Env({"A_SETTING": " a.example , ,b.example,"}).words("A_SETTING") == ["a.example", "b.example"]


def test_a_path_is_absolute_and_knows_the_home_folder() -> None:
    assert Env({"A_SETTING": "~/x"}).path("A_SETTING", Path("/y")) == Path.home() / "x"
    assert Env({"A_SETTING": "x"}).path("A_SETTING", Path("/y")) == Path.cwd() / "x"
