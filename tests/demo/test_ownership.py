"""The demo never touches content that it did not make."""

from pathlib import Path

import pytest

from releasemgr.demo import ownership, people
from releasemgr.demo.ownership import Content
from tests.factories import make_host, make_user

pytestmark = pytest.mark.django_db


def test_an_empty_database_may_be_used(tmp_path: Path) -> None:
    assert ownership.content(tmp_path) is Content.EMPTY


@pytest.mark.parametrize("make", [make_user, make_host])
def test_what_somebody_else_made_is_foreign(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make()
    assert ownership.content(tmp_path) is Content.FOREIGN


def test_a_demo_knows_its_own_database_and_whether_it_was_finished(tmp_path: Path) -> None:
    make_user()
    ownership.mark(tmp_path, finished=False)
    assert ownership.content(tmp_path) is Content.BEGUN
    ownership.mark(tmp_path, finished=True)
    assert ownership.content(tmp_path) is Content.FINISHED


def test_a_demo_whose_folder_is_gone_or_elsewhere_cannot_go_on(tmp_path: Path) -> None:
    ownership.mark(tmp_path / "gone", finished=True)
    assert ownership.content(tmp_path / "gone") is Content.LEFT
    assert ownership.content(tmp_path) is Content.LEFT


def test_there_is_one_person_for_each_role_and_a_password_of_this_demo(tmp_path: Path) -> None:
    people.ensure_people(tmp_path)
    password = people.password_of(tmp_path)
    assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600
    users = {user.username: user for user in people.User.objects.all()}
    roles = {name: [group.name for group in user.groups.all()] for name, user in users.items()}
    assert roles == {name: [role] for name, role in people.ROLES.items()}
    assert all(user.check_password(password) for user in users.values())
    other = tmp_path / "another demo"
    other.mkdir()
    assert people.password_of(other) != password


def test_a_person_who_is_there_keeps_the_password_that_they_chose(tmp_path: Path) -> None:
    people.ensure_people(tmp_path)
    admin = people.User.objects.get(username="admin")
    admin.set_password("my own long words")
    admin.save()
    people.ensure_people(tmp_path)
    admin.refresh_from_db()
    assert admin.check_password("my own long words")
    assert people.User.objects.count() == 4
