"""Release notes between two versions: the page, the site's own, and the links to them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.template import Context, Template
from django.test import Client

from builds.maturity import Maturity
from releasemgr.pages.release_notes import ReleaseNotes, release_notes
from tests.commands import json_of, refusal_of, text_of
from tests.factories import NOW, make_build, make_instance

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

PAGE = "/builds/changes/"


@pytest.fixture
def reader(client: Client, viewer: User) -> Client:
    client.force_login(viewer)
    return client


@pytest.fixture
def key() -> Callable[[str], str]:
    made = {
        version: make_build(version, changelog=f"- Brings {version}.").version_key for version in ("4.2.1", "4.2.7")
    }
    made["4.2.10"] = make_build("4.2.10", withdrawn_at=NOW).version_key
    made["4.2.11rc1"] = make_build("4.2.11rc1", changelog="<script>alert(1)</script>\n\n# Fixed").version_key
    return made.__getitem__


def versions(notes: ReleaseNotes) -> list[str]:
    return [note.build.version for note in notes.notes]


@pytest.mark.parametrize(
    ("current", "target", "going_back", "found"),
    [
        ("4.2.1", "4.2.7", False, ["4.2.7"]),
        ("4.2.1", "4.2.11rc1", False, ["4.2.11rc1", "4.2.10", "4.2.7"]),
        ("4.2.10", "4.2.1", True, ["4.2.10", "4.2.7"]),
        ("4.2.7", "4.2.7", False, []),
    ],
)
def test_they_hold_what_comes_with_the_target_or_is_lost_by_going_back(
    key: Callable[[str], str], current: str, target: str, going_back: bool, found: list[str]
) -> None:
    """Newest first by version (R1), withdrawn builds too (R9): their changes are in those after them."""
    notes = release_notes(key(current), key(target), limit=9)

    assert (versions(notes), notes.going_back, notes.total) == (found, going_back, len(found))


def test_a_long_list_is_cut_and_says_how_much_more_there_is(
    key: Callable[[str], str], django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(2):
        notes = release_notes(key("4.2.1"), key("4.2.11rc1"), limit=2)

    assert (versions(notes), notes.total) == (["4.2.11rc1", "4.2.10"], 3)
    with django_assert_num_queries(1):
        release_notes(key("4.2.1"), key("4.2.11rc1"), limit=3)


@pytest.mark.usefixtures("key")
def test_the_page_renders_changelogs_safely_and_marks_what_was_withdrawn(reader: Client) -> None:
    answer = reader.get(f"{PAGE}?from=4.2.1&to=4.2.11rc1")

    html = answer.content.decode()
    assert answer.status_code == 200
    assert "What 3 builds bring, newest first." in html
    assert "<li>Brings 4.2.7.</li>" in html
    assert "alert(1)" not in html
    assert "Loses attachments." in html
    assert "Withdrawn" in html
    assert "Brings 4.2.1." not in html
    assert html.index("4.2.11rc1</b>") < html.index("4.2.10</b>") < html.index("4.2.7</b>")


@pytest.mark.usefixtures("key")
def test_the_page_says_what_going_back_loses(reader: Client) -> None:
    """T4."""
    html = reader.get(f"{PAGE}?from=4.2.10&to=4.2.1").content.decode()

    assert "4.2.1 is older than 4.2.10." in html
    assert "Going back loses what 2 builds brought." in html


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("from=4.2.1&to=9.9", 404, "No build 9.9 is registered."),
        ("from=banana&to=4.2.7", 422, "“banana” is not a version. Accepted is"),
        ("from=4.2.1&to=%00", 422, "is not a version."),
        ("from=4.2.1", 422, "is not a version."),
        ("from=4.2.1&to=4.2.1", 200, "No build lies between them."),
        ("from=v4.2.1.0&to=4.2.7", 200, "What 1 build brings"),
        ("from=4.2.3&to=4.2.7", 200, "4.2.3 itself is not registered here."),
        ("from=4.2.1&to=4.2.7&page=x", 200, "Brings 4.2.7."),
        ("", 200, "Name the version that a site runs"),
    ],
)
@pytest.mark.usefixtures("key")
def test_what_is_asked_for_is_answered_with_a_sentence(reader: Client, query: str, status: int, said: str) -> None:
    answer = reader.get(f"{PAGE}?{query}")

    assert answer.status_code == status
    assert said in answer.content.decode()


def test_a_long_way_has_pages_and_is_folded_but_for_the_newest(
    reader: Client, django_assert_max_num_queries: Any
) -> None:
    for number in range(1, 24):
        make_build(f"1.{number}")

    with django_assert_max_num_queries(42):  # about thirty of them for the shell
        html = reader.get(f"{PAGE}?from=1.1&to=1.23").content.decode()

    assert html.count("<details") == 20
    assert html.count(" open>") == 5
    assert reader.get(f"{PAGE}?from=1.1&to=1.23&page=2").content.decode().count("<details") == 2


def test_who_may_not_see_builds_does_not_see_their_changes(client: Client, stranger: User) -> None:
    assert client.get(PAGE)["Location"] == f"/sign-in/?next={PAGE}"
    client.force_login(stranger)
    assert client.get(PAGE).status_code == 403


def test_the_page_takes_no_post(client: Client, administrator: User) -> None:
    client.force_login(administrator)
    assert client.post(PAGE).status_code == 405


def test_a_site_shows_what_its_target_brings_and_where_all_of_it_stands(reader: Client) -> None:
    for number in range(1, 8):
        make_build(f"4.{number}", maturity=Maturity.STABLE, changelog=f"- Brings 4.{number}.")
    make_instance("behind", runs="4.1")
    make_instance("there", runs="4.7")
    make_instance("silent", runs=None)

    html = reader.get("/sites/behind/").content.decode()

    assert "What 4.7 brings" in html
    assert "6 builds" in html
    assert "Brings 4.3." in html
    assert "Brings 4.2." not in html
    assert 'href="/builds/changes/?from=4.1&amp;to=4.7"' in html
    for slug in ("there", "silent"):
        assert "/builds/changes/" not in reader.get(f"/sites/{slug}/").content.decode()


def test_a_site_pinned_back_shows_what_it_loses(reader: Client) -> None:
    """T4."""
    old, _new = make_build("4.1"), make_build("4.2", changelog="- Brings 4.2.")
    make_instance("ahead", runs="4.2", target_build=old)

    html = reader.get("/sites/ahead/").content.decode()

    assert "What going back to 4.1 loses" in html
    assert "Brings 4.2." in html


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("4.1", "4.2", 'href="/builds/changes/?from=4.1&amp;to=4.2"'),
        ("4.1+a b", "4.2", ""),
        ("4.1+a", "4.2", "?from=4.1%2Ba&amp;to=4.2"),
        (None, "4.2", ""),
        ("banana", "4.2", ""),
        ("4.1", "", ""),
        ("4.2", "4.2.0", ""),
    ],
)
def test_a_change_links_to_its_release_notes_where_both_versions_are_known(
    old: str | None, new: str, found: str
) -> None:
    html = Template("{% load ui %}{% changes_link old new %}").render(Context({"old": old, "new": new}))

    assert found in html
    assert bool(found) == bool(html)


def test_promotions_and_tonight_link_to_them(client: Client, release_manager: User) -> None:
    make_build("4.1", maturity=Maturity.RELEASE)
    make_build("4.2", maturity=Maturity.BETA)
    make_instance("goes", runs="4.0")
    client.force_login(release_manager)

    tonight = client.get("/runs/tonight/").content.decode()
    promotion = client.get("/builds/4.2/promote/release/").content.decode()

    assert "/builds/changes/?from=4.0&amp;to=4.1" in tonight
    assert "/builds/changes/?from=4.0&amp;to=4.2" in promotion


@pytest.mark.usefixtures("key")
def test_the_command_prints_them() -> None:
    assert text_of("release_notes", "4.2.1", "4.2.10") == (
        "# 4.2.10 (withdrawn)\n\nRegistered without a changelog.\n\n# 4.2.7\n\n- Brings 4.2.7."
    )
    assert text_of("release_notes", "4.2.10", "v4.2.7").startswith("Going back from 4.2.10 to 4.2.7 loses:")
    assert text_of("release_notes", "4.2.7", "4.2.7") == "No build lies between 4.2.7 and 4.2.7."


@pytest.mark.usefixtures("key")
def test_the_command_gives_scripts_each_build_with_its_changelog() -> None:
    said = json_of("release_notes", "4.2.0", "4.2.7")

    assert (said["from"], said["to"], said["going_back"]) == ("4.2.0", "4.2.7", False)
    assert [(build["version"], build["changelog"]) for build in said["builds"]] == [
        ("4.2.7", "- Brings 4.2.7."), ("4.2.1", "- Brings 4.2.1."),
    ]  # fmt: skip


@pytest.mark.usefixtures("key")
def test_the_command_refuses_what_it_does_not_know() -> None:
    assert refusal_of("release_notes", "4.2.1", "9.9") == "No build 9.9 is registered."
    assert "is not a version" in refusal_of("release_notes", "banana", "4.2.7")
