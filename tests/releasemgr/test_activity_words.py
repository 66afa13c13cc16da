"""Each kind of change has its words, and plain values read as on every other page."""

import ast
from pathlib import Path
from typing import Any

import pytest

from instances.host_keys import fingerprint
from releasemgr.pages.activity_words import GROUPS, LOOKS, differences, look_of, value_words
from releasemgr.templatetags import ui
from tests.factories import HOST_KEY, NOW

BASE = Path(__file__).parent.parent.parent
RECORDERS = {"record", "change_of"}


def kinds_recorded() -> set[str]:
    """Those that the code writes down as they are."""
    files = [file for app in ("builds", "instances", "upgrades", "releasemgr") for file in (BASE / app).rglob("*.py")]
    return {kind for file in files for kind in kinds_in(ast.parse(file.read_text()))}


def kinds_in(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(value=str(kind)), *_]
            ) if name in RECORDERS:
                found.add(kind)
    return found


def test_every_kind_that_is_recorded_has_words_and_a_group() -> None:
    assert kinds_recorded() - set(LOOKS) == set()
    things = {thing for group in GROUPS for thing in group.things}
    assert {kind.partition(".")[0] for kind in LOOKS} - things == set()


@pytest.mark.parametrize("kind", [*LOOKS, "moon.landed_on"])
def test_every_kind_has_an_icon_that_is_there(kind: str) -> None:
    look = look_of(kind)
    assert str(look.label)
    assert ui.icon(look.icon).startswith("<svg")


@pytest.mark.parametrize(("kind", "words"), [("site.parked", "Site parked"), ("odd", "Odd"), ("", "")])
def test_an_unknown_kind_is_told_by_its_name(kind: str, words: str) -> None:
    assert str(look_of(kind).label) == words


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("url", None, ""),
        ("url", "", ""),
        ("automatic", True, "yes"),
        ("automatic", False, "no"),
        ("maturity", 2, "beta"),
        ("maturity", 99, "99"),
        ("max_parallel", 3, "3"),
        ("ends_at", "2026-11-30T00:00:00Z", "30 Nov 00:00"),
        ("ends_at", "2027-01-01T01:30:00+01:00", "1 Jan 2027 00:30"),
        ("ends_at", "2026-99-99T00:00:00Z", "2026-99-99T00:00:00Z"),
        ("day", "2026-11-30", "30 Nov"),
        ("version", "2026.11.30", "2026.11.30"),
        ("soak", "P14DT00H00M00S", "14 d"),
        ("soak", "P0DT00H00M00S", "none"),
        ("tags", ["canary", "healthcare"], "canary, healthcare"),
        ("tags", [], ""),
        ("windows", [{"weekdays": [0, 1], "starts_at": "01:00"}], "weekdays 0, 1 from 01:00"),
        ("host_key", HOST_KEY, fingerprint(HOST_KEY)),
        ("host_key", "none", "none"),
        ("notes", "two\nlines", "two lines"),
        ("notes", "x" * 500, "x" * 60 + "…"),
    ],
)
def test_a_plain_value_reads_as_on_every_page(name: str, value: Any, words: str) -> None:
    assert value_words(name, value, NOW) == words


@pytest.mark.parametrize(
    ("kind", "before", "after", "words"),
    [
        ("target.changed", {"channel": "beta"}, {"channel": "stable"}, ["beta → stable"]),
        ("target.changed", {}, {"version": "4.2", "ends": "never"}, ["pinned 4.2"]),
        (
            "target.changed",
            {"channel": "stable"},
            {"version": "4.2", "ends": "caught_up", "then": "beta"},
            ["stable → pinned 4.2 until its channel catches up, then beta"],
        ),
        (
            "target.changed",
            {"version": "4.2", "ends": "on_date", "until": "2026-11-30T00:00:00Z", "then": "beta"},
            {"channel": "beta"},
            ["pinned 4.2 until 30 Nov 00:00, then beta → beta"],
        ),
        (
            "build.withdrawn",
            {"stepping_stone": True, "withdrawn_at": None},
            {"stepping_stone": False, "withdrawn_at": "2026-11-30T00:00:00Z", "withdrawn_reason": "Slow."},
            ["stepping stone yes → no"],
        ),
        ("problem.fixed", {"fixed_in": None}, {"fixed_in": "4.2"}, ["fixed in none → 4.2"]),
        ("site.changed", {"url": "a", "path": "/a"}, {"url": "", "path": "/b"}, ["URL a → none", "path /a → /b"]),
        ("site.added", {}, {"url": "", "path": "/b"}, ["path /b"]),
        ("site.added", {}, {"target": {"version": "4.2", "ends": "never"}}, ["target pinned 4.2"]),
        ("site.changed", {"min_free_mb": 50}, {"min_free_mb": 90}, ["MB of free disk 50 → 90"]),
        ("hold.ended", {"ends_at": "2026-11-30T00:00:00Z"}, {}, ["until 30 Nov 00:00"]),
        ("site.changed", {"url": None}, {"url": ""}, []),
        ("hold.opened", {}, {}, []),
    ],
)
def test_differences_are_told_field_by_field(
    kind: str, before: dict[str, Any], after: dict[str, Any], words: list[str]
) -> None:
    assert [each.words for each in differences(kind, before, after, NOW)] == words
